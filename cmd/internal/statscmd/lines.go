package statscmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Share is what stats prints with --json for whoever made lines, and with type "summary" for all of it.
type Share struct {
	Type        string   `json:"type"`        // "lines" or "summary"
	Principals  []string `json:"principals"`  // sorted; several where one path of a commit was made by several; empty: nobody known
	Accountable []string `json:"accountable"` // the humans who answer for it, sorted
	Kind        string   `json:"kind"`        // "human", "agent", "automation", "mixed" of several kinds, or "unknown"
	Commits     int      `json:"commits"`
	Added       int64    `json:"added"`                 // lines
	Deleted     int64    `json:"deleted"`               // lines
	Files       int64    `json:"files"`                 // files of a commit, binary ones among them, which have no lines
	Rewritten   int64    `json:"rewritten"`             // lines of those added that others amended, rebased or picked
	RewrittenBy []string `json:"rewrittenBy,omitempty"` // who did, sorted
	// With --calls: lines of those added that calls of agents' tools put in, and of these by each model that is known.
	Put    *int64           `json:"put,omitempty"`
	Models map[string]int64 `json:"models,omitempty"`
}

// A file is what one commit does to one path.
type file struct {
	commit         oid.ID
	path           string
	added, deleted int64
}

func lines(ctx context.Context, env *cli.Env, revs []string, asJSON, calls bool) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	span, err := provenance.ParseSpan(w.Session, revs...)
	if err != nil {
		return work.Explain(err)
	}
	opts := w.Looking(pin)
	opts.History = true
	results, err := w.Makers(span, opts)
	if err != nil {
		return err
	}
	out, err := log(ctx, w, span, "-z", "--numstat")
	if err != nil && w.Session.Repo().Partial() {
		return cli.Hint(fmt.Errorf("lines are counted in contents, and this clone has not all of them: %w", err), "fetch what it left out: git fetch --refetch --no-filter origin")
	}
	if err != nil {
		return err
	}
	files, err := numstat(out)
	if err != nil {
		return err
	}
	told, err := toldApart(ctx, w, results, files)
	if err != nil {
		return err
	}
	var put map[spot]map[int]string
	if calls {
		if put, err = putIn(ctx, w, pin, span, results); err != nil {
			return err
		}
	}
	return print(env, tally(results, files, told, put), asJSON)
}

// log runs "git log" over a range, with a form of diff, as what Git makes of the contents alone: attributes of the work tree, which whoever is
// counted may have committed, call no file binary, for they are looked for where Git runs, and that is its own folder.
func log(ctx context.Context, w *work.Work, span provenance.Span, form ...string) ([]byte, error) {
	return logOf(ctx, w, nil, append(form, span.Revs()...)...)
}

func logOf(ctx context.Context, w *work.Work, stdin io.Reader, form ...string) ([]byte, error) {
	repo := w.Session.Repo()
	args := []string{
		"-C", repo.GitDir(), "--git-dir=" + repo.GitDir(), "--work-tree=" + repo.GitDir(), "-c", "core.attributesFile=" + os.DevNull, "-c", "attr.tree=" + repo.Format().EmptyTree().String(),
		"-c", "log.showRoot=true", "-c", "log.diffMerges=off", "-c", "core.quotePath=true", "log", "--format=%x01%H", "--encoding=UTF-8", "-M", "--ignore-submodules=none",
		"--no-relative", "--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-color",
	}
	return repo.Run(ctx, stdin, append(append(args, form...), "--")...)
}

// A piece is those lines that a commit added to a file that the same made.
type piece struct {
	made    []verdict.Principal
	rewrote *verdict.Principal
	added   int64
	lines   []int // as the commit has them; nil: all
}

// pieces tells the lines apart that a commit added to a file, whoever made most of them first.
func pieces(r *verdict.Result, f *file, added []stretch) []piece {
	if len(added) == 0 {
		made, rewrote := r.Makers(f.path)
		return []piece{{made: made, rewrote: rewrote, added: f.added}}
	}
	var out []piece
	at := map[string]int{}
	of := r.MakersIn(f.path)
	for _, s := range added {
		for line := s.from; line < s.from+s.count; line++ {
			made, rewrote := of(line)
			key := ""
			for i := range made {
				key += made[i].Name + "\x00"
			}
			if rewrote != nil {
				key += "\x00" + rewrote.Name
			}
			n, known := at[key]
			if !known {
				n = len(out)
				at[key], out = n, append(out, piece{made: made, rewrote: rewrote})
			}
			out[n].added, out[n].lines = out[n].added+1, append(out[n].lines, line)
		}
	}
	slices.SortStableFunc(out, func(a, b piece) int { return cmp.Compare(b.added, a.added) })
	return out
}

