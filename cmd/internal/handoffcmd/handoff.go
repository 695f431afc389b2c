// Package handoffcmd is the command group "handoff": work that one session leaves and another takes up.
package handoffcmd

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "handoff",
		Short: "Leave unfinished work to another session, and take it up",
		Long: `A handoff is a work tree as it is: what is staged, what is not, and the files that are
not tracked, as commits that a signed statement names, with what the next one must know.
"create" changes nothing here. "apply" puts it back byte for byte in another clone or work
tree, once: whoever comes second is told who has it.

Ignored files are not in it; nor are those with secrets, unless you say so.`,
	}
	cmd.AddCommand(newApply(env), newCreate(env), newList(env), newRelease(env), newShow(env), newVerify(env))
	return cmd
}

// Left is a file that is not in a handoff, with --json.
type Left struct {
	Path   string `json:"path,omitempty"`
	Path64 string `json:"path64,omitempty"` // where the bytes are no UTF-8
	Reason string `json:"reason"`
	Rule   string `json:"rule,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
}

// Taken is a resumption, with --json.
type Taken struct {
	ID        string `json:"id"`
	Principal string `json:"principal"`
	Time      string `json:"time"`
	State     string `json:"state"` // "has it", "lost", "again", "released", "void"
}

// Line is a handoff, with --json.
type Line struct {
	Type        string   `json:"type"` // "handoff"
	ID          string   `json:"id"`
	State       string   `json:"state"` // "open", "resumed"
	Time        string   `json:"time"`
	Principal   string   `json:"principal"`
	Kind        string   `json:"kind,omitempty"`
	Accountable string   `json:"accountable,omitempty"`
	Commit      string   `json:"commit"`
	Base        string   `json:"base,omitempty"`
	Ref         string   `json:"ref,omitempty"`
	Intent      string   `json:"intent,omitempty"`
	IntentState string   `json:"intentState,omitempty"`
	Note        string   `json:"note,omitempty"`
	Next        string   `json:"next,omitempty"`
	Questions   []string `json:"questions"`
	Memory      []string `json:"memory"`
	Evidence    []string `json:"evidence"`
	Files       int      `json:"files"`
	Bytes       int64    `json:"bytes"`
	Left        []Left   `json:"left"`
	LeftMore    int      `json:"leftMore,omitempty"`
	Resumed     []Taken  `json:"resumed"`
	Here        bool     `json:"here"` // its objects are in this repository
	Bundle      string   `json:"bundle,omitempty"`
}

func lineOf(id envelope.Digest, c *form.Creation) Line {
	l := Line{
		Type: "handoff", ID: string(id), State: "open", Commit: c.Commit.String(), Ref: c.Ref, Intent: c.Intent, IntentState: c.IntentState, Note: c.Note, Next: c.Next,
		Questions: append([]string{}, c.Questions...), Memory: append([]string{}, c.Memory...), Evidence: []string{}, Files: c.Files, Bytes: c.Bytes,
		Left: leftOf(c.Left), LeftMore: c.LeftMore, Resumed: []Taken{},
	}
	if !c.Base.IsZero() {
		l.Base = c.Base.String()
	}
	for _, d := range c.Evidence {
		l.Evidence = append(l.Evidence, string(d))
	}
	return l
}

func leftOf(list []form.Left) []Left {
	out := []Left{}
	for _, l := range list {
		out = append(out, Left{Path: l.Path, Path64: l.Path64, Reason: string(l.Reason), Rule: l.Rule, Bytes: l.Bytes})
	}
	return out
}

// line is a recorded handoff.
func line(s *git.Session, r *handoff.Record, h *form.Handoff) Line {
	l := lineOf(h.ID, &h.Creation)
	by := r.By(h.KeyID)
	l.Time, l.Principal, l.Kind, l.Accountable = envelope.Timestamp(h.Time), by.Name, by.Kind, by.Accountable
	if h.By() != nil {
		l.State = "resumed"
	}
	for _, t := range h.Taken {
		l.Resumed = append(l.Resumed, Taken{string(t.ID), r.Who(t.KeyID), envelope.Timestamp(t.Time), stateOf(t)})
	}
	_, err := s.Commit(h.Commit.String())
	l.Here = err == nil
	return l
}

func stateOf(t form.Taken) string {
	switch {
	case t.Counts:
		return "has it"
	case t.Released:
		return "released"
	case t.Void != "":
		return "void"
	case t.Again:
		return "again"
	}
	return "lost"
}

// reasons say in words why a file was left out.
var reasons = map[form.Reason]string{
	form.TooLarge: "too large", form.TooMuch: "more than is taken together", form.Secret: "it holds a secret", form.Submodule: "changes in a submodule",
	form.Nested: "a repository of its own", form.Special: "neither a file nor a link", form.Absent: "to be added, and not there", form.Name: "a name that Git does not check out",
}

// maxTold is how many files are named.
const maxTold = 20

// tellLeft warns of what is not in a handoff.
func tellLeft(env *cli.Env, c *form.Creation) {
	for i, l := range c.Left {
		if i == maxTold {
			break
		}
		why := reasons[l.Reason]
		if l.Rule != "" {
			why += " (" + say.Line(l.Rule) + ")"
		}
		env.Talk().Warn("not in the handoff: %s: %s", say.Name(l.PathBytes()), why)
	}
	if n := len(c.Left) + c.LeftMore - maxTold; n > 0 {
		env.Talk().Warn("and %s more; see all: covenant handoff show ID --json", say.Count(n, "file"))
	}
}

// looksLikeID reports whether an argument is the beginning of a handoff's id.
func looksLikeID(arg string) bool {
	text := strings.TrimPrefix(arg, "sha256:")
	if len(text)%2 == 1 {
		text += "0"
	}
	_, err := hex.DecodeString(text)
	return err == nil && len(text) >= 4 && utf8.ValidString(arg)
}

// opened is a repository with what its ledgers say of handoffs.
type opened struct {
	*work.Work
	pin envelope.Digest
	*handoff.Record
	asked string // the remote that was asked for a handoff
}

func open(ctx context.Context, env *cli.Env) (*opened, error) {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return nil, err
	}
	o := &opened{Work: w, pin: pin}
	if err := o.load(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return o, nil
}

func (w *opened) load(ctx context.Context) (err error) {
	w.Record, err = handoff.Load(ctx, w.Session, w.pin)
	return work.Explain(err)
}

// find finds the handoff that a person means.
func (w *opened) find(name string) (*form.Handoff, error) {
	h, err := w.Find(name)
	switch {
	case errors.Is(err, handoff.ErrUnknown):
		return nil, cli.Hint(err, "see which there are: covenant handoff list --all", "fetch what others made: covenant sync")
	case errors.Is(err, handoff.ErrAmbiguous):
		return nil, cli.Hint(err, "give more of its id; see them: covenant handoff list --all")
	}
	return h, err
}

// explain says what a person types next, and whether the answer is no.
func explain(err error, id string) error {
	var unmerged *handoff.UnmergedError
	var operation *handoff.OperationError
	var blocked *handoff.BlockedError
	var base *handoff.BaseError
	var resumed *handoff.AlreadyResumedError
	var damaged *handoff.JournalError
	apply := "covenant handoff apply " + id
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unmerged):
		return cli.Hint(err, "resolve "+names(unmerged.Paths)+", and git add what is resolved", "see them: git status")
	case errors.As(err, &operation):
		return cli.Hint(err, "a handoff does not hold what Git keeps of it; finish it, or take it back: git "+strings.Fields(operation.What)[0]+" --continue, or --abort")
	case errors.As(err, &resumed):
		return cli.No(cli.Hint(err, "see who has it: covenant handoff show "+handoff.Short(resumed.ID), "where they are gone, they or an operator let it go: covenant handoff release "+handoff.Short(resumed.ID), "to take a copy all the same, which is recorded: covenant handoff apply "+handoff.Short(resumed.ID)+" --again"))
	case errors.Is(err, handoff.ErrChanged) && errors.As(err, &blocked):
		return cli.Hint(err, "they are "+names(blocked.Paths)+"; move them elsewhere, and try again")
	case errors.Is(err, handoff.ErrKept) && errors.As(err, &blocked):
		return cli.Hint(err, "they are "+names(blocked.Paths)+"; nothing was taken back", "finish it: covenant handoff apply --continue", "what base has of one: git show HEAD:PATH")
	case errors.As(err, &damaged):
		return cli.Hint(err, mendJournal(damaged))
	case errors.Is(err, handoff.ErrIndex):
		return cli.Hint(err, "see what it holds now: git diff --cached", "take the files back, and leave it as it is: covenant handoff apply --abort")
	case errors.Is(err, handoff.ErrDirty) && errors.As(err, &blocked):
		return cli.No(cli.Hint(err, "they are "+names(blocked.Paths)+"; commit them, or hand them off: covenant handoff create", "beside them, where they are not in the way: "+apply+" --force", "into a work tree of its own: "+apply+" --worktree DIR"))
	case errors.Is(err, handoff.ErrInTheWay) && errors.As(err, &blocked):
		return cli.No(cli.Hint(err, "nothing is overwritten; move them elsewhere: "+names(blocked.Paths), "or into a work tree of its own: "+apply+" --worktree DIR"))
	case errors.As(err, &base):
		if base.Base.IsZero() {
			return cli.Hint(err, "it is of a branch without commits: apply it in such a repository")
		}
		return cli.Hint(err, "into a work tree of its own, which is made: "+apply+" --worktree DIR", "here, on a new branch: "+apply+" --onto-branch NAME")
	case errors.Is(err, handoff.ErrPending):
		return cli.Hint(err, "finish it: covenant handoff apply --continue", "take it back: covenant handoff apply --abort")
	case errors.Is(err, handoff.ErrNoPending):
		return cli.Hint(err, "see which handoffs there are: covenant handoff list")
	case errors.Is(err, handoff.ErrTheirs):
		return cli.No(cli.Hint(err, "act as them, or as an operator: --identity NAME"))
	case errors.Is(err, handoff.ErrNotHeld):
		return cli.No(cli.Hint(err, "take it up: "+apply))
	case errors.Is(err, handoff.ErrStripped):
		return cli.No(cli.Hint(err, "ask an operator for a grant: covenant capability request"))
	case errors.Is(err, handoff.ErrIndexLock):
		return cli.Hint(err, "when no git runs there any more: rm "+say.Shell(strings.TrimPrefix(err.Error(), handoff.ErrIndexLock.Error()+": ")))
	case errors.Is(err, handoff.ErrNoWorkTree):
		return cli.Hint(err, "change into one: git worktree list")
	case errors.Is(err, handoff.ErrMissing):
		return cli.Hint(err, "fetch them: git fetch && covenant sync", "or ask for a bundle: covenant handoff create --bundle FILE")
	case errors.Is(err, handoff.ErrMismatch), errors.Is(err, handoff.ErrUnsafe), errors.Is(err, git.ErrUnsound):
		return cli.No(cli.Hint(err, "do not use it; nothing was written"))
	case errors.Is(err, handoff.ErrTooLarge):
		return cli.Hint(err, "if that is what you expect: --max-bytes 1g")
	case errors.Is(err, handoff.ErrTooMany):
		return cli.Hint(err, "ignore what is made by programs: see git status --untracked-files=all")
	}
	return work.Explain(err)
}

// mendJournal says what to do about a journal that can't be read.
func mendJournal(e *handoff.JournalError) string {
	return "files of a work tree may have been replaced; what stood there is kept in " + say.Shell(e.Dir) + "; put back what you miss, then: rm -r " + say.Shell(e.Dir)
}

// names lists paths for people, some of them.
func names(paths []string) string {
	var out []string
	for i, p := range paths {
		if i == maxTold {
			out = append(out, "and "+say.Count(len(paths)-i, "more path"))
			break
		}
		out = append(out, say.Name(p))
	}
	return strings.Join(out, ", ")
}
