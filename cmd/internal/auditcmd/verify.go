package auditcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Finding is one thing wrong with the record, with --json.
type Finding struct {
	Type    string `json:"type"` // "finding"
	Code    string `json:"code"`
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Summary ends the output of verify, with --json.
type Summary struct {
	Type        string `json:"type"` // "summary"
	OK          bool   `json:"ok"`
	Entries     int    `json:"entries"` // that count
	Dropped     uint64 `json:"dropped"` // of these, of which no more than the identity is left
	Ledgers     int    `json:"ledgers"`
	Checkpoints int    `json:"checkpoints"`
	Findings    int    `json:"findings"`
	Root        string `json:"root"` // the trust root all was held to
}

func newVerify(env *cli.Env) *cobra.Command {
	var asJSON, deep, noCache bool
	var root string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify the whole record: every ledger and every checkpoint",
		Long: `Verify every entry of every ledger: its signature, its place, that it follows the one
before it, that its writer was known; that no ledger lacks what anybody saw there; that no
writer signed two entries of one number; and that every checkpoint is the tree which the
ledgers make. The exit code is 1 on any finding, and each is named; 2 when the policy demands a
recent checkpoint and there is none.

What nobody saw and no checkpoint covers can be taken away unseen, by who can take away all of
it: docs/SECURITY.md. --deep also reads what every recorded event says.`,
		Example: "  covenant audit verify\n  covenant audit verify --json | jq -r 'select(.type==\"finding\").code'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runVerify(cmd.Context(), env, root, asJSON, deep, noCache)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print findings and a summary as JSON")
	f.BoolVar(&deep, "deep", false, "also read what every recorded event says")
	f.BoolVar(&noCache, "no-cache", false, "believe nothing that an earlier run found")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func runVerify(ctx context.Context, env *cli.Env, root string, asJSON, deep, noCache bool) error {
	w, err := work.OpenIdle(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	pin, err := w.Pin(root)
	if err != nil {
		return err
	}
	v, err := audit.Verify(ctx, w.Session, pin, w.Cache(noCache), w.Cache(false), env.Now(), deep)
	if err != nil {
		return work.Explain(err)
	}
	for i := range v.Findings {
		if err := printFinding(env, &v.Findings[i], asJSON); err != nil {
			return err
		}
	}
	if len(v.Findings) == 0 {
		if err := now(ctx, env, w, v, pin); err != nil {
			return err
		}
	}
	if asJSON {
		sum := Summary{
			Type: "summary", OK: len(v.Findings) == 0, Entries: v.Entries, Dropped: v.Dropped, Ledgers: v.Ledgers, Checkpoints: v.Checkpoints, Findings: len(v.Findings), Root: string(v.Root.Digest),
		}
		if err := env.JSON(sum); err != nil {
			return err
		}
	}
	if len(v.Findings) > 0 {
		return cli.No(fmt.Errorf("the record does not hold: %s", say.Count(len(v.Findings), "finding")))
	}
	if asJSON {
		return nil
	}
	gone := ""
	if v.Dropped > 0 {
		gone = fmt.Sprintf(" (%d dropped)", v.Dropped)
	}
	_, err = fmt.Fprintf(env.Out, "%s: %s%s in %s, %s; trust root %s\n", env.Palette().Good("ok"), entriesOf(v.Entries), gone, say.Count(v.Ledgers, "ledger"), say.Count(v.Checkpoints, "checkpoint"), v.Root.Digest)
	return err
}

// now is what of a record that holds is a matter of the moment: whether the trust root still does, and whether the newest checkpoint
// is as recent as the policy demands.
func now(ctx context.Context, env *cli.Env, w *work.Work, v *audit.Verdict, pin envelope.Digest) error {
	if err := provenance.InForce(w.Session, v.Root, env.Now()); err != nil {
		return work.Explain(err)
	}
	if _, demanded := v.Root.Policy.CheckpointAge(); !demanded {
		return nil
	}
	if v.Facts == nil {
		var err error
		if v.Facts, err = provenance.Load(ctx, w.Session, pin); err != nil {
			return work.Explain(err)
		}
	}
	return work.Explain(v.Facts.Fresh(env.Now()))
}

func entriesOf(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func printFinding(env *cli.Env, x *verdict.Finding, asJSON bool) error {
	if asJSON {
		return env.JSON(Finding{Type: "finding", Code: string(x.Code), Object: x.Object, Message: x.Message, Hint: x.Hint})
	}
	_, err := fmt.Fprintf(env.Out, "%s %s: %s\n", env.Palette().Bad(string(x.Code)), say.Line(x.Object), say.Line(x.Message))
	if err == nil && x.Hint != "" {
		_, err = fmt.Fprintf(env.Out, "  hint: %s\n", x.Hint)
	}
	return err
}
