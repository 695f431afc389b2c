package reviewcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func newList(env *cli.Env) *cobra.Command {
	var ref, form, state string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [REV | A..B]",
		Short: "List reviews, oldest first",
		Long: `List reviews: all of them, or those of one change. The state of a review is open (its
change is here, and its ref has not made that step), used (it has), or stale (what it
was about has changed since, or is not here).

--format github and gerrit write them as the APIs of these forges do.`,
		Example: "  covenant review list\n  covenant review list main..agent/fix --json | jq -r 'select(.verdict==\"approve\").principal'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				form = "json"
			}
			return runList(cmd.Context(), env, ref, form, state, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ref, "ref", "", "only of changes for this ref, a full name or a branch")
	f.StringVar(&state, "state", "", "only in this state: open, used or stale")
	f.StringVar(&form, "format", "text", "form of the list: text, json, github, gerrit")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per review; the same as --format json")
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Revisions(env))
	return cmd
}

func runList(ctx context.Context, env *cli.Env, ref, form, state string, args []string) error {
	if !slices.Contains([]string{"text", "json", "github", "gerrit"}, form) {
		return cli.Usage("--format is text, json, github or gerrit, not %q", form)
	}
	if state != "" && !slices.Contains([]provenance.ReviewState{provenance.ReviewOpen, provenance.ReviewUsed, provenance.ReviewStale}, provenance.ReviewState(state)) {
		return cli.Usage("--state is open, used or stale, not %q", state)
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.Cache(false).LoadTopic(ctx, w.Session, pin, prov.Topic)
	if err != nil {
		return work.Explain(err)
	}
	list := slices.Clone(f.Reviews)
	if len(args) > 0 {
		p, err := propose(ctx, w, f, ref, args)
		if err != nil {
			return err
		}
		ref = p.Ref
		list = slices.DeleteFunc(list, func(r provenance.Review) bool {
			return r.Statement.Tree() != p.Head.Tree || r.Statement.Predicate.Base.Tree != p.Base.Tree
		})
	}
	full, err := provenance.Meant(w.Session, ref)
	if err != nil {
		return work.Explain(err)
	}
	if full != "" {
		list = slices.DeleteFunc(list, func(r provenance.Review) bool { return r.Statement.Predicate.Ref != full })
	}
	slices.SortStableFunc(list, byTime)
	states, err := f.ReviewStates(w.Session, list)
	if err != nil {
		return work.Explain(err)
	}
	var lines []Line
	for i := range list {
		if state == "" || states[i] == provenance.ReviewState(state) {
			lines = append(lines, lineOf(f, &list[i], states[i]))
		}
	}
	switch form {
	case "github":
		return env.JSON(asGitHub(lines))
	case "gerrit":
		return env.JSON(asGerrit(lines))
	}
	for i := range lines {
		if form == "json" {
			err = env.JSON(lines[i])
		} else {
			err = printLine(env, &lines[i])
		}
		if err != nil {
			return err
		}
	}
	if len(lines) == 0 && form == "text" {
		env.Talk().Note("there is no review of it")
	}
	return nil
}

func printLine(env *cli.Env, l *Line) error {
	c := env.Palette()
	word := l.Verdict
	switch review.Verdict(l.Verdict) {
	case review.Approve:
		word = c.Good(word)
	case review.Reject:
		word = c.Bad(word)
	}
	who := say.Name(l.Principal)
	if l.Account != "" {
		who = say.Name(l.Account) + ", as " + who + " says"
	} else if l.Kind != "" && l.Kind != "human" {
		who += " (" + l.Kind + " of " + say.Name(l.Accountable) + ")"
	}
	line := fmt.Sprintf("%s  %s %s for %s by %s", c.Dim(strings.TrimPrefix(l.ID, "sha256:")[:12]), word, l.Commit[:12], say.Name(l.Ref), who)
	if l.State != "" {
		line += " (" + l.State + ")"
	}
	if l.Text != "" {
		first, _, _ := strings.Cut(l.Text, "\n")
		line += ": " + say.Line(first)
	}
	_, err := fmt.Fprintln(env.Out, line)
	return err
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a review, all of it",
		Long: `Show what a review says, of which step, who signed it, and what has become of its change.
ID is the beginning of its id, as "list" prints it.`,
		Example: "  covenant review show 3f1c9a2b",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runShow(cmd.Context(), env, asJSON, args[0])
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as one JSON object")
	return cmd
}

func runShow(ctx context.Context, env *cli.Env, asJSON bool, what string) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.Cache(false).LoadTopic(ctx, w.Session, pin, prov.Topic)
	if err != nil {
		return work.Explain(err)
	}
	r, err := f.FindReview(what)
	if errors.Is(err, provenance.ErrNoReview) {
		return cli.Hint(err, "see what there is: covenant review list", "what others said comes with: covenant sync")
	}
	if err != nil {
		return err
	}
	states, err := f.ReviewStates(w.Session, []provenance.Review{*r})
	if err != nil {
		return work.Explain(err)
	}
	l := lineOf(f, r, states[0])
	if asJSON {
		return env.JSON(l)
	}
	if err := printLine(env, &l); err != nil {
		return err
	}
	rows := [][2]string{
		{"id", l.ID}, {"commit", l.Commit}, {"tree", l.Tree}, {"from", l.Base}, {"its tree", l.BaseTree}, {"signed", l.Time + " by " + r.KeyID},
	}
	if l.Attended {
		rows = append(rows, [2]string{"terminal", "somebody was at one"})
	}
	if l.Account != "" {
		person := l.Person
		if person == "" {
			person = "nobody that the policy knows"
		}
		rows = append(rows, [2]string{"account", l.Account + ", which is " + person}, [2]string{"given", r.Statement.Predicate.Forge.At}, [2]string{"page", l.URL})
	}
	rows = append(rows, [2]string{"asked", strings.Join(l.From, ", ")}, [2]string{"gates", strings.Join(l.Gates, ", ")})
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(env.Out, "  %-9s %s\n", row[0], say.Line(row[1])); err != nil {
			return err
		}
	}
	if l.Text != "" {
		if _, err := fmt.Fprintf(env.Out, "\n%s\n", say.Clean(l.Text)); err != nil {
			return err
		}
	}
	for _, g := range l.Findings {
		place := g.Path
		if g.Line > 0 {
			place += fmt.Sprintf(":%d", g.Line)
		}
		if _, err := fmt.Fprintf(env.Out, "  %s: %s: %s\n", say.Line(place), g.Severity, say.Line(g.Text)); err != nil {
			return err
		}
	}
	return nil
}

