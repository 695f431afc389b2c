package blamecmd

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
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

// trace makes a record of a file: its identity is a digest of what it is of, so that it is the same whenever it is made.
func trace(path, revision, when string, lines []blamed, result func(*blamed) (*verdict.Result, []verdict.Principal, *work.Call)) *record {
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
		if last != nil && last.Commit == l.commit.String() && last.End == l.number-1 && same(last.Call, call) {
			last.End = l.number
			continue
		}
		last = &attribution{Start: l.number, End: l.number, Commit: l.commit.String(), Verdict: r.Verdict, Principals: []string{}, Accountable: []string{}, Call: call}
		if kind != "unknown" {
			for _, p := range made {
				last.Principals, last.Accountable = append(last.Principals, p.Name), append(last.Accountable, p.Accountable)
			}
		}
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
		Version: traceVersion, ID: identity(revision, path), Timestamp: when, VCS: &vcs{"git", revision}, Tool: &tool{Name: "covenant"}, Files: []traced{f},
		Metadata: map[string][]any{"covenant": all},
	}
}

func same(a, b *work.Call) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// identity is a UUID of version 8 (RFC 9562).
func identity(revision, path string) string {
	b := sha256.Sum256([]byte("covenant agent-trace\x00" + revision + "\x00" + path))
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

// of returns what is claimed of a line of a file of a commit, by the number that it has there; "" for nothing.
func (c claims) of(l *blamed) string {
	var out []string
	for _, x := range c[l.commit.String()+"\x00"+l.path] {
		if l.origin < x.start || l.origin > x.end {
			continue
		}
		word := x.Type
		if x.Model != "" {
			word += " " + x.Model
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// readClaims reads records, one on each line. What is of no Git commit is passed over.
func readClaims(b []byte) (claims, error) {
	if len(b) > maxTraces {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", errTrace, len(b), maxTraces)
	}
	out := claims{}
	n, ranges := 0, 0
	for line := range bytes.Lines(b) {
		n++
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
					out[key] = append(out[key], claim{x.Start, x.End, *who})
				}
			}
		}
	}
	return out, nil
}

// read reads a file, or standard input, as far as it is looked at.
func read(env *cli.Env, name string) ([]byte, error) {
	in := env.In
	if name != "-" {
		f, err := os.Open(env.Path(name)) //nolint:gosec // the person's own file
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxTraces+1))
}
