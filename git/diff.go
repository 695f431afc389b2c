package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Change is one difference between two trees. A rename is a deletion and an addition.
type Change struct {
	Path             string // the bytes of the path, from the root, "/" between components
	Status           byte   // 'A' added, 'M' modified, 'D' deleted, 'T' changed in type
	OldMode, NewMode Mode   // 0 on the side where the path is absent
	Old, New         oid.ID // the zero value there
}

// TreePair names two trees to compare. A zero name stands for the empty tree.
type TreePair struct{ Old, New oid.ID }

// ErrEmptyDiff says that two different trees have no difference Git would show: one of them holds
// entries that Git reads as something else than it stores. Such trees are not to be trusted.
var ErrEmptyDiff = errors.New("different trees without a difference")

const (
	diffPurpose = "diff-tree"
	// marker is no object name, so diff-tree repeats the line and flushes: the end of an answer.
	marker = ".\n"
)

// diffArgs fix everything about a diff that configuration, attributes or .gitmodules could change
// (git-diff-tree(1)).
var diffArgs = []string{
	"diff-tree", "--stdin", "-r", "--raw", "-z", "--no-abbrev", "--full-index", "--no-renames",
	"--ignore-submodules=none", "--no-ext-diff", "--no-textconv", "--no-relative", "--no-color",
}

// Diff returns all changes from tree old to tree new exactly as Git computes them, in its order. A
// zero name is the empty tree.
//
// The error is [ErrEmptyDiff] when the trees differ and the list would be empty, and [ErrMissing]
// when a tree that is needed is not there. A list is never short.
func (s *Session) Diff(old, new oid.ID) ([]Change, error) {
	pair := s.pair(TreePair{old, new})
	p, err := s.differ()
	if err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", pair.Old, pair.New, err)
	}
	if err = askDiff(p.w, pair); err == nil {
		err = p.w.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", pair.Old, pair.New, p.failure(err))
	}
	changes, err, broken := s.answerDiff(p, pair)
	if !broken {
		s.give(diffPurpose, p)
	}
	return changes, err
}

// Diffs compares many pairs; one result per pair, in order, as [Session.Diff] gives it. An error
// concerns its pair only, unless no child can be started. As with [Session.Objects], pairs are
// pulled from another goroutine and must not wait for results.
func (s *Session) Diffs(pairs iter.Seq[TreePair]) iter.Seq2[[]Change, error] {
	return func(yield func([]Change, error) bool) {
		l := line[TreePair, []Change]{
			start:   s.differ,
			write:   askDiff,
			flush:   (*bufio.Writer).Flush,
			read:    s.answerDiff,
			give:    func(p *process) { s.give(diffPurpose, p) },
			restart: true,
		}
		l.run(func(yield func(TreePair) bool) {
			for pair := range pairs {
				if !yield(s.pair(pair)) {
					return
				}
			}
		}, yield)
	}
}

func (s *Session) differ() (*process, error) {
	env, err := s.readEnv()
	if err != nil {
		return nil, err
	}
	return s.take(diffPurpose, env, diffArgs...)
}

// pair replaces zero names by the empty tree's.
func (s *Session) pair(p TreePair) TreePair {
	if p.Old.IsZero() {
		p.Old = s.repo.format.EmptyTree()
	}
	if p.New.IsZero() {
		p.New = s.repo.format.EmptyTree()
	}
	return p
}

func askDiff(w *bufio.Writer, p TreePair) error {
	w.WriteString(p.Old.String())
	w.WriteByte(' ')
	w.WriteString(p.New.String())
	w.WriteByte('\n')
	_, err := w.WriteString(marker)
	return err
}

// answerDiff reads the answer to a pair. When the child broke it finds out whether a tree is
// missing, which is what breaks it.
func (s *Session) answerDiff(p *process, pair TreePair) (changes []Change, err error, broken bool) {
	changes, err = readDiff(p.out, pair)
	switch {
	case err == nil && len(changes) == 0 && pair.Old != pair.New:
		return nil, fmt.Errorf("diff %s %s: %w", pair.Old, pair.New, ErrEmptyDiff), false
	case err == nil:
		return changes, nil, false
	case errors.Is(err, errNoDiff):
		err = fmt.Errorf("%w, or no tree", ErrMissing)
	case errors.Is(err, errRaw):
		p.kill()
		broken = true
	default:
		err = p.failure(err)
		broken = true
	}
	if broken && s.ctx.Err() == nil {
		if lost := s.findMissing(pair.Old, pair.New, map[TreePair]bool{}); lost != nil {
			err = lost
		}
	}
	return nil, fmt.Errorf("diff %s %s: %w", pair.Old, pair.New, err), broken
}

var (
	errNoDiff = errors.New("no answer")
	errRaw    = errors.New("git diff-tree: unexpected answer")
)

