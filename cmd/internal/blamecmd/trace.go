package blamecmd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// The Agent Trace format, version 0.1 (agent-trace.dev): for files of a revision, who contributed which lines. It is signed by
// nobody.
type (
	record struct {
		Version   string           `json:"version"`
		ID        string           `json:"id"` // a UUID
		Timestamp string           `json:"timestamp"`
		VCS       *vcs             `json:"vcs,omitempty"`
		Tool      *tool            `json:"tool,omitempty"`
		Files     []traced         `json:"files"`
		Metadata  map[string][]any `json:"metadata,omitempty"`
	}
	vcs struct {
		Type     string `json:"type"`
		Revision string `json:"revision"`
	}
	tool struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	traced struct {
		Path          string         `json:"path"`
		Conversations []conversation `json:"conversations"`
	}
	conversation struct {
		Contributor *contributor `json:"contributor,omitempty"`
		Ranges      []lineRange  `json:"ranges"`
	}
	contributor struct {
		Type  string `json:"type"` // "human", "ai", "mixed" or "unknown"
		Model string `json:"model_id,omitempty"`
	}
	lineRange struct {
		Start       int          `json:"start_line"` // from 1
		End         int          `json:"end_line"`   // the last
		Contributor *contributor `json:"contributor,omitempty"`
	}
)

// traceVersion is the version of the format that is written.
const traceVersion = "0.1.0"

// attribution is what the metadata of a record says under "covenant" of some lines.
type attribution struct {
	Start       int             `json:"start_line"`
	End         int             `json:"end_line"`
	Commit      string          `json:"commit"`
	Verdict     verdict.Verdict `json:"verdict"`
	Principals  []string        `json:"principals"`
	Accountable []string        `json:"accountable"`
	Call        *work.Call      `json:"call,omitempty"` // of an agent's tool, that put them in
}

// kindOf says in the words of the format who made a line; whoever is named where the commit does not verify made nothing.
func kindOf(r *verdict.Result, made []verdict.Principal) string {
	if !r.Verdict.OK() || r.Verdict == verdict.Before || len(made) == 0 {
		return "unknown"
	}
	out := ""
	for _, p := range made {
		word := "ai"
		if p.Kind == "human" {
			word = "human"
		}
		if out != "" && out != word {
			return "mixed"
		}
		out = word
	}
	return out
}

// trace makes a record of a file: its identity is a digest of what it is of, so that it is the same whenever it is made; how tells what was asked of git blame
// besides, which finds other lines, or other makers.
func trace(path, revision, when string, how []string, lines []blamed, result func(*blamed) (*verdict.Result, []verdict.Principal, *work.Call)) *record {
	byWhom := map[contributor][]lineRange{}
	var whom []contributor
	var all []any
	var last *attribution
	for i := range lines {
		l := &lines[i]
		r, made, call := result(l)
		kind := kindOf(r, made)
		by := contributor{Type: kind}
		switch {
		case call == nil || kind == "unknown":
			call = nil
		case kind == "human": // who sealed what an agent's tool put in
			by.Type = "mixed"
		default:
			by.Model = call.Model
		}
		list := byWhom[by]
		if n := len(list); n > 0 && list[n-1].End == l.number-1 {
			list[n-1].End = l.number
		} else {
			byWhom[by] = append(list, lineRange{Start: l.number, End: l.number})
			if len(list) == 0 {
				whom = append(whom, by)
			}
		}
		next := &attribution{Start: l.number, End: l.number, Commit: l.commit.String(), Verdict: r.Verdict, Principals: []string{}, Accountable: []string{}, Call: call}
		if kind != "unknown" {
			for _, p := range made {
				next.Principals, next.Accountable = append(next.Principals, p.Name), append(next.Accountable, p.Accountable)
			}
		}
		if last != nil && last.End == l.number-1 && last.same(next) {
			last.End = l.number
			continue
		}
		last = next
		all = append(all, last)
	}
	f := traced{Path: path, Conversations: []conversation{}}
	kinds := []string{"human", "ai", "mixed", "unknown"}
	slices.SortFunc(whom, func(a, b contributor) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Type), slices.Index(kinds, b.Type)), cmp.Compare(a.Model, b.Model))
	})
	for _, by := range whom {
		f.Conversations = append(f.Conversations, conversation{Contributor: &by, Ranges: byWhom[by]})
	}
	return &record{
		Version: traceVersion, ID: identity(append([]string{revision, path}, how...)), Timestamp: when, VCS: &vcs{"git", revision}, Tool: &tool{Name: "covenant"}, Files: []traced{f},
		Metadata: map[string][]any{"covenant": all},
	}
}

// same reports whether other lines are of the same commit, makers and call.
func (a *attribution) same(b *attribution) bool {
	call := a.Call == nil && b.Call == nil || a.Call != nil && b.Call != nil && *a.Call == *b.Call
	return call && a.Commit == b.Commit && slices.Equal(a.Principals, b.Principals) && slices.Equal(a.Accountable, b.Accountable)
}

