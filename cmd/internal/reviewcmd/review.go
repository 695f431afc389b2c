// Package reviewcmd is the command group "review": what people say of changes.
package reviewcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "review",
		Short: "Review changes, and see what was said of them",
		Long: `A review is a signed statement about a change: from one tree to another, for one ref.
It counts for exactly that step, and once: when either side changes another review is
needed, and so is when somebody puts an old reviewed tree back.

The policy says how many people must approve what reaches a protected ref ("reviews",
also for paths alone). Only people of the trust root count, each once, whatever keys
they use, and nobody for commits of one's own or of one's agents. Reviews of agents
are recorded, and stand in for nobody.`,
	}
	cmd.AddCommand(
		newGive(env, review.Approve, "approve [REV | A..B]", "Approve a change",
			"Say that a change is good, as the person whose key this is. Where the policy asks for\na person's presence, it is asked for."),
		newGive(env, review.Reject, "reject [REV | A..B]", "Stand in the way of a change",
			"Say that a change is not good. While that stands, the change does not verify where the\npolicy asks for reviews, however many approve it: approve it, or withdraw the review."),
		newGive(env, review.Comment, "comment [REV | A..B]", "Say something of a change",
			"Say something of a change that neither lets it pass nor stands in its way."),
		newGive(env, review.Request, "request [REV | A..B]", "Ask for a review of a change",
			"Ask for a review of a change; --from says whom."),
		newGive(env, review.Withdraw, "withdraw [REV | A..B]", "Take back what was said of a change",
			"Say that your earlier reviews of this very change count for nothing."),
		newImport(env), newList(env), newShow(env), newVerify(env))
	return cmd
}

// Line is one review with --json.
type Line struct {
	Type        string           `json:"type"` // "review"
	ID          string           `json:"id"`
	Verdict     string           `json:"verdict"`
	State       string           `json:"state,omitempty"` // open, used, stale
	Ref         string           `json:"ref"`
	Commit      string           `json:"commit"`
	Tree        string           `json:"tree"`
	Base        string           `json:"base,omitempty"` // the commit that the change comes from; absent: none
	BaseTree    string           `json:"baseTree,omitempty"`
	Principal   string           `json:"principal"`
	Kind        string           `json:"kind,omitempty"`
	Accountable string           `json:"accountable,omitempty"`
	Time        string           `json:"time"`
	Attended    bool             `json:"attended"`
	From        []string         `json:"from,omitempty"`
	Gates       []string         `json:"gates,omitempty"`
	Account     string           `json:"account,omitempty"` // on a forge, which its signer tells of
	Person      string           `json:"person,omitempty"`  // whose the policy says that account is
	URL         string           `json:"url,omitempty"`
	Text        string           `json:"text,omitempty"`
	Findings    []review.Finding `json:"findings,omitempty"`
}

type giveOptions struct {
	ref, text, who       string
	findings, from, gate []string
	json                 bool
}

func newGive(env *cli.Env, verdict review.Verdict, use, short, long string) *cobra.Command {
	var o giveOptions
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: long + `

A..B is the change from where B left A; REV, or HEAD, from where it left the ref that
it is for; a tree is that of the newest commit that has it. --ref names that ref; without it it is the branch that A names, else the one
that the policy protects.`,
		Example: "  covenant review " + string(verdict) + " main..agent/fix --text 'reads well'\n  covenant review " + string(verdict) + " --ref release/2 HEAD",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runGive(cmd.Context(), env, verdict, &o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ref, "ref", "", "the ref that the change is for, a full name or a branch")
	f.StringVarP(&o.text, "text", "m", "", "what to say, for people; - reads it from standard input")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	if verdict != review.Request && verdict != review.Withdraw {
		f.StringArrayVar(&o.findings, "finding", nil, "something about a place: [note|warning|error:]PATH[:LINE]: TEXT; may be repeated")
	}
	if verdict == review.Approve {
		f.StringArrayVar(&o.gate, "gate", nil, "a gate of an intent that this review passes; may be repeated")
	}
	if verdict == review.Request {
		f.StringArrayVar(&o.from, "from", nil, "name of who is asked; may be repeated")
	}
	f.BoolVar(&o.json, "json", false, "print the review as one JSON object")
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Revisions(env))
	return cmd
}

