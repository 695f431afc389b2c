package auditcmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
	"github.com/open-covenant/covenant-git/git/audit"
)

type importing struct {
	chain, who           string
	digests, check, json bool
}

func newImport(env *cli.Env) *cobra.Command {
	var o importing
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take over the audit log of the system that Covenant re-creates",
		Long: `Verify an audit log of the Rust system (JSON lines, and the chain of them in a file beside
it), and record its lines in your ledger. All that is wrong with the log is told; then the
exit code is 1, and nothing is recorded. What is odd, and does not break the chain, is told
too.

Each line is kept as it is, with its digest, so that the root of the log can be computed
from the ledger alone, and the log be written again: "export --imported". Nobody signed the
lines; that you took them over is what your signature says. A log that was taken over is
refused; of one that has grown since, the new lines are recorded.

Lines can hold what people asked their agents. With --digests only their digests are kept.`,
		Example: `  covenant audit import ~/.covenant/audit/events.jsonl
  covenant audit import --check events.jsonl
  covenant audit import --digests --chain anchors.jsonl events.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runImport(cmd.Context(), env, args[0], o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.chain, "chain", "", "the file of the chain (default: FILE with .chain.jsonl in place of .jsonl)")
	f.BoolVar(&o.check, "check", false, "verify, and record nothing; needs no repository")
	f.BoolVar(&o.digests, "digests", false, "keep the digest of each line, and not the line")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

// SeedFinding is something that is wrong with a log, or odd, with --json.
type SeedFinding struct {
	Type    string       `json:"type"` // "finding"
	Code    seedlog.Code `json:"code"`
	File    string       `json:"file"`
	Line    int          `json:"line,omitempty"`
	Message string       `json:"message"`
	Note    bool         `json:"note"`    // it does not break the log
	Follows bool         `json:"follows"` // from the one before
}

// SeedImported is an entry that took a part of a log over, with --json.
type SeedImported struct {
	Type   string `json:"type"` // "imported"
	ID     string `json:"id"`
	Root   string `json:"root"`
	Events uint64 `json:"events"`
}

// SeedSummary is the last line about a log, with --json. All but type, notes and failed is what the seed's own verifier reports.
type SeedSummary struct {
	Type     string `json:"type"` // "summary"
	Events   uint64 `json:"events"`
	Anchors  uint64 `json:"anchors"`
	Valid    bool   `json:"valid"`
	Root     string `json:"root_hash_hex"`
	Failures uint64 `json:"failures"`
	Notes    uint64 `json:"notes"`
}

func runImport(ctx context.Context, env *cli.Env, name string, o importing) error {
	sidecar := cmp.Or(o.chain, strings.TrimSuffix(name, filepath.Ext(name))+".chain.jsonl")
	log, err := os.Open(env.Path(name))
	if err != nil {
		return err
	}
	defer log.Close()
	chain, err := os.Open(env.Path(sidecar))
	if errors.Is(err, os.ErrNotExist) && o.chain == "" {
		return cli.Hint(fmt.Errorf("the log's chain is not beside it: %w", err), "say where it is: --chain FILE")
	}
	if err != nil {
		return err
	}
	defer chain.Close()
	size := 0
	if info, err := log.Stat(); err == nil {
		size = int(info.Size())
	}
	if !o.check {
		size *= 2 // it is verified first
	}
	p := env.Talk().Progress("Reading the log", size)
	defer p.Done()
	t := &teller{env: env, json: o.json, log: name, chain: sidecar}
	i := &audit.SeedImport{Log: metered{log, p}, Sidecar: chain, Digests: o.digests, Tell: t.tell}
	var r *seedlog.Report
	if o.check {
		r, _, err = i.Verify(nil)
	} else {
		r, err = o.record(ctx, env, i)
	}
	if r == nil {
		return err
	}
	p.Done()
	return errors.Join(t.sum(r), seedRefusal(err))
}

// metered tells how far a file was read.
type metered struct {
	*os.File
	p *say.Progress
}

func (m metered) Read(b []byte) (int, error) {
	n, err := m.File.Read(b)
	m.p.Add(n)
	return n, err
}

func seedRefusal(err error) error {
	var there *audit.ImportedError
	switch {
	case errors.Is(err, audit.ErrBroken):
		return cli.No(cli.Hint(err, "nothing of it was recorded"))
	case errors.As(err, &there):
		return cli.No(cli.Hint(err, "see it: covenant audit log --kind log_imported"))
	case errors.Is(err, audit.ErrChanged):
		return cli.Hint(err, "what was told as recorded is; try again for the rest")
	}
	return work.Explain(err)
}

func (o *importing) record(ctx context.Context, env *cli.Env, i *audit.SeedImport) (*seedlog.Report, error) {
	w, err := openRecord(ctx, env, "", false)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	w.Explicit = o.who
	f := w.facts
	known, err := audit.SeedImports(w.Session, f)
	if err != nil {
		return nil, work.Explain(err)
	}
	hand, err := w.Writer()
	if err != nil {
		return nil, err
	}
	i.Done = func(d audit.Imported) error {
		if o.json {
			return env.JSON(SeedImported{Type: "imported", ID: string(d.ID), Root: d.Root, Events: d.Events})
		}
		_, err := fmt.Fprintf(env.Out, "%s %d events to %s\n", d.ID, d.Events, d.Root)
		return err
	}
	return i.Import(ctx, hand, known)
}

// teller tells of a log while it is read: in JSON all of it, to people what follows from something else as a number.
type teller struct {
	env        *cli.Env
	json       bool
	log, chain string
	follows    uint64
	err        error
}

func (t *teller) tell(f seedlog.Finding) {
	name := t.log
	if f.Sidecar {
		name = t.chain
	}
	var err error
	switch {
	case t.err != nil: // nobody listens any more
	case t.json:
		err = t.env.JSON(SeedFinding{"finding", f.Code, name, f.Line, f.Text, f.Note, f.Follows})
	case f.Follows:
		t.follows++
	case f.Note:
		t.env.Talk().Note("%s: %s", say.Name(name), say.Line(f.Text))
	default:
		_, err = fmt.Fprintf(t.env.Out, "%s: %s\n", say.Name(name), say.Line(f.Text))
	}
	if err != nil {
		t.err = err
	}
}

func (t *teller) sum(r *seedlog.Report) error {
	if t.err != nil {
		return t.err
	}
	if t.json {
		return t.env.JSON(SeedSummary{"summary", r.Events, r.Anchors, r.Valid(), r.Root, r.Failures, r.Notes})
	}
	if t.follows > 0 {
		t.env.Talk().Note("%s", say.Line(fmt.Sprintf("%d anchors after that go on from one that does not match", t.follows)))
	}
	word := t.env.Palette().Good("valid")
	if !r.Valid() {
		word = t.env.Palette().Bad("broken")
	}
	_, err := fmt.Fprintf(t.env.Out, "%s: %d events, %d anchors, root %s\n", word, r.Events, r.Anchors, r.Root)
	return err
}

type exporting struct {
	dir, since, root, imported string
	json                       bool
}

func newExport(env *cli.Env) *cobra.Command {
	var o exporting
	cmd := &cobra.Command{
		Use:   "export --seed DIR",
		Short: "Write the audit log in the form of the system that Covenant re-creates",
		Long: `Write the log as events.jsonl and events.chain.jsonl, so that the Rust system verifies and
shows it. That system has kinds for less than is recorded here, and asks of some for what is not
recorded; what it has no place for is left out, and counted. Signatures are not in it: the
ledgers are the proof, and this is a copy to read.

--imported ROOT writes a log that was taken over, as it was, and nothing else. Files that are
there are not overwritten.`,
		Example: `  covenant audit export --seed out
  covenant audit export --seed out --since 2026-11-01
  covenant audit export --seed out --imported a7e20494893290efda2d70681d31bdba8a4dc1c47b808eceb1aac7d272fc08cf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runExport(cmd.Context(), env, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "seed", "", "the directory to write to; it is made where it is missing")
	f.StringVar(&o.since, "since", "", "what happened then or later: a time, a day, or 2d for two days ago")
	f.StringVar(&o.imported, "imported", "", "a log that was taken over, by its root")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

// SeedExported says what was written, with --json.
type SeedExported struct {
	Type   string            `json:"type"` // "exported"
	Events uint64            `json:"events"`
	Root   string            `json:"root_hash_hex"`
	Left   map[string]uint64 `json:"left"` // kind → how many of it were left out
}

func runExport(ctx context.Context, env *cli.Env, o exporting) error {
	var filter audit.Filter
	switch {
	case o.dir == "":
		return cli.Usage("--seed says where to write")
	case o.since != "" && o.imported != "":
		return cli.Usage("--since and --imported don't go together")
	case o.since != "":
		var err error
		if filter.Since, _, err = between(o.since, "", env.Now()); err != nil {
			return err
		}
	}
	w, err := openRecord(ctx, env, o.root, false)
	if err != nil {
		return err
	}
	defer w.Close()
	f := w.facts
	warn(env, map[string]bool{}, f.Problems)
	done := SeedExported{Type: "exported", Left: map[string]uint64{}}
	err = seedFiles(env.Path(o.dir), func(log, chain io.Writer) error {
		out := seedlog.NewWriter(log, chain)
		if o.imported != "" {
			known, err := audit.SeedImports(w.Session, f)
			if err == nil {
				err = audit.RestoreSeed(w.Session, f, known, o.imported, out)
			}
			done.Events, done.Root = out.Events(), out.Root()
			return err
		}
		var err error
		done.Left, err = audit.ExportSeed(f, audit.Log(w.Session, f, filter), out)
		done.Events, done.Root = out.Events(), out.Root()
		return err
	})
	if err != nil {
		return work.Explain(err)
	}
	if o.json {
		return env.JSON(done)
	}
	if _, err := fmt.Fprintf(env.Out, "%d events, root %s\n", done.Events, done.Root); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(done.Left)) {
		env.Talk().Note("left out: %d of %s", done.Left[kind], say.Line(kind))
	}
	return nil
}

// seedFiles makes both files of a log, and takes away what it made when they are not written to their ends.
func seedFiles(dir string, write func(log, chain io.Writer) error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var out [2]*bufio.Writer
	var files []*os.File
	defer func() {
		for _, f := range files {
			if e := f.Close(); err == nil {
				err = e
			}
		}
		for i := 0; err != nil && i < len(files); i++ {
			_ = os.Remove(files[i].Name())
		}
	}()
	for i, name := range []string{"events.jsonl", "events.chain.jsonl"} {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		files, out[i] = append(files, f), bufio.NewWriter(f)
	}
	if err := write(out[0], out[1]); err != nil {
		return err
	}
	return errors.Join(out[0].Flush(), out[1].Flush())
}
