package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// LogQuery says which commits to walk.
type LogQuery struct {
	// Revs are where to start: a full object name, a full ref name ("refs/…") or HEAD. One with
	// "^" before it excludes what it reaches.
	Revs []string
	// Globs are patterns of refs to start from as well, as --glob of git-log(1): "refs/x/*".
	Globs []string
	// Decorate are prefixes of refs; Commit.Refs lists the full names of refs under them that point
	// at the commit, directly or through a tag object.
	Decorate []string
	// Max is how many commits to give at most, the newest ones; 0 is all.
	Max int
	// IgnoreMissing skips Revs whose object or ref is not there, instead of failing.
	IgnoreMissing bool
	// FirstParent follows only the first parent of a merge.
	FirstParent bool
}

// logFormat are the fields of a commit, a NUL after each (git-log(1), "PRETTY FORMATS").
const (
	logFormat = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%s%x00%D"
	logFields = 11
	// subjectField is %s: of one of absurd length the beginning will do.
	subjectField = 9
)

// Log walks the commits that q selects, oldest first: every parent comes before its children. It
// costs one child. Names and subjects of a commit that says it is encoded otherwise are converted
// to UTF-8, where Git can; the others are the bytes of the object. Nothing is walked when q names no revision and no glob matches. An error ends
// the sequence; without one the walk was complete. It is [ErrMissing] when one of q.Revs is not there.
func (s *Session) Log(q LogQuery) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		if err := s.log(q, yield); err != nil {
			yield(Commit{}, fmt.Errorf("walk commits: %w", err))
		}
	}
}

// log returns nil when yield stopped it.
func (s *Session) log(q LogQuery, yield func(Commit, error) bool) error {
	args, err := q.args()
	if err != nil {
		return err
	}
	if len(q.Revs) == 0 && len(q.Globs) == 0 {
		return nil // git log would walk HEAD
	}
	env, err := s.readEnv()
	if err != nil {
		return err
	}
	p, err := s.repo.start(s.ctx, env, pipeInput, args...)
	if err != nil {
		return err
	}
	// Git reads all revisions before it writes anything, so this cannot block for ever.
	for _, rev := range q.Revs {
		p.w.WriteString(rev)
		p.w.WriteByte('\n')
	}
	if err := p.w.Flush(); err != nil {
		return p.failure(err)
	}
	p.in.Close()
	var last Commit
	for {
		c, err := readLog(p.out, s.repo.format, len(q.Decorate) > 0)
		if errors.Is(err, io.EOF) {
			if err = p.wait(); err != nil && s.ctx.Err() == nil {
				if lost := s.findLost(q.Revs); lost != nil {
					err = lost
				}
			}
			return err
		}
		if err != nil {
			return p.failure(err)
		}
		c.share(&last)
		if last = c; !yield(c, nil) {
			p.kill()
			return nil
		}
	}
}

// share holds names once that follow each other: a history of a million commits may have few writers.
func (c *Commit) share(last *Commit) {
	for _, x := range [...]struct{ mine, theirs *string }{
		{&c.Author.Name, &last.Author.Name},
		{&c.Author.Email, &last.Author.Email},
		{&c.Committer.Name, &c.Author.Name},
		{&c.Committer.Email, &c.Author.Email},
		{&c.Committer.Name, &last.Committer.Name},
		{&c.Committer.Email, &last.Committer.Email},
	} {
		if *x.mine == *x.theirs {
			*x.mine = *x.theirs
		}
	}
}

// findLost returns the error of the first revision that is not there, of the first few.
func (s *Session) findLost(revs []string) error {
	for _, rev := range revs[:min(len(revs), batch)] {
		if _, err := s.Object(strings.TrimPrefix(rev, "^"), 0); errors.Is(err, ErrMissing) {
			return err
		}
	}
	return nil
}

