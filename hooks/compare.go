package hooks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/event"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/hooks/journal"
)

// change is a change that no call of a tool tells of.
type change struct {
	file   journal.File
	reason string
}

func (c *change) event(moment, commit string) event.Event {
	data := map[string]any{"path": strings.ToValidUTF8(c.file.Path, "\uFFFD"), "moment": moment}
	put(data, "sha256", c.file.SHA256)
	put(data, "commit", commit)
	put(data, "reason", c.reason)
	return event.Event{Kind: "change_unrecorded", Data: data}
}

// told reports whether a change that was made at a time is told of by a call that ran then, or was there before any session.
func told(r *journal.Receipts, at int64) bool { return at < r.Since-journal.Slack || r.Ran(at) }

// untoldAt is a change that was made at a time and is not told of.
func untoldAt(r *journal.Receipts, f journal.File, at int64) change {
	c := change{file: f}
	if r.Cut(at) {
		c.reason = "a call had begun whose end nobody told"
	}
	return c
}

// compare finds what changed in the work tree since the first line of the journal without a call that tells of it, and is not on record yet.
func (b *bench) compare(ctx context.Context) ([]change, error) {
	if !b.journal().Any() {
		return nil, nil
	}
	st, err := b.s.Repo().Status(ctx)
	if err != nil {
		return nil, err
	}
	r, err := b.journal().Receipts(b.in.Now()) // after that: what another stop has found meanwhile is on record
	if err != nil || r.Since == 0 {
		return nil, err
	}
	paths := slices.Clone(st.Untracked)
	for _, c := range st.Changes {
		if c.Unstaged != '.' || c.Staged != '.' {
			paths = append(paths, c.Path)
		}
	}
	work := b.workTree()
	var out []change
	for _, p := range paths {
		if strings.HasSuffix(p, "/") {
			continue // a repository within
		}
		at := b.since(p)
		if told(&r, at) || at > b.t.Stop.until() {
			continue
		}
		if f, _ := fileAt(work, p); !r.Left(f) && !r.Said(f) {
			out = append(out, untoldAt(&r, f, at))
		}
	}
	return out, nil
}

// since is when what stands at a path of the work tree came to be so, in milliseconds since 1970. Of what is gone its folder tells, or the one that it was in.
func (b *bench) since(path string) int64 {
	work := b.workTree()
	for at := filepath.Join(work, filepath.FromSlash(path)); ; at = filepath.Dir(at) {
		if when, there := changedAt(at); there || at == work || at == filepath.Dir(at) {
			return when
		}
	}
}

// own returns what a commit changes itself, of its differences from each parent: what a merge takes over from one of them was that one's.
func own(diffs [][]prov.Raw) []prov.Raw {
	if len(diffs) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(diffs[0]), func(c prov.Raw) bool {
		return slices.ContainsFunc(diffs[1:], func(list []prov.Raw) bool {
			return !slices.ContainsFunc(list, func(o prov.Raw) bool { return o.Path == c.Path })
		})
	})
}

// staged is a change of a commit, beside what stands in the work tree at its path.
type staged struct {
	prov.Raw
	file  journal.File // as the commit has it
	there journal.File
	same  bool // the work tree has that content, too
}

// unexplained returns those changes of a commit that no call tells of. It is asked about what the commit has, which need not be what stands in the work tree.
func (b *bench) unexplained(ctx context.Context, r *journal.Receipts, diffs [][]prov.Raw) ([]change, error) {
	work := b.workTree()
	modes, _ := b.s.Repo().Config().Get("core.filemode")
	if work == "" { // whoever asks stands where there is none: no call tells of what came to be there
		var out []change
		for _, raw := range own(diffs) {
			out = append(out, change{file: journal.File{Path: raw.Path, Mode: raw.NewMode}})
		}
		return out, nil
	}
	var open []staged
	for _, raw := range own(diffs) {
		c := staged{Raw: raw, file: journal.File{Path: raw.Path, Mode: raw.NewMode}}
		var text []byte
		c.there, text = fileAt(work, raw.Path)
		switch {
		case raw.New.IsZero():
			c.file.Mode, c.same = "", c.there.Mode == ""
		case raw.NewMode == gitlink: // what it is of is not here
			c.same = c.there.Mode == "040000"
		case c.there.SHA256 != "" && raw.New.Format().Hash("blob", text) == raw.New:
			if c.file.SHA256, c.same = c.there.SHA256, true; modes == "false" {
				c.file.Mode = c.there.Mode
			}
		default:
			o, err := b.s.Object(raw.New.String(), maxFileSize)
			if large := (*git.TooLargeError)(nil); err != nil && !errors.As(err, &large) {
				return nil, err
			}
			if err == nil {
				sum := sha256.Sum256(o.Data)
				c.file.SHA256 = hex.EncodeToString(sum[:])
			}
		}
		if !r.Once(c.file) || raw.NewMode == gitlink {
			open = append(open, c)
		}
	}
	b.filtered(ctx, open)
	var out []change
	for i := range open {
		c := &open[i]
		if at := b.madeAt(c); !told(r, at) && !(c.same && c.there != c.file && c.there.Mode == c.file.Mode && r.Left(c.there)) {
			out = append(out, untoldAt(r, c.file, at))
		}
	}
	return out, nil
}

const gitlink = "160000"

// filtered finds the files of the work tree that become what the commit has as Git adds them: with other ends of lines, say.
func (b *bench) filtered(ctx context.Context, open []staged) {
	var which []int
	var names []byte
	for i := range open {
		if c := &open[i]; !c.same && !c.New.IsZero() && strings.HasPrefix(c.NewMode, "100") && strings.HasPrefix(c.there.Mode, "100") && !strings.ContainsAny(c.Path, "\"\n") {
			which, names = append(which, i), append(append(names, c.Path...), '\n')
		}
	}
	if len(which) == 0 {
		return
	}
	out, err := b.s.Repo().Run(ctx, bytes.NewReader(names), "hash-object", "--stdin-paths")
	if err != nil {
		return // then none is
	}
	for n, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		if n < len(which) {
			c := &open[which[n]]
			c.same = line == c.New.String()
		}
	}
}

// madeAt is when a change of a commit was made, in milliseconds since 1970: what stands in the work tree, when it came to be so; else when its content was put into the repository; and
// what is only in the index, as a mode is, or that something is gone, when that was written last. It is never where nothing tells.
func (b *bench) madeAt(c *staged) int64 {
	const never = math.MaxInt64
	repo := b.s.Repo()
	switch {
	case c.same && (c.file.Mode == c.there.Mode || c.NewMode == gitlink):
		return b.since(c.Path)
	case c.same, c.New.IsZero():
		if at, there := changedAt(repo.IndexFile()); there {
			return at
		}
	case c.NewMode != gitlink:
		name := c.New.String()
		if at, there := changedAt(filepath.Join(repo.CommonDir(), "objects", name[:2], name[2:])); there {
			return at
		}
	}
	return never
}