// identity is a UUID of version 8 (RFC 9562).
func identity(of []string) string {
	b := sha256.Sum256([]byte("covenant agent-trace\x00" + strings.Join(of, "\x00")))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// errTrace says that something is no record of this format.
var errTrace = errors.New("no Agent Trace record")

// Limits of what is read.
const (
	maxTraces    = 64 << 20
	maxTraceLine = 8 << 20
	maxRanges    = 1_000_000
	maxModel     = 250 // bytes: of a name of a model, as the format has it
	maxWords     = 8   // that are told of one line
)

var (
	traceVersions = lazily(`^0\.[0-9]+(\.[0-9]+)?$|^1\.[0-9]+(\.[0-9]+)?$`) // what is about writes 1.0, too
	revisions     = lazily(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
)

// lazily compiles an expression when it is first needed: blame seldom reads a record.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// A claim is what a record says of lines of a file of a commit. Nobody signed it.
type claim struct {
	start, end int
	contributor
}

// claims are what records say, by commit and path.
type claims map[string][]claim

func (c *contributor) word() string {
	if c.Model == "" {
		return c.Type
	}
	return c.Type + " " + c.Model
}

// of returns what is claimed of each of these lines, of a file of a revision: by records of the commit that brought it, with the number that it has there,
// and by records of the revision itself; "" for nothing. path is asked where there are such.
func (c claims) of(ctx context.Context, revision oid.ID, path func() string, lines []blamed) ([]string, error) {
	out, err := c.words(ctx, lines)
	prefix := revision.String() + "\x00"
	if err != nil || !slices.ContainsFunc(slices.Collect(maps.Keys(c)), func(key string) bool { return strings.HasPrefix(key, prefix) }) {
		return out, err
	}
	name := path()
	var as []blamed // the lines as the revision has them, where that is not how they were brought
	var which []int
	for i, l := range lines {
		if l.commit != revision || l.path != name {
			l.commit, l.path, l.origin = revision, name, l.number
			as, which = append(as, l), append(which, i)
		}
	}
	more, err := c.words(ctx, as)
	for i, said := range more {
		if was := &out[which[i]]; *was == "" {
			*was = said
		} else if said != "" && said != *was {
			*was += ", " + said
		}
	}
	return out, err
}

// words returns what is claimed of each of these lines, by the number that it has in its commit. Of a line the first words are told, and that
// there are more.
func (c claims) words(ctx context.Context, lines []blamed) ([]string, error) {
	files := map[string][]int{} // which of the lines, by commit and path
	for i := range lines {
		key := lines[i].commit.String() + "\x00" + lines[i].path
		if len(c[key]) > 0 {
			files[key] = append(files[key], i)
		}
	}
	out := make([]string, len(lines))
	for key, at := range files {
		slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(lines[a].origin, lines[b].origin) })
		list := slices.Clone(c[key])
		slices.SortFunc(list, func(a, b claim) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Model, b.Model), cmp.Compare(a.start, b.start))
		})
		words := make([][]string, len(at))
		open := make([]int, len(at)+1) // the next line, from this one on, that takes words; itself where it does
		for i := range open {
			open[i] = i
		}
		next := func(i int) int {
			for open[i] != i {
				open[i] = open[open[i]]
				i = open[i]
			}
			return i
		}
		told := 0 // lines before this one have the word
		for i := range list {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			x := &list[i]
			if i == 0 || list[i-1].contributor != x.contributor {
				told = 0
			}
			from, _ := slices.BinarySearchFunc(at, x.start, func(l, origin int) int { return cmp.Compare(lines[l].origin, origin) })
			j := next(max(from, told))
			for ; j < len(at) && lines[at[j]].origin <= x.end; j = next(j + 1) {
				word := "…"
				if len(words[j]) == maxWords {
					open[j] = j + 1
				} else {
					word = x.word()
				}
				words[j] = append(words[j], word)
				told = j + 1
			}
		}
		for j, l := range at {
			out[l] = strings.Join(words[j], ", ")
		}
	}
	return out, nil
}

// readClaims reads records, one on each line. What is of no Git commit is passed over.
func readClaims(ctx context.Context, b []byte) (claims, error) {
	if len(b) > maxTraces {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", errTrace, len(b), maxTraces)
	}
	out := claims{}
	n, ranges := 0, 0
	for line := range bytes.Lines(b) {
		n++
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		bad := func(format string, a ...any) error {
			return fmt.Errorf("%w: line %d: %s", errTrace, n, fmt.Sprintf(format, a...))
		}
		if len(line) > maxTraceLine {
			return nil, bad("%d bytes", len(line))
		}
		var r struct {
			record
			Metadata json.RawMessage `json:"metadata"` // anybody's
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, bad("%v", err)
		}
		if !traceVersions().MatchString(r.Version) || r.ID == "" {
			return nil, bad("version %.20q, id %.40q", r.Version, r.ID)
		}
		if r.VCS == nil || r.VCS.Type != "git" || !revisions().MatchString(r.VCS.Revision) {
			continue
		}
		for i := range r.Files {
			f := &r.Files[i]
			key := r.VCS.Revision + "\x00" + f.Path
			for j := range f.Conversations {
				talk := &f.Conversations[j]
				for _, x := range talk.Ranges {
					who := cmp.Or(x.Contributor, talk.Contributor, &contributor{Type: "unknown"})
					if ranges++; x.Start < 1 || x.End < x.Start || ranges > maxRanges {
						return nil, bad("lines %d to %d", x.Start, x.End)
					}
					if !slices.Contains([]string{"human", "ai", "mixed", "unknown"}, who.Type) {
						return nil, bad("contributor %.20q", who.Type)
					}
					if len(who.Model) > maxModel {
						return nil, bad("a model's name of %d bytes", len(who.Model))
					}
					out[key] = append(out[key], claim{x.Start, x.End, *who})
				}
			}
		}
	}
	return out, nil
}
