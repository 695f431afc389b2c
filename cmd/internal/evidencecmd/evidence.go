// Package evidencecmd is the command group "evidence": commands that were run against an exact tree, and how that ended.
package evidencecmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	stated "github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "Run commands against an exact tree, and keep how that ended",
		Long: `Evidence is the signed statement that a command was run against an exact tree, and how
that ended. It stands on the tree: a squash, a rebase or a merge that has the same tree has
it too, and a commit that has another tree has none of it.

It was observed by covenant under the control of whoever ran it: what it is worth depends
on who that was. "list" and "show" say so, and a policy says whose evidence counts
("covenant policy show").`,
	}
	cmd.AddCommand(newRun(env), newList(env), newShow(env), newVerify(env), newRerun(env))
	return cmd
}

// Shown is one statement of evidence with --json.
type Shown struct {
	Type         string        `json:"type"` // "evidence"
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Tree         string        `json:"tree"`
	Result       string        `json:"result"` // passed, warned or failed
	Exit         int           `json:"exit"`
	Signal       string        `json:"signal,omitempty"`
	TimedOut     bool          `json:"timedOut,omitempty"`
	Changed      bool          `json:"changed,omitempty"` // files of the tree were not as they were, afterwards
	Left         bool          `json:"left,omitempty"`    // it left processes behind, which were ended
	Principal    string        `json:"principal"`
	Kind         string        `json:"kind"`
	Accountable  string        `json:"accountable"`
	Key          string        `json:"key"`
	Time         string        `json:"time"`
	Milliseconds uint64        `json:"milliseconds"`
	Where        string        `json:"where"`
	Dir          string        `json:"dir,omitempty"`
	Absent       []string      `json:"absent,omitempty"`
	Argv         []string      `json:"argv"`
	Tests        *stated.Tests `json:"tests,omitempty"`
	FailedTests  []string      `json:"failedTests,omitempty"`
	Output       Sum           `json:"output"`
	Rerun        string        `json:"rerun,omitempty"` // the evidence that it repeats
	Ledger       string        `json:"ledger"`
	Seq          uint64        `json:"seq"`
}

// Sum says how much a command wrote.
type Sum struct {
	Bytes    uint64 `json:"bytes"`
	SHA256   string `json:"sha256"`
	Redacted uint64 `json:"redacted,omitempty"`
}

func shown(f *provenance.Facts, e *provenance.Evidence) Shown {
	p := &e.Statement.Predicate
	r := &p.Run
	out := Shown{
		Type: "evidence", ID: string(e.ID), Name: r.Name, Tree: e.Statement.Tree().String(), Result: result(p), Exit: r.Exit, Signal: r.Signal, TimedOut: r.TimedOut,
		Changed: r.Changed, Left: r.Left, Key: e.KeyID, Time: r.Started, Milliseconds: r.Milliseconds, Where: r.Where, Dir: r.Dir, Absent: r.Absent, Argv: r.Argv, Tests: r.Tests,
		FailedTests: p.FailedTests, Output: Sum{r.Output.Bytes, r.Output.SHA256, r.Output.Redacted}, Rerun: string(r.Rerun), Ledger: e.Ledger, Seq: e.Seq,
	}
	if who, ok := f.Authority.ByKey(e.KeyID); ok { // whom it names is a claim; whose the key is, is known
		out.Principal, out.Kind, out.Accountable = who.Name, who.Kind, who.Accountable
	}
	return out
}

func result(p *stated.Predicate) string { return strings.ToLower(string(p.Result)) }

// line is one statement in a line for people.
func line(env *cli.Env, x *Shown) string {
	p := env.Palette()
	word := fmt.Sprintf("%-6s", x.Result)
	switch x.Result {
	case "passed":
		word = p.Good(word)
	case "warned":
		word = p.Warn(word)
	default:
		word = p.Bad(word)
	}
	return fmt.Sprintf("%s %s %s %-12s %s  %s", p.Mark(envelope.Digest(x.ID).Short()), x.Time, word, say.Line(x.Name), say.Line(who(x)), say.Line(ending(x)))
}

func who(x *Shown) string {
	if x.Kind == "human" {
		return x.Principal
	}
	return x.Principal + " (" + x.Kind + ")"
}

// ending says in a few words how it ended.
func ending(x *Shown) string {
	parts := []string{fmt.Sprintf("exit %d", x.Exit)}
	if x.Signal != "" {
		parts = append(parts, "by "+x.Signal)
	}
	if x.TimedOut {
		parts = append(parts, "out of time")
	}
	if x.Changed {
		parts = append(parts, "changed the tree")
	}
	if x.Left {
		parts = append(parts, "left processes behind")
	}
	if x.Tests != nil {
		parts = append(parts, tests(x.Tests))
	}
	if len(x.Absent) > 0 {
		parts = append(parts, "without "+strings.Join(x.Absent, " and "))
	}
	return strings.Join(append(parts, duration(x.Milliseconds)+" in a "+x.Where), ", ")
}

func tests(t *stated.Tests) string {
	out := fmt.Sprintf("%d passed", t.Passed)
	if t.Failed > 0 {
		out += fmt.Sprintf(", %d failed", t.Failed)
	}
	if t.Skipped > 0 {
		out += fmt.Sprintf(", %d skipped", t.Skipped)
	}
	return out
}

func duration(ms uint64) string {
	return (time.Duration(min(ms, 1<<40)) * time.Millisecond).String() //nolint:gosec // bounded
}

// record is an opened repository with all that its ledgers say.
type record struct {
	*work.Work
	facts *provenance.Facts
}

func openRecord(ctx context.Context, env *cli.Env, root string) (*record, error) {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return nil, err
	}
	f, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		w.Close()
		return nil, work.Explain(err)
	}
	return &record{w, f}, nil
}

// treeOf finds the tree, and where there is one the commit, that a revision names.
func treeOf(s *git.Session, rev string) (tree, commit oid.ID, err error) {
	if rev == "HEAD" {
		c, err := s.Commit("HEAD")
		if errors.Is(err, git.ErrMissing) {
			err = &provenance.RevisionError{Rev: rev}
		}
		return c.Tree, c.ID, work.Explain(err)
	}
	if id, perr := oid.Parse(rev); perr == nil {
		o, err := s.Object(id.String()+"^{tree}", 64<<20)
		if err != nil {
			return oid.ID{}, oid.ID{}, work.Explain(err)
		}
		if c, err := s.Commit(id.String() + "^{commit}"); err == nil {
			commit = c.ID
		}
		return o.ID, commit, nil
	}
	sp, err := provenance.ParseSpan(s, rev)
	if err == nil && (sp.Ranged || len(sp.Tips) != 1) {
		return oid.ID{}, oid.ID{}, cli.Usage("evidence is about one tree, and %q names a range", rev)
	}
	if err != nil {
		return oid.ID{}, oid.ID{}, work.Explain(err)
	}
	c, err := s.Commit(sp.Tips[0].String())
	return c.Tree, c.ID, work.Explain(err)
}

// explain says what to type next.
func explain(err error) error {
	if errors.Is(err, provenance.ErrNoEvidence) {
		return cli.Hint(err, "see what there is: covenant evidence list", "more may be at the remote: covenant sync")
	}
	return work.Explain(err)
}