// readDiff reads "<old> SP <new> LF", then for each change ":<mode> SP <mode> SP <id> SP <id> SP
// <status> NUL <path> NUL", then the marker. It returns errNoDiff when only the marker is there:
// Git could not read one of the trees.
func readDiff(r *bufio.Reader, pair TreePair) ([]Change, error) {
	head, err := r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if string(head) == marker {
		return nil, errNoDiff
	}
	if string(head) != pair.Old.String()+" "+pair.New.String()+"\n" {
		return nil, fmt.Errorf("%w: %q", errRaw, clip(string(head)))
	}
	var changes []Change
	for {
		b, err := r.Peek(1)
		if err != nil {
			return nil, err
		}
		if b[0] != ':' {
			end, err := r.ReadSlice('\n')
			if err != nil {
				return nil, err
			}
			if string(end) != marker {
				return nil, fmt.Errorf("%w: %q", errRaw, clip(string(end)))
			}
			return changes, nil
		}
		c, err := readChange(r, pair.Old.Format())
		if err != nil {
			return nil, err
		}
		if changes = append(changes, c); len(changes) > maxChanges {
			return nil, fmt.Errorf("%w: more than %d paths", ErrTooManyChanges, maxChanges)
		}
	}
}

// maxChanges is how many paths two trees may differ in: a few small trees that name each other can show any number.
const maxChanges = 500_000

// ErrTooManyChanges says that two trees differ in more paths than are read.
var ErrTooManyChanges = errors.New("too many changes")

// readChange reads one change of the raw format (git-diff-tree(1), "RAW OUTPUT FORMAT").
func readChange(r *bufio.Reader, format oid.Format) (Change, error) {
	meta, err := readField(r, headerLimit)
	if err != nil {
		return Change{}, err
	}
	f, n := string(meta), 2*format.Size()
	if len(f) != 18+2*n || f[0] != ':' || f[7] != ' ' || f[14] != ' ' || f[15+n] != ' ' || f[16+2*n] != ' ' {
		return Change{}, fmt.Errorf("%w: %q", errRaw, clip(f))
	}
	c := Change{Status: f[17+2*n]}
	var errs [4]error
	c.OldMode, errs[0] = parseMode(f[1:7])
	c.NewMode, errs[1] = parseMode(f[8:14])
	c.Old, errs[2] = oid.Parse(f[15 : 15+n])
	c.New, errs[3] = oid.Parse(f[16+n : 16+2*n])
	if err := errors.Join(errs[:]...); err != nil {
		return Change{}, fmt.Errorf("%w: %w", errRaw, err)
	}
	if c.Old.IsZero() {
		c.Old = oid.ID{}
	}
	if c.New.IsZero() {
		c.New = oid.ID{}
	}
	if !c.sound() {
		return Change{}, fmt.Errorf("%w: %q", errRaw, clip(f))
	}
	path, err := readField(r, pathLimit)
	if err != nil {
		return Change{}, err
	}
	if len(path) == 0 {
		return Change{}, fmt.Errorf("%w: empty path", errRaw)
	}
	c.Path = string(path)
	return c, nil
}

// sound reports whether the status fits the two sides.
func (c Change) sound() bool {
	old, new := c.OldMode != 0, c.NewMode != 0
	if old == c.Old.IsZero() || new == c.New.IsZero() {
		return false
	}
	switch c.Status {
	case 'A':
		return !old && new
	case 'D':
		return old && !new
	case 'M', 'T':
		return old && new
	}
	return false
}

// readField reads up to a NUL, which it drops. The result is valid until the next read unless it
// is longer than the reader's buffer.
func readField(r *bufio.Reader, limit int) ([]byte, error) {
	b, err := r.ReadSlice(0)
	if err == nil && len(b) <= limit+1 {
		return b[:len(b)-1], nil
	}
	var long bytes.Buffer
	for errors.Is(err, bufio.ErrBufferFull) && long.Len() <= limit {
		long.Write(b)
		b, err = r.ReadSlice(0)
	}
	switch {
	case err == io.EOF && long.Len()+len(b) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		return nil, err
	case long.Len()+len(b) > limit+1:
		return nil, fmt.Errorf("%w: a field of more than %d bytes", errRaw, limit)
	}
	long.Write(b)
	return long.Bytes()[:long.Len()-1], nil
}

// findMissing walks two trees side by side to the subtree that is not there. It returns nil when
// it finds none. No pair is looked at twice, however often the trees show it.
func (s *Session) findMissing(old, new oid.ID, seen map[TreePair]bool) error {
	if seen[TreePair{old, new}] {
		return nil
	}
	seen[TreePair{old, new}] = true
	sides := [2]map[string]oid.ID{}
	for i, id := range [2]oid.ID{old, new} {
		sides[i] = map[string]oid.ID{}
		if id.IsZero() {
			continue
		}
		o, err := s.Object(id.String(), 0)
		if err != nil {
			return err
		}
		entries, err := ParseTree(s.repo.format, o.Data)
		if o.Kind != "tree" || err != nil {
			return fmt.Errorf("%s: %w", id, errTree)
		}
		for _, e := range entries {
			if e.Mode.IsTree() {
				sides[i][e.Name] = e.ID
			}
		}
	}
	for name, id := range sides[0] {
		if other := sides[1][name]; other != id {
			if err := s.findMissing(id, other, seen); err != nil {
				return err
			}
		}
		delete(sides[1], name)
	}
	for _, id := range sides[1] {
		if err := s.findMissing(oid.ID{}, id, seen); err != nil {
			return err
		}
	}
	return nil
}
