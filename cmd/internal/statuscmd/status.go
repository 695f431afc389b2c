// Package statuscmd is the command "status": how governance stands here, in a screen.
package statuscmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/hookscmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
	"github.com/open-covenant/covenant-git/hooks"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how governance stands here: root, identity, hooks, unsealed commits",
		Long: `Show how governance stands here: the pinned trust root, its operators, the identity
that would seal a commit now (or why none can), whether Git reaches the hooks,
how many commits of HEAD's history have no good seal, and which of the protected refs
that are here are not where their newest admission put them.`,
		Example: "  covenant status\n  covenant status --json | jq .unsealed",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// Status is what status prints with --json.
type Status struct {
	Type      string   `json:"type"`    // "status"
	Root      string   `json:"root"`    // the pin
	Version   int      `json:"version"` // of the trust root, in force
	Head      string   `json:"head"`    // its digest
	Operators []string `json:"operators"`
	Identity  string   `json:"identity,omitempty"` // acts here; empty when none can
	Why       string   `json:"why,omitempty"`      // why none can
	Tool      string   `json:"tool,omitempty"`     // the agent tool seen in the environment
	Branch    string   `json:"branch,omitempty"`
	Unreached []string `json:"unreached"` // hooks that Git does not reach
	Governed  int      `json:"governed"`  // commits of HEAD's history under governance
	Unsealed  int      `json:"unsealed"`  // of those
	Invalid   int      `json:"invalid"`
	Failed    int      `json:"failed"` // commits that hooks could not seal and nobody did since
	Problems  int      `json:"problems"`
	Shallow   bool     `json:"shallow,omitempty"` // the history of this clone ends too early to tell how HEAD's commits stand, or protected refs
	Protected int      `json:"protected"`         // refs that are here and that the policy protects
	NotThere  []string `json:"notThere"`          // those that are not where their newest admission put them
}

func run(ctx context.Context, env *cli.Env, asJSON bool) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	st := Status{Type: "status", Root: string(pin), Unreached: []string{}, NotThere: []string{}}
	facts, sealed, err := judge(ctx, w, pin, &st)
	if st.Shallow = errors.Is(err, provenance.ErrShallow); st.Shallow || errors.Is(err, provenance.ErrRevision) {
		st.Governed, st.Unsealed, st.Invalid = 0, 0, 0 // what is here of history is no answer, or there is no commit yet
		facts, err = w.Cache(false).Load(ctx, w.Session, pin)
	}
	if err != nil {
		return work.Explain(err)
	}
	st.Problems += len(sync.TakenBack(w.Session.Repo()))
	st.Operators, st.Version, st.Head = facts.Root.Operators, facts.Root.Version, string(facts.Root.Digest)
	choice := w.Choice()
	choice.Ask = nil // looking must not ask
	st.Tool = choice.Tool
	if h, err := provenance.ChooseHand(w.Session.Repo(), facts.Authority, choice); err != nil {
		st.Why = err.Error()
	} else {
		st.Identity = h.Principal.Name
	}
	if st.Branch, err = w.Session.HeadRef(); err != nil {
		return err
	}
	for _, f := range hooks.Failures(w.Session.Repo()) {
		if done, here := sealed[f.Commit]; here && !done {
			st.Failed++
		}
	}
	if w.Session.Repo().WorkTree() != "" {
		if st.Unreached, err = hookscmd.Unreached(ctx, env, w.Session.Repo()); err != nil {
			return err
		}
	}
	refs, err := w.RefStates(pin, w.Cache(false))
	if errors.Is(err, provenance.ErrShallow) {
		st.Shallow, err = true, nil
	}
	if err != nil {
		return work.Explain(err)
	}
	st.Protected = len(refs)
	for i := range refs {
		if !refs[i].OK() {
			st.NotThere = append(st.NotThere, refs[i].Ref)
		}
	}
	if asJSON {
		return env.JSON(st)
	}
	return tell(env, st)
}

