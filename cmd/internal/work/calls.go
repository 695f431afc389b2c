package work

import (
	"cmp"
	"errors"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
)

// late is how long after a seal a call may be dated that is in it: two clocks, and whole seconds.
const late = time.Minute

// Calls tells which calls of agents' tools put in the lines of commits, as agents' hooks recorded.
type Calls struct {
	w      *Work
	byPath map[string][]*audit.Written // the last first
	memo   map[string][]*audit.Written // by commit and path: of each line
	err    error                       // the first content that could not be read
}

// Err says why calls may be missing: some content could not be read.
func (c *Calls) Err() error { return Explain(c.err) }

// Calls reads the record of what agents' tools wrote in files of these paths.
func (w *Work) Calls(pin envelope.Digest, paths map[string]bool) (*Calls, error) {
	facts, err := w.Cache(false).Load(w.ctx, w.Session, pin)
	if err != nil {
		return nil, Explain(err)
	}
	list, err := audit.Writes(w.Session, facts, audit.Filter{}, func(p string) bool { return paths[p] })
	if err != nil {
		return nil, Explain(err)
	}
	c := &Calls{w: w, byPath: map[string][]*audit.Written{}, memo: map[string][]*audit.Written{}}
	for i := range list {
		c.byPath[list[i].Path] = append(c.byPath[list[i].Path], &list[i])
	}
	return c, nil
}

// At returns the call that put in a line, from 1, of a file as a commit has it; nil where none is known.
func (c *Calls) At(r *verdict.Result, path string, line int) *audit.Written {
	lines := c.of(r, path)
	if line < 1 || line > len(lines) {
		return nil
	}
	return lines[line-1]
}

func (c *Calls) of(r *verdict.Result, path string) []*audit.Written {
	if len(c.byPath[path]) == 0 {
		return nil
	}
	name := r.Commit.String() + ":" + path
	if lines, ok := c.memo[name]; ok {
		return lines
	}
	c.memo[name] = nil
	o, err := c.w.Session.Object(name, 0)
	if large := (*git.TooLargeError)(nil); errors.Is(err, git.ErrMissing) || errors.As(err, &large) {
		return nil
	}
	if err != nil {
		c.err = cmp.Or(c.err, err)
		return nil
	}
	c.memo[name] = audit.PutIn(Before(c.byPath[path], r), o.Data, MakerNames(r, path))
	return c.memo[name]
}

// MadeBy are who made a line in a commit: who sealed that, or what its change of the file was made of; and who rewrote what they
// made, nil where nobody did.
func MadeBy(r *verdict.Result, path string, line int) (made []verdict.Principal, rewrote *verdict.Principal) {
	if r.Principal == nil {
		return nil, nil
	}
	made, rewrote = r.MakersOf(path, line)
	if len(made) == 0 { // as a merge that took it in has it
		made = append(made, *r.Principal)
	}
	return made, rewrote
}

// MakerNames names who made each line of a path in a commit, as [MadeBy] does.
func MakerNames(r *verdict.Result, path string) func(line int) []string {
	return func(line int) []string {
		made, _ := MadeBy(r, path, line)
		out := make([]string, 0, len(made))
		for i := range made {
			out = append(out, made[i].Name)
		}
		return out
	}
}

// Before are the calls that were made by the time that a commit was sealed; all where that is not known.
func Before(calls []*audit.Written, r *verdict.Result) []*audit.Written {
	if r.Seal == nil || r.Seal.Seal == nil {
		return calls
	}
	until := r.Seal.Seal.Predicate.Entry.When().Add(late)
	out := make([]*audit.Written, 0, len(calls))
	for _, w := range calls {
		if !w.At.After(until) {
			out = append(out, w)
		}
	}
	return out
}

// Call is a call of an agent's tool that put lines in, as JSON.
type Call struct {
	Entry     string `json:"entry"`
	Principal string `json:"principal"` // whose record it is
	Agent     string `json:"agent,omitempty"`
	Session   string `json:"session,omitempty"`
	Tool      string `json:"tool,omitempty"`
	ID        string `json:"call,omitempty"`
	Model     string `json:"model,omitempty"`
	Time      string `json:"time"`
}

// Say names a call: its tool, its session, and the model where that is known.
func (c *Call) Say() string {
	out := say.Line(cmp.Or(c.Tool, "a tool"))
	for _, s := range []string{c.Session, c.Model} {
		if s != "" {
			out += ", " + say.Line(s)
		}
	}
	return out
}

// CallOf writes a call.
func CallOf(w *audit.Written) *Call {
	if w == nil {
		return nil
	}
	return &Call{Entry: string(w.Entry), Principal: w.By, Agent: w.Agent, Session: w.Session, Tool: w.Tool, ID: w.Call, Model: w.Model, Time: envelope.Timestamp(w.At)}
}