func (q LogQuery) args() ([]string, error) {
	args := []string{
		"log", "--topo-order", "--reverse", "-z", "--format=tformat:" + logFormat, "--encoding=UTF-8", "--date=raw",
		"--no-patch", "--no-show-signature", "--no-notes", "--no-color", "--no-mailmap",
	}
	if q.FirstParent {
		args = append(args, "--first-parent")
	}
	if q.IgnoreMissing {
		args = append(args, "--ignore-missing")
	}
	if q.Max > 0 {
		args = append(args, "--max-count="+strconv.Itoa(q.Max))
	}
	if len(q.Decorate) > 0 {
		args = append(args, "--decorate=full")
	} else {
		args = append(args, "--no-decorate", "--decorate-refs=refs/covenant-no-such-ref")
	}
	for _, d := range q.Decorate {
		if !strings.HasPrefix(d, "refs/") && d != "HEAD" {
			return nil, fmt.Errorf("%q is no prefix of full ref names", clip(d))
		}
		args = append(args, "--decorate-refs="+d)
	}
	for _, g := range q.Globs {
		if !strings.HasPrefix(g, "refs/") || strings.ContainsAny(g, "\n\x00") {
			return nil, fmt.Errorf("%q is no pattern of full ref names", clip(g))
		}
		args = append(args, "--glob="+g)
	}
	for _, rev := range q.Revs {
		name := strings.TrimPrefix(rev, "^")
		if _, err := oid.Parse(name); err == nil || name == "HEAD" {
			continue
		}
		if err := checkRefName(name); err != nil {
			return nil, fmt.Errorf("%q is no full object or ref name", clip(rev))
		}
	}
	// Git reads the revisions when it meets --stdin; only options before it apply to them.
	return append(args, "--stdin"), nil
}

// readLog reads one commit of the format above; io.EOF when there is none.
func readLog(r *bufio.Reader, format oid.Format, decorated bool) (Commit, error) {
	var f [logFields]string
	for i := range f {
		read := readField
		if i == subjectField {
			read = readStart
		}
		b, err := read(r, fieldLimit)
		if errors.Is(err, io.EOF) && i > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return Commit{}, err
		}
		f[i] = string(b)
	}
	var c Commit
	var ok1, ok2 bool
	c.ID, ok1 = parseName(format, f[0])
	c.Tree, ok2 = parseName(format, f[1])
	if !ok1 || !ok2 {
		return Commit{}, fmt.Errorf("unexpected commit %q with tree %q", clip(f[0]), clip(f[1]))
	}
	for p := range strings.FieldsSeq(f[2]) {
		id, ok := parseName(format, p)
		if !ok {
			return Commit{}, fmt.Errorf("commit %s: unexpected parent %q", c.ID, clip(p))
		}
		c.Parents = append(c.Parents, id)
	}
	var err error
	if c.Author, err = logIdent(f[3:6]); err == nil {
		c.Committer, err = logIdent(f[6:9])
	}
	if err != nil {
		return Commit{}, fmt.Errorf("commit %s: %w", c.ID, err)
	}
	c.Subject = f[subjectField]
	if decorated {
		c.Refs = parseDecoration(f[10])
	}
	return c, nil
}

// readStart reads up to a NUL as readField does, and keeps only the beginning of what is too long.
func readStart(r *bufio.Reader, _ int) ([]byte, error) {
	b, err := r.ReadSlice(0)
	if err == nil {
		return b[:len(b)-1], nil
	}
	start := bytes.Clone(b)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice(0)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return start, err
}

// logIdent reads name, address and "seconds zone", which is empty when the commit's line is bad.
func logIdent(f []string) (Ident, error) {
	i := Ident{Name: f[0], Email: f[1]}
	if f[2] == "" {
		return i, nil
	}
	seconds, zone, ok := strings.Cut(f[2], " ")
	if !ok || digits(seconds) != seconds || len(zone) < 2 || digits(zone[1:]) != zone[1:] {
		return Ident{}, fmt.Errorf("unexpected time %q", clip(f[2]))
	}
	i.When = parseTime(seconds, zone)
	return i, nil
}

// parseDecoration reads "HEAD -> refs/heads/x, tag: refs/tags/y, refs/z". A ref name holds no
// space, so the separators are certain. Words that are no ref, "grafted" at a shallow boundary,
// are dropped.
func parseDecoration(s string) []string {
	var refs []string
	for part := range strings.SplitSeq(s, ", ") {
		part = strings.TrimPrefix(part, "tag: ")
		if ref, ok := strings.CutPrefix(part, "HEAD -> "); ok {
			refs = append(refs, "HEAD")
			part = ref
		}
		if part == "HEAD" || strings.HasPrefix(part, "refs/") {
			refs = append(refs, part)
		}
	}
	return refs
}