func newVerify(env *cli.Env) *cobra.Command {
	var ref, root string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [REV | A..B]",
		Short: "Tell whether a change has the reviews that the policy asks for",
		Long: `Tell for each commit of a change whether it has the reviews that the policy asks for
on the ref that it is for. Exit 0 when all have, 1 when one has not, or nobody known made
it. "covenant verify" tells that too, beside all else.`,
		Example: "  covenant review verify origin/main..HEAD",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), env, ref, root, asJSON, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ref, "ref", "", "the ref that the change is for, a full name or a branch")
	f.StringVar(&root, "root", "", "digest of the trust root to hold everything to (default: COVENANT_ROOT, else covenant.root)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per commit")
	cmd.ValidArgsFunction = cli.Complete(env, 1, work.Revisions(env))
	return cmd
}

// Verified is what is said of a commit with --json.
type Verified struct {
	Type     string            `json:"type"` // "reviewed"
	Commit   string            `json:"commit"`
	Ref      string            `json:"ref"`
	OK       bool              `json:"ok"`
	Findings []verdict.Finding `json:"findings"`
}

func runVerify(ctx context.Context, env *cli.Env, ref, root string, asJSON bool, args []string) error {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := w.Cache(false).LoadTopic(ctx, w.Session, pin, prov.Topic)
	if err != nil {
		return work.Explain(err)
	}
	p, err := propose(ctx, w, f, ref, args)
	if err != nil {
		return err
	}
	span, err := provenance.ParseSpan(w.Session, p.Range())
	if err != nil {
		return work.Explain(err)
	}
	span.Ref = p.Ref
	o := w.Verifying(pin)
	o.Cache = w.Cache(false)
	rep, err := provenance.Verify(ctx, w.Session, span, o)
	if err != nil {
		return work.Explain(err)
	}
	if err := rep.Condemned(); err != nil {
		return cli.No(cli.Hint(err, "see all of it: covenant audit verify"))
	}
	if !f.Root.Policy.Protects(p.Ref) {
		env.Talk().Note("%s is not protected by the policy: it asks for no review", say.Name(p.Ref))
	}
	asked := f.Root.Policy.Protects(p.Ref) && f.Root.Policy.WantsReviews()
	n, bad := 0, 0
	for r, err := range rep.Results {
		if err != nil {
			return work.Explain(err)
		}
		n++
		wanting := []verdict.Finding{}
		for _, x := range r.Findings {
			if x.Code == verdict.PolicyReview || asked && r.Principal == nil { // of nobody known, nobody is told apart
				wanting = append(wanting, x)
			}
		}
		if len(wanting) > 0 {
			bad++
		}
		if asJSON {
			if err := env.JSON(Verified{"reviewed", r.Commit.String(), p.Ref, len(wanting) == 0, wanting}); err != nil {
				return err
			}
			continue
		}
		for _, x := range wanting {
			if _, err := fmt.Fprintf(env.Out, "%s  %s\n", r.Commit.Short(), say.Line(x.Message)); err != nil {
				return err
			}
		}
	}
	if bad > 0 {
		return cli.No(cli.Hint(fmt.Errorf("%s of %d lack reviews on %s", say.Count(bad, "commit"), n, say.Name(p.Ref)),
			"another person approves the change: covenant review approve "+say.Shell(short(p.Base.ID)+".."+p.Head.ID.Short())+" --ref "+say.Shell(p.Ref)))
	}
	if asJSON {
		return nil
	}
	_, err = fmt.Fprintf(env.Out, "%s %s on %s: nothing is wanting of reviews\n", env.Palette().Good("ok"), say.Count(n, "commit"), say.Name(p.Ref))
	return err
}