// judge counts the commits of HEAD's history, and returns which of them are sealed.
func judge(ctx context.Context, w *work.Work, pin envelope.Digest, st *Status) (*provenance.Facts, map[oid.ID]bool, error) {
	span, err := provenance.ParseSpan(w.Session)
	if err != nil {
		return nil, nil, err
	}
	opts := w.Looking(pin)
	opts.Cache = w.Cache(false)
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	if err != nil {
		return nil, nil, err
	}
	sealed := map[oid.ID]bool{}
	for r, err := range rep.Results {
		if err != nil {
			return nil, nil, err
		}
		if r.Verdict == verdict.Before {
			continue
		}
		st.Governed++
		sealed[r.Commit] = r.SealID != "" || r.Verdict.OK()
		switch r.Verdict {
		case verdict.Unsealed:
			st.Unsealed++
		case verdict.Invalid:
			st.Invalid++
		}
	}
	st.Problems = len(rep.Problems)
	return rep.Facts, sealed, nil
}

func tell(env *cli.Env, st Status) error {
	p := env.Palette()
	row := func(name, format string, a ...any) error {
		_, err := fmt.Fprintf(env.Out, "%-10s %s\n", name, fmt.Sprintf(format, a...))
		return err
	}
	identity := say.Line(st.Identity)
	if st.Identity == "" {
		identity = p.Bad("none: ") + say.Line(st.Why)
	}
	hooksSay := p.Good("reached")
	if len(st.Unreached) > 0 {
		hooksSay = p.Bad(fmt.Sprint("not reached: ", st.Unreached)) + " (covenant hooks install)"
	}
	seals := say.Count(st.Governed, "commit") + " governed"
	if n := st.Unsealed + st.Invalid; n > 0 {
		seals += ", " + p.Bad(fmt.Sprintf("%d unsealed, %d invalid", st.Unsealed, st.Invalid)) + " (covenant verify -q)"
	}
	if st.Shallow && st.Governed == 0 {
		seals = p.Warn("not known: too little of the history is here") + " (git fetch --unshallow)"
	}
	root := fmt.Sprintf("version %d %s", st.Version, st.Head)
	if st.Root != st.Head {
		root += ", pinned at " + envelope.Digest(st.Root).Short()
	}
	branch := st.Branch
	if branch == "" {
		branch = "HEAD (detached)"
	}
	for _, r := range [][2]string{
		{"root", root},
		{"operators", fmt.Sprint(len(st.Operators)) + ": " + say.Line(fmt.Sprint(st.Operators))},
		{"identity", identity},
		{"hooks", hooksSay},
		{"on", say.Name(branch)},
		{"seals", seals},
	} {
		if err := row(r[0], "%s", r[1]); err != nil {
			return err
		}
	}
	if st.Protected > 0 {
		if err := row("protected", "%s", protected(p, st)); err != nil {
			return err
		}
	}
	if st.Failed > 0 {
		if err := row("failed", "%s", p.Bad(say.Count(st.Failed, "commit")+" that hooks could not seal")+" (covenant doctor)"); err != nil {
			return err
		}
	}
	if st.Problems > 0 {
		return row("problems", "%s", p.Warn(fmt.Sprint(st.Problems))+" (covenant doctor)")
	}
	return nil
}

// maxNamed is how many refs a line names.
const maxNamed = 3

func protected(p say.Palette, st Status) string {
	here := say.Count(st.Protected, "ref") + " here"
	n := len(st.NotThere)
	if n == 0 {
		return here + ", " + p.Good("where admitted")
	}
	names := strings.Join(st.NotThere[:min(n, maxNamed)], ", ")
	if n > maxNamed {
		names += ", …"
	}
	return fmt.Sprintf("%s, %s: %s (covenant ref verify)", here, p.Warn(fmt.Sprintf("%d not where admitted", n)), say.Line(names))
}
