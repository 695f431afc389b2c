package reviewcmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func newImport(env *cli.Env) *cobra.Command {
	var ref, forge, host, who string
	var asJSON, untied bool
	cmd := &cobra.Command{
		Use:   "import [REV | A..B] FILE",
		Short: "Tell of reviews that were given on a forge",
		Long: `Read reviews as a forge's API writes them, and record those of this very change: who
gave them has no key here, so they are the word of who records them, and are shown as
such. They count for the policy when an automation records them that is granted
repo.review, and "accounts" of the policy says whose the account is. What was recorded
before, and is dismissed or gone there, is recorded as withdrawn.

  github  gh api repos/OWNER/REPO/pulls/N/reviews
  gitlab  /projects/ID/merge_requests/N/approvals, which does not name the commit
  gerrit  /changes/ID/detail?o=CURRENT_REVISION&o=DETAILED_LABELS

FILE is - for standard input. Several answers may follow each other, as pages do.`,
		Example: "  gh api repos/o/r/pulls/7/reviews | covenant review import origin/main..HEAD - --forge github --identity ci",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runImport(cmd.Context(), env, ref, forge, host, who, untied, asJSON, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&untied, "untied", false, "take approvals that the forge does not tie to a commit (gitlab) as of this change: have it take them back at each push")
	f.StringVar(&forge, "forge", "github", "whose form it is: "+strings.Join(review.Forges, ", "))
	f.StringVar(&host, "host", "", "name of the forge's host, as accounts have it (default: github.com or gitlab.com)")
	f.StringVar(&ref, "ref", "", "the ref that the change is for, a full name or a branch")
	f.StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per review")
	return cmd
}

func runImport(ctx context.Context, env *cli.Env, ref, forge, host, who string, untied, asJSON bool, args []string) error {
	if host == "" {
		if host = map[string]string{"github": "github.com", "gitlab": "gitlab.com"}[forge]; host == "" {
			return cli.Usage("--host says which %s it is", say.Name(forge))
		}
	}
	data, err := env.Read(ctx, args[len(args)-1], review.MaxForgeSize)
	if err != nil {
		return err
	}
	forged, err := review.ParseForge(forge, data)
	if err != nil {
		return cli.Hint(err, "what is read is written down at: covenant review import --help")
	}
	if forged.Gone > 0 {
		env.Talk().Note("%s of accounts that are no more: left out", say.Count(forged.Gone, "review"))
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = who
	f, err := w.Cache(false).LoadTopic(ctx, w.Session, pin, prov.Topic)
	if err != nil {
		return work.Explain(err)
	}
	p, err := propose(ctx, w, f, ref, args[:len(args)-1])
	if err != nil {
		return err
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	k.Moment = "review import"
	in := &importing{env: env, f: f, p: p, k: k, forge: forge, host: host, asJSON: asJSON, stands: f.OnForge(p, k.Hand.Signer.Public().ID())}
	if err := in.takeBack(ctx, forged, untied); err != nil {
		return err
	}
	for i, g := range forged.Given {
		account := host + "/" + g.Name
		switch dismissed := func(o review.Given) bool { return o.Name == g.Name && o.Verdict == review.Withdraw }; {
		case g.Verdict == review.Withdraw:
			continue
		case g.Verdict != review.Comment && slices.ContainsFunc(forged.Given[i+1:], dismissed):
			continue // it went with what was said after it
		case g.Commit.IsZero() && !untied:
			return errUntied(forge)
		case !g.Commit.IsZero() && g.Commit != p.Head.ID:
			env.Talk().Note("%s: of commit %s, not of %s: left out", say.Name(account), g.Commit.Short(), p.Head.ID.Short())
			continue
		}
		if told(f, p, k.Hand.Signer.Public().ID(), account, &g) {
			continue
		}
		if err := in.record(ctx, account, &g); err != nil {
			return err
		}
		if _, known := f.Root.Policy.Person(account); !known && g.Verdict != review.Comment {
			env.Talk().Warn("%s: the policy does not say whose account that is: it counts for nothing", say.Name(account))
			env.Talk().Hint("an operator adds it to accounts: covenant policy edit")
		}
	}
	if in.made == 0 {
		env.Talk().Note("nothing new of this change")
	}
	return nil
}

func errUntied(forge string) error {
	return cli.Hint(fmt.Errorf("%s does not say which commit an approval is for", say.Name(forge)), "where it takes approvals back at each push they are of this change: --untied")
}

// importing is an import of what a forge has about one change.
type importing struct {
	env    *cli.Env
	f      *provenance.Facts
	p      *provenance.Proposal
	k      *provenance.Sealer
	forge  string
	host   string
	asJSON bool
	stands map[string]*provenance.Review // what stands here of accounts, before the import
	made   int
}

// takeBack records that what stands here was dismissed there, or is not there any more.
func (in *importing) takeBack(ctx context.Context, forged *review.Forged, untied bool) error {
	newest := map[string]*review.Given{} // the word of each account that counts there
	for i := range forged.Given {
		if g := &forged.Given[i]; g.Verdict != review.Comment {
			newest[in.host+"/"+g.Name] = g
		}
	}
	whole := forged.Whole && (forged.Of == in.p.Head.ID || forged.Of.IsZero() && untied)
	for _, account := range slices.Sorted(maps.Keys(in.stands)) {
		at := in.stands[account].Statement.Predicate.Forge.At
		g, there := newest[account]
		switch {
		case there && g.Verdict == review.Withdraw && g.At >= at: // of whichever commit: it is the account's last word there
			at = g.At
		case !there && forged.Whole && forged.Of.IsZero() && !untied && strings.HasPrefix(account, in.host+"/"):
			return errUntied(in.forge)
		case !there && whole && strings.HasPrefix(account, in.host+"/"):
		default:
			continue
		}
		if err := in.record(ctx, account, &review.Given{Verdict: review.Withdraw, At: at}); err != nil {
			return err
		}
	}
	return nil
}

// record records what an account says.
func (in *importing) record(ctx context.Context, account string, g *review.Given) error {
	words, err := work.Redacted(in.env, account, g.Text)
	if err != nil {
		return err
	}
	p := in.p
	one, err := in.k.Review(ctx, p.Head.ID, p.Head.Tree, review.Predicate{
		Verdict: g.Verdict, Ref: p.Ref, Base: review.Base{Commit: p.Base.ID, Tree: p.Base.Tree}, Text: words, Forge: &review.Forge{Account: account, At: g.At, URL: g.URL},
	})
	if err != nil {
		return work.Explain(err)
	}
	in.made++
	if in.asJSON {
		return in.env.JSON(lineOf(in.f, one, provenance.ReviewOpen))
	}
	_, err = fmt.Fprintf(in.env.Out, "%s %s by %s\n", in.env.Palette().Good(string(g.Verdict)), p.Head.ID.Short(), say.Name(account))
	return err
}

// told reports whether a key has recorded already what a forge has.
func told(f *provenance.Facts, p *provenance.Proposal, keyID, account string, g *review.Given) bool {
	return slices.ContainsFunc(f.Reviews, func(r provenance.Review) bool {
		s := &r.Statement.Predicate
		return r.KeyID == keyID && s.Forge != nil && s.Forge.Account == account && s.Forge.At == g.At && s.Verdict == g.Verdict && s.Ref == p.Ref &&
			s.Base.Tree == p.Base.Tree && r.Statement.Tree() == p.Head.Tree
	})
}
