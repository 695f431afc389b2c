package hooks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// What a commit was made of Git tells here and there: a pick leaves CHERRY_PICK_HEAD and a squash SQUASH_MSG, which are gone when the commit is sealed where it was concluded by hand;
// git am has the mail; and a reset leaves ORIG_HEAD. What is recorded of it lends nothing: the old seals must lead to what the commit has.

// Limits of what is read, and how long a commit may take to be concluded.
const (
	maxSources   = 1000
	maxSquashMsg = 1 << 30
	maxPending   = 128 << 10 // of what commit-msg noted: maxSources names
	concluding   = 24 * time.Hour
)

// pendingFile is where commit-msg leaves what a commit will be made of, in the folder that all work trees share.
func pendingFile(r *git.Repo) string {
	sum := sha256.Sum256([]byte(r.GitDir()))
	return filepath.Join(r.CommonDir(), "covenant", "from-"+hex.EncodeToString(sum[:8]))
}

// onlyTree goes before the tree that a commit must have for what was noted to count.
const onlyTree = "="

// foresee notes at commit-msg what the commit that is about to be made is made of; what was noted before is over. Of a squash that is noted when it is merged, too, since with
// --no-verify Git calls no commit-msg: then it counts for just the tree that was merged, "" otherwise.
func (in *Input) foresee(s *git.Session, tree string) {
	r := s.Repo()
	file := pendingFile(r)
	command, from := prov.CherryPick, one(filepath.Join(r.GitDir(), "CHERRY_PICK_HEAD"), r.Format())
	if len(from) == 0 {
		command, from = prov.Squash, squashed(filepath.Join(r.GitDir(), "SQUASH_MSG"), r.Format())
	}
	_ = os.Remove(file) // a link there is not written through
	if len(from) == 0 || rebasing(r) {
		return
	}
	head, err := s.Head()
	if err != nil {
		return
	}
	lines := []string{command, head.String()}
	if tree != "" {
		lines = append(lines, onlyTree+tree)
	}
	for _, id := range from {
		lines = append(lines, id.String())
	}
	if os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	if f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil { //nolint:gosec // our own
		_, _ = f.WriteString(strings.Join(lines, "\n") + "\n")
		_ = f.Close()
	}
}

// foreseen returns what commit-msg noted of a commit, and forgets it.
func foreseen(r *git.Repo, c *git.Commit, now time.Time) (command string, from []oid.ID) {
	file := pendingFile(r)
	b, at, ok := small(file, maxPending)
	_ = os.Remove(file)
	lines := strings.Fields(string(b))
	if !ok || len(lines) < 3 || now.Sub(at) > concluding || len(c.Parents) == 0 || lines[1] != c.Parents[0].String() {
		return "", nil
	}
	if lines[0] != prov.CherryPick && lines[0] != prov.Squash { // commit-msg writes nothing else, and what is recorded here is signed
		return "", nil
	}
	for _, l := range lines[2:] {
		if tree, only := strings.CutPrefix(l, onlyTree); only && tree != c.Tree.String() {
			return "", nil // it was given up, or went on by something that told of it
		}
		if id, err := oid.Parse(l); err == nil {
			from = append(from, id)
		}
	}
	return lines[0], from
}

// sources notes what a commit was made of, as far as Git tells. A rebase says itself what became of what.
func (in *Input) sources(ctx context.Context, s *git.Session, c *git.Commit) {
	r := s.Repo()
	if rebasing(r) {
		return
	}
	var from []oid.ID
	command := prov.CherryPick
	switch in.Moment {
	case "post-commit":
		noted, list := foreseen(r, c, in.Now())
		if from = one(filepath.Join(r.GitDir(), "CHERRY_PICK_HEAD"), r.Format()); len(from) == 0 {
			command, from = noted, list
		}
		if len(from) == 0 {
			command, from = prov.Reset, in.undone(ctx, s, c)
		}
	case "post-applypatch":
		command, from = prov.Mail, mailed(r)
	}
	from = slices.DeleteFunc(from, func(id oid.ID) bool { return id == c.ID || id.Format() != c.ID.Format() })
	from = from[:min(len(from), maxSources)]
	if len(from) == 0 {
		return
	}
	in.pairs, in.Args = nil, []string{command}
	for _, id := range from {
		in.pairs = append(in.pairs, prov.Rewrite{New: c.ID, Old: id})
	}
}

