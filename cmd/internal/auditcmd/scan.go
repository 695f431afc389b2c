package auditcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/redaction"
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
	w, err := openRecord(ctx, env, root, false)
	if err != nil {
		return err
	}
	defer w.Close()
	more, err := w.Redactors()
	if err != nil {
		return err
	}
	found := 0
	look := func(records []audit.Record) error {
		var texts []string
		if len(more.Plugins) > 0 {
			for i := range records {
				said, err := audit.Said(&records[i])
				if err != nil {
					return err
				}
				texts = append(texts, audit.Texts(&event.Event{Data: said})...)
			}
		}
		x, err := w.Redactor(ctx, more, texts...)
		if err != nil {
			return err
		}
		for i := range records {
			n, err := printHits(env, x, &records[i], asJSON)
			if found += n; err != nil {
				return err
			}
		}
		return nil
	}
	const together = 1000
	var records []audit.Record
	for r, err := range audit.Log(w.Session, w.facts, audit.Filter{}) {
		if err != nil {
			return work.Explain(err)
		}
		if records = append(records, r); len(records) == together {
			if err := look(records); err != nil {
				return err
			}
			records = records[:0]
		}
	}
	if err := look(records); err != nil {
		return err
	}
	if found > 0 {
		return cli.No(cli.Hint(fmt.Errorf("%s in the record", say.Count(found, "secret or personal path")), "change the secrets: what was pushed is known", "what each rule means: docs/spec/redaction.md"))
	}
	return nil
}

// printHits prints what slipped through into a record, and returns how much.
func printHits(env *cli.Env, x *redaction.Redactor, r *audit.Record, asJSON bool) (int, error) {
	hits, err := audit.Scan(x, r)
	for _, h := range hits {
		s := Scanned{Type: "secret", ID: string(r.ID), Ledger: r.Ledger, Seq: r.Seq, Path: h.Path, Rule: string(h.Rule), Line: h.Line, Column: h.Column, Length: h.Length}
		if r.Of > 1 {
			s.Index = r.Index
		}
		if asJSON {
			err = env.JSON(s)
		} else {
			_, err = fmt.Fprintf(env.Out, "%s %s by %s: %s: %s, %d bytes at line %d, column %d\n", env.Palette().Mark(r.ID.Short()), say.Line(r.Kind), say.Line(name(r)), say.Line(h.Path), env.Palette().Bad(s.Rule), h.Length, h.Line, h.Column)
		}
		if err != nil {
			return len(hits), err
		}
	}
	return len(hits), err
}