// onGitHub is a review in the form of GitHub's API.
type onGitHub struct {
	ID        string `json:"node_id"`
	User      login  `json:"user"`
	State     string `json:"state"`
	Body      string `json:"body"`
	Commit    string `json:"commit_id"`
	Submitted string `json:"submitted_at"`
}

type login struct {
	Login string `json:"login"`
}

func asGitHub(lines []Line) []onGitHub {
	words := map[review.Verdict]string{review.Approve: "APPROVED", review.Reject: "CHANGES_REQUESTED", review.Comment: "COMMENTED", review.Withdraw: "DISMISSED"}
	out := []onGitHub{}
	for _, l := range lines {
		if state := words[review.Verdict(l.Verdict)]; state != "" {
			out = append(out, onGitHub{l.ID, login{nameOf(&l)}, state, l.Text, l.Commit, l.Time})
		}
	}
	return out
}

// nameOf is who said it: on a forge, the account's name.
func nameOf(l *Line) string {
	if _, name, ok := strings.Cut(l.Account, "/"); ok {
		return name
	}
	return l.Principal
}

type onGerrit struct {
	Labels map[string]votes `json:"labels"`
}

type votes struct {
	All []vote `json:"all"`
}

type vote struct {
	Name  string `json:"username"`
	Value int    `json:"value"`
	Date  string `json:"date"`
}

// asGerrit writes the newest vote of each, as Gerrit has it.
func asGerrit(lines []Line) onGerrit {
	values := map[review.Verdict]int{review.Approve: 2, review.Reject: -2, review.Withdraw: 0}
	newest := map[string]vote{}
	var order []string
	for _, l := range lines {
		value, ok := values[review.Verdict(l.Verdict)]
		if !ok {
			continue
		}
		name := nameOf(&l)
		if _, had := newest[name]; !had {
			order = append(order, name)
		}
		newest[name] = vote{name, value, strings.TrimSuffix(strings.Replace(l.Time, "T", " ", 1), "Z") + ".000000000"}
	}
	all := []vote{}
	for _, name := range order {
		all = append(all, newest[name])
	}
	return onGerrit{map[string]votes{"Code-Review": {all}}}
}