// one reads a file of Git's that names a commit.
func one(file string, format oid.Format) []oid.ID {
	b, _, ok := small(file, 256)
	if !ok {
		return nil
	}
	id, err := oid.Parse(strings.TrimSpace(string(b)))
	if err != nil || id.Format() != format {
		return nil
	}
	return []oid.ID{id}
}

// squashed reads which commits git merge --squash put together. Their messages are among them, of any length.
func squashed(file string, format oid.Format) (out []oid.ID) {
	f, _, err := openPlain(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReader(io.LimitReader(f, maxSquashMsg))
	for begins := true; len(out) < maxSources; {
		l, err := r.ReadSlice('\n')
		name, ok := bytes.CutPrefix(bytes.TrimSuffix(l, []byte("\n")), []byte("commit "))
		if begins && ok {
			if id, err := oid.Parse(string(name)); err == nil && id.Format() == format {
				out = append(out, id)
			}
		}
		if begins = err == nil; err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	return out
}

// undone returns the commits that a reset took back, where the commit has just what the last of them had.
func (in *Input) undone(ctx context.Context, s *git.Session, c *git.Commit) []oid.ID {
	file := filepath.Join(s.Repo().GitDir(), "ORIG_HEAD")
	info, err := os.Lstat(file)
	if err != nil || in.Now().Sub(info.ModTime()) > concluding || len(c.Parents) != 1 {
		return nil
	}
	tip := one(file, c.ID.Format())
	if len(tip) == 0 || tip[0] == c.ID || tip[0] == c.Parents[0] {
		return nil
	}
	old, err := s.Commit(tip[0].String())
	if err != nil || old.Tree != c.Tree {
		return nil
	}
	out, err := s.Repo().Run(ctx, nil, "rev-list", "--max-count=1000", tip[0].String(), "^"+c.Parents[0].String(), "--")
	if err != nil {
		return nil
	}
	var list []oid.ID
	for _, l := range strings.Fields(string(out)) {
		if id, err := oid.Parse(l); err == nil {
			list = append(list, id)
		}
	}
	return list
}

// mailLine is how a mail of git format-patch begins.
var mailLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^From ([0-9a-f]{40}|[0-9a-f]{64}) Mon Sep 17 00:00:00 2001\n`)
})

// mailed reads from which commit the mail was made that git am applies.
func mailed(r *git.Repo) []oid.ID {
	dir := filepath.Join(r.GitDir(), "rebase-apply")
	next, _, ok := small(filepath.Join(dir, "next"), 16)
	if !ok {
		return nil
	}
	n := strings.TrimSpace(string(next))
	f, _, err := openPlain(filepath.Join(dir, strings.Repeat("0", max(0, 4-len(n)))+n))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 128)
	k, _ := f.Read(head)
	m := mailLine().FindSubmatch(head[:k])
	if m == nil {
		return nil
	}
	id, err := oid.Parse(string(m[1]))
	if err != nil || id.Format() != r.Format() {
		return nil
	}
	return []oid.ID{id}
}

// rebasing reports whether git rebase is at work, by either of its machines.
func rebasing(r *git.Repo) bool {
	for _, name := range []string{"rebase-merge", "rebase-apply/rebasing"} { // git am leaves other files in rebase-apply
		if _, err := os.Stat(filepath.Join(r.GitDir(), filepath.FromSlash(name))); err == nil {
			return true
		}
	}
	return false
}
