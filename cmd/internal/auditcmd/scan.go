package auditcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/git/audit"
)

// Scanned is one thing that slipped through, with --json. It does not say what it is.
type Scanned struct {
	Type   string `json:"type"` // "secret"
	ID     string `json:"id"`   // the entry
	Ledger string `json:"ledger"`
	Seq    uint64 `json:"seq"`
	Index  int    `json:"index,omitempty"` // which event of the entry, where it has several
	Path   string `json:"path"`            // JSON pointer (RFC 6901) into the line of the log
	Rule   string `json:"rule"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Length int    `json:"length"` // in bytes
}

func newScan(env *cli.Env) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Find secrets and personal paths that are in the record",
		Long: `Look through all that the record says for secrets and personal paths which were not
redacted when they were written: by another program, an older one, or a rule that there was
not yet. It prints where each is, and never what. The exit code is 1 when there is any.

What is found is public as far as the record is: change the secret. The record itself can
only be cut.`,
		Example: "  covenant audit scan\n  covenant audit scan --json | jq -r .rule | sort | uniq -c",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runScan(cmd.Context(), env, root, asJSON) },
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print one JSON object for each")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func runScan(ctx context.Context, env *cli.Env, root string, asJSON bool) error {
	w, err := openRecord(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	x, err := audit.Redactor(env.Environ, work.ConfigDir(env))
	if err != nil {
		return err
	}
	f := w.facts
	found := 0
	for r, err := range audit.Log(w.Session, f, audit.Filter{}) {
		if err != nil {
			return work.Explain(err)
		}
		hits, err := audit.Scan(x, &r)
		if err != nil {
			return err
		}
		for _, h := range hits {
			found++
			s := Scanned{Type: "secret", ID: string(r.ID), Ledger: r.Ledger, Seq: r.Seq, Path: h.Path, Rule: string(h.Rule), Line: h.Line, Column: h.Column, Length: h.Length}
			if r.Of > 1 {
				s.Index = r.Index
			}
			if asJSON {
				err = env.JSON(s)
			} else {
				_, err = fmt.Fprintf(env.Out, "%s %s by %s: %s: %s, %d bytes at line %d, column %d\n", env.Palette().Mark(r.ID.Short()), say.Line(r.Kind), say.Line(name(&r)), say.Line(h.Path), env.Palette().Bad(s.Rule), h.Length, h.Line, h.Column)
			}
			if err != nil {
				return err
			}
		}
	}
	if found > 0 {
		return cli.No(cli.Hint(fmt.Errorf("%s in the record", say.Count(found, "secret or personal path")), "change the secrets: what was pushed is known", "what each rule means: docs/spec/redaction.md"))
	}
	return nil
}