// tally adds up who made how much. What was deleted counts for who made most of what came in its place.
func tally(results map[oid.ID]verdict.Result, files []file, told map[spot][]stretch, put map[spot]map[int]string) []Share {
	shares := map[string]*Share{}
	seen, seenFile := map[string]map[oid.ID]bool{}, map[string]map[spot]bool{}
	all := Share{Type: "summary", Principals: []string{}, Accountable: []string{}}
	commits := map[oid.ID]bool{}
	for i := range files {
		f := &files[i]
		r := results[f.commit]
		at := spot{f.commit, f.path}
		commits[f.commit] = true
		all.Files++
		for n, p := range pieces(&r, f, told[at]) {
			s, rewrote := of(p.made, p.rewrote)
			key := s.Kind + "\x00" + strings.Join(s.Principals, "\x00")
			if shares[key] == nil {
				shares[key], seen[key], seenFile[key] = s, map[oid.ID]bool{}, map[spot]bool{}
			}
			s = shares[key]
			seen[key][f.commit], seenFile[key][at] = true, true
			s.Commits, s.Files = len(seen[key]), int64(len(seenFile[key]))
			for _, x := range []*Share{s, &all} {
				if x.Added += p.added; n == 0 {
					x.Deleted += f.deleted
				}
				if put != nil {
					x.add(put[at], p.lines)
				}
				if rewrote != "" {
					x.Rewritten, x.RewrittenBy = x.Rewritten+p.added, unique(append(x.RewrittenBy, rewrote))
				}
			}
		}
	}
	all.Commits = len(commits)
	out := make([]Share, 0, len(shares)+1)
	for _, s := range shares {
		if all.Kind = cmp.Or(all.Kind, s.Kind); all.Kind != s.Kind {
			all.Kind = "mixed"
		}
		out = append(out, *s)
		all.Principals, all.Accountable = append(all.Principals, s.Principals...), append(all.Accountable, s.Accountable...)
	}
	slices.SortFunc(out, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Added, a.Added), cmp.Compare(a.Kind, b.Kind), slices.Compare(a.Principals, b.Principals))
	})
	all.Principals, all.Accountable = unique(all.Principals), unique(all.Accountable)
	return append(out, all)
}

// add counts those of some lines that were put in, by models; nil: all lines.
func (s *Share) add(put map[int]string, lines []int) {
	if s.Put == nil {
		s.Put = new(int64)
	}
	one := func(model string) {
		if *s.Put++; model != "" {
			if s.Models == nil {
				s.Models = map[string]int64{}
			}
			s.Models[model]++
		}
	}
	if lines == nil {
		for _, model := range put {
			one(model)
		}
	}
	for _, line := range lines {
		if model, is := put[line]; is {
			one(model)
		}
	}
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// of tells who made lines: who sealed the commit, or, of a derived one, who sealed what that path was made of, or whose that was before.
// A commit that does not verify is nobody's, whoever it names. Of one that was rewritten those made it whose sealed changes it has, with
// who rewrote them where that one changed something there, too, and it is not known which; rewrote is its name.
func of(made []verdict.Principal, by *verdict.Principal) (s *Share, rewrote string) {
	s = &Share{Type: "lines", Principals: []string{}, Accountable: []string{}, Kind: "unknown"}
	if by != nil {
		rewrote = by.Name
	}
	for i, p := range made {
		s.Principals, s.Accountable = append(s.Principals, p.Name), append(s.Accountable, p.Accountable)
		if i == 0 {
			s.Kind = p.Kind
		} else if s.Kind != p.Kind {
			s.Kind = "mixed"
		}
	}
	s.Principals, s.Accountable = unique(s.Principals), unique(s.Accountable)
	return s, rewrote
}

var errNumstat = errors.New("unexpected output of git log --numstat")

// numstat reads "git log -z --numstat --format=%x01%H": a commit is SOH and its name; a path is "added TAB deleted TAB path",
// or, of a rename, "added TAB deleted TAB", then the old and the new path. "-" counts a binary file. NUL ends each.
func numstat(b []byte) ([]file, error) {
	var out []file
	var at oid.ID
	next := func() (string, bool) {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return "", false
		}
		field := string(b[:i])
		b = b[i+1:]
		return field, true
	}
	for len(b) > 0 {
		field, ok := next()
		if !ok {
			return nil, errNumstat
		}
		field = strings.TrimPrefix(field, "\n")
		if name, ok := strings.CutPrefix(field, "\x01"); ok {
			id, err := oid.Parse(name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errNumstat, err)
			}
			at = id
			continue
		}
		parts := strings.SplitN(field, "\t", 3)
		if len(parts) != 3 || at.IsZero() {
			return nil, fmt.Errorf("%w: %.60q", errNumstat, field)
		}
		f := file{commit: at, path: parts[2]}
		if f.path == "" {
			_, old := next()
			if f.path, ok = next(); !ok || !old {
				return nil, errNumstat
			}
		}
		for i, n := range []*int64{&f.added, &f.deleted} {
			if parts[i] == "-" {
				continue
			}
			var err error
			if *n, err = strconv.ParseInt(parts[i], 10, 64); err != nil || *n < 0 {
				return nil, fmt.Errorf("%w: %.60q", errNumstat, field)
			}
		}
		out = append(out, f)
	}
	return out, nil
}

func print(env *cli.Env, shares []Share, asJSON bool) error {
	all := shares[len(shares)-1]
	for _, s := range shares {
		if asJSON {
			if err := env.JSON(s); err != nil {
				return err
			}
			continue
		}
		who, kind := strings.Join(s.Principals, ", "), s.Kind
		switch {
		case s.Type == "summary":
			who, kind = "all", "total"
		case who == "":
			who = "nobody known"
		case len(s.Accountable) > 0 && !slices.Equal(s.Principals, s.Accountable):
			who += " (" + strings.Join(s.Accountable, ", ") + ")"
		}
		if len(s.RewrittenBy) > 0 {
			who += fmt.Sprintf("; %+d rewritten by %s", s.Rewritten, strings.Join(s.RewrittenBy, ", "))
		}
		if s.Put != nil && *s.Put > 0 {
			who += "; " + byModels(*s.Put, s.Models)
		}
		share := ""
		if all.Added > 0 {
			share = fmt.Sprintf("%5.1f %%", float64(s.Added)*100/float64(all.Added))
		}
		if _, err := fmt.Fprintf(env.Out, "%-10s %+8d %8d %s %14s  %s\n", kind, s.Added, -s.Deleted, share, say.Count(s.Commits, "commit"), say.Line(who)); err != nil {
			return err
		}
	}
	return nil
}