func runGive(ctx context.Context, env *cli.Env, says review.Verdict, o *giveOptions, args []string) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	f, err := w.Cache(false).LoadTopic(ctx, w.Session, pin, prov.Topic)
	if err != nil {
		return work.Explain(err)
	}
	p, err := propose(ctx, w, f, o.ref, args)
	if err != nil {
		return err
	}
	pred := review.Predicate{Verdict: says, Ref: p.Ref, Base: review.Base{Commit: p.Base.ID, Tree: p.Base.Tree}, From: sorted(o.from), Gates: sorted(o.gate)}
	if pred.Text, err = said(ctx, env, o.text); err != nil {
		return err
	}
	for _, text := range o.findings {
		one, err := finding(env, text)
		if err != nil {
			return err
		}
		pred.Findings = append(pred.Findings, one)
	}
	for _, name := range pred.From {
		if _, ok := f.Authority.ByName(name); !ok {
			return cli.Hint(fmt.Errorf("nobody here is named %s", say.Name(name)), "see who is: covenant identity list")
		}
	}
	if there, err := provenance.HasRef(w.Session, p.Ref); err == nil && !there {
		env.Talk().Note("there is no %s, here or at a remote: git branch --all", say.Name(p.Ref))
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	k.Moment = "review"
	if who := k.Hand.Principal; says == review.Approve || says == review.Reject {
		if who.Kind == string(trust.Human) {
			if says == review.Approve {
				own(env, w, f, p, who.Name)
			}
			if err := w.Presence(f.Root, k.Hand.Signer.Public(), fmt.Sprintf("%s %s for %s", says, p.Head.ID.Short(), p.Ref)); err != nil {
				return err
			}
		} else {
			env.Talk().Note("%s is no person: the review is recorded, and counts for no approval that the policy asks for", say.Name(who.Name))
		}
	}
	made, err := k.Review(ctx, p.Head.ID, p.Head.Tree, pred)
	if errors.Is(err, review.ErrInvalid) {
		return cli.Usage("%v", err)
	}
	if err != nil {
		return work.Explain(err)
	}
	if says == review.Reject || says == review.Withdraw {
		if states, err := f.ReviewStates(w.Session, []provenance.Review{*made}); err == nil && states[0] == provenance.ReviewUsed {
			env.Talk().Note("%s made that step: what was admitted stands", say.Name(p.Ref))
		}
	}
	if o.json {
		return env.JSON(lineOf(f, made, provenance.ReviewOpen))
	}
	past := map[review.Verdict]string{review.Approve: "approved", review.Reject: "rejected", review.Comment: "commented", review.Request: "requested", review.Withdraw: "withdrawn"}
	if _, err = fmt.Fprintf(env.Out, "%s %s for %s, from %s\n%s\n", env.Palette().Good(past[says]), p.Head.ID.Short(), say.Name(p.Ref), short(p.Base.ID), made.ID); err != nil {
		return err
	}
	env.Talk().Hint("others see it after: covenant sync") // a push without commits sends nothing
	return nil
}

// own tells who approves commits that it answers for: that counts for none of those.
func own(env *cli.Env, w *work.Work, f *provenance.Facts, p *provenance.Proposal, name string) {
	commits, err := p.Commits(w.Session)
	if err != nil {
		return
	}
	n := 0
	for _, c := range commits {
		if slices.ContainsFunc(f.SealsOf(c.ID), func(x verdict.Candidate) bool {
			by, known := f.Authority.ByKey(x.KeyID)
			return known && by.Accountable == name
		}) {
			n++
		}
	}
	if n > 0 {
		env.Talk().Note("%s answers for %s of it: for those the approval counts for nothing", say.Name(name), say.Count(n, "commit"))
	}
}

// propose finds the change that arguments mean.
func propose(ctx context.Context, w *work.Work, f *provenance.Facts, ref string, args []string) (*provenance.Proposal, error) {
	rev := "HEAD"
	if len(args) > 0 {
		rev = args[0]
	}
	p, err := f.Propose(ctx, w.Session, ref, rev)
	switch {
	case errors.Is(err, provenance.ErrTarget):
		return nil, cli.Hint(err, "name it: --ref NAME", "see what is protected: covenant policy show")
	case errors.Is(err, provenance.ErrNoChange):
		return nil, cli.Hint(err, "A..B is what B has and A has not; see it with: git log A..B")
	case err != nil:
		return nil, work.Explain(err)
	}
	return p, nil
}

// said is a text as a person gives it, without what is no text of a review.
func said(ctx context.Context, env *cli.Env, text string) (string, error) {
	if text == "-" {
		b, err := env.Read(ctx, "-", review.MaxText)
		if err != nil {
			return "", err
		}
		text = strings.TrimSpace(string(b))
	}
	return work.Redacted(env, "text", text)
}

// finding reads [SEVERITY:]PATH[:LINE]: TEXT.
func finding(env *cli.Env, text string) (review.Finding, error) {
	one := review.Finding{Severity: review.Note}
	for _, s := range []string{review.Note, review.Warning, review.Error} {
		if rest, ok := strings.CutPrefix(text, s+":"); ok {
			one.Severity, text = s, rest
			break
		}
	}
	place, rest, ok := strings.Cut(text, ": ")
	if !ok || place == "" || strings.TrimSpace(rest) == "" {
		return one, cli.Usage("--finding takes [note|warning|error:]PATH[:LINE]: TEXT, not %q", text)
	}
	one.Path = place
	if i := strings.LastIndexByte(place, ':'); i > 0 {
		if n, err := strconv.ParseUint(place[i+1:], 10, 30); err == nil && n > 0 {
			one.Path, one.Line = place[:i], int(n) //nolint:gosec // 30 bits
		}
	}
	var err error
	one.Text, err = work.Redacted(env, "finding", strings.TrimSpace(rest))
	return one, err
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func text(id oid.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func short(id oid.ID) string {
	if id.IsZero() {
		return "nothing"
	}
	return id.Short()
}

// lineOf is a review for programs.
func lineOf(f *provenance.Facts, r *provenance.Review, state provenance.ReviewState) Line {
	p := &r.Statement.Predicate
	l := Line{
		Type: "review", ID: string(r.ID), Verdict: string(p.Verdict), State: string(state), Ref: p.Ref, Commit: r.Statement.Commit().String(), Tree: r.Statement.Tree().String(),
		Base: text(p.Base.Commit), BaseTree: text(p.Base.Tree), Time: envelope.Timestamp(r.Time), Attended: p.Attended, From: p.From, Gates: p.Gates, Text: p.Text, Findings: p.Findings,
	}
	l.Principal = r.KeyID
	if who, ok := f.Authority.ByKey(r.KeyID); ok {
		l.Principal, l.Kind, l.Accountable = who.Name, who.Kind, who.Accountable
	}
	if g := p.Forge; g != nil {
		l.Account, l.URL = g.Account, g.URL
		l.Person, _ = f.Root.Policy.Person(g.Account)
	}
	return l
}

// byTime orders reviews, the oldest first.
func byTime(a, b provenance.Review) int {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Seq, b.Seq))
}
