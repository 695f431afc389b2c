package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Attestation is one attestation, with --json.
type Attestation struct {
	Type       string             `json:"type"` // "attestation"
	ID         string             `json:"id"`
	Release    string             `json:"release,omitempty"`
	Intent     string             `json:"intent,omitempty"`
	Tag        string             `json:"tag,omitempty"`
	Commit     string             `json:"commit"`
	Commits    int                `json:"commits"`        // that are new since the one before
	From       string             `json:"from,omitempty"` // they are new since this one
	Artifacts  []release.Artifact `json:"artifacts"`
	Checkpoint string             `json:"checkpoint"`
	Previous   string             `json:"previous,omitempty"`
	Principal  string             `json:"principal"`
	Time       string             `json:"time"`
	Text       string             `json:"text,omitempty"`
	OK         bool               `json:"ok"`
	Findings   []verdict.Finding  `json:"findings"`
}

type attestOptions struct {
	tag, intent, artifacts, text, who, output string
	json                                      bool
}

func newAttest(env *cli.Env) *cobra.Command {
	var o attestOptions
	cmd := &cobra.Command{
		Use:   "attest [RELEASE]",
		Short: "Stand for a release, or for a piece of work, with all of the record until now",
		Long: `Sign that a release, or a piece of work, is these files and this commit, with a checkpoint
of all that the ledgers say until now, and as what comes after the attestation before. It is
recorded, and put on the tag. Whoever has it can tell later whether the record, the tag, the
commits that went into it, or a file is another.

--tag is the tag that it is of; without one it is of HEAD. --artifacts names a directory: all
regular files below it are read. --intent says what it was done for, in the place of a release
or beside it.

It takes audit.attest, and audit.checkpoint where a new checkpoint is needed.`,
		Example: `  covenant audit attest v1.2.0 --tag v1.2.0 --artifacts dist
  covenant audit attest --intent 7f3a --output done.intoto.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runAttest(cmd.Context(), env, &o, args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.tag, "tag", "", "the tag that it is of")
	f.StringVar(&o.intent, "intent", "", "the piece of work that it is of")
	f.StringVar(&o.artifacts, "artifacts", "", "directory of the release's files")
	f.StringVarP(&o.text, "text", "m", "", "what to say, for people")
	f.StringVarP(&o.output, "output", "o", "", "write the envelope to this file, too")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	return cmd
}

func runAttest(ctx context.Context, env *cli.Env, o *attestOptions, args []string) error {
	p := release.Predicate{Intent: o.intent}
	if len(args) > 0 {
		p.ID = args[0]
	}
	if p.ID == "" && o.intent == "" {
		return cli.Usage("name the release, or the intent: covenant audit attest v1.0")
	}
	err := work.Refuse(env, "the release or intent", p.ID, p.Intent)
	if err != nil {
		return err
	}
	file := ""
	if o.output != "" {
		if file, err = env.Output(o.output); err != nil {
			return err
		}
	}
	if p.Text, err = work.Redacted(env, "text", o.text); err != nil {
		return err
	}
	w, err := openRecord(ctx, env, "", false)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	if o.tag != "" {
		h, err := provenance.HeadOf(w.Session, "refs/tags/"+strings.TrimPrefix(o.tag, "refs/tags/"))
		if err == nil && h.Commit.IsZero() {
			err = fmt.Errorf("%w: tag %q", provenance.ErrRevision, o.tag)
		}
		if err != nil {
			return cli.Hint(err, "see what there is: git tag --list")
		}
		p.TagName, p.Tag, p.Commit = h.Ref, h.ID, h.Commit
	} else {
		sp, err := provenance.ParseSpan(w.Session)
		if err != nil {
			return work.Explain(err)
		}
		p.Commit = sp.Tips[0]
	}
	if o.artifacts != "" {
		if p.Artifacts, err = audit.Artifacts(os.DirFS(env.Path(o.artifacts))); err != nil {
			return fmt.Errorf("%s: %w", say.Name(o.artifacts), err)
		}
		if len(p.Artifacts) == 0 {
			return cli.Usage("there is no file below %s", say.Name(o.artifacts))
		}
	}
	k, err := w.Sealer(w.facts)
	if err != nil {
		return err
	}
	k.Moment = "audit attest"
	if p.Intent, err = intentOf(ctx, w, k.Root, p.Intent); err != nil {
		return err
	}
	if err := provenance.InForce(w.Session, w.facts.Root, env.Now()); err != nil {
		return work.Explain(err)
	}
	for _, action := range []string{provenance.AttestAction, provenance.CheckpointAction} {
		if err := permit(ctx, k, action); err != nil {
			return err
		}
	}
	if err := w.Presence(w.facts.Root, k.Hand.Signer.Public(), "attest "+say.Name(p.ID+o.intent)); err != nil {
		return err
	}
	before, err := audit.OpenAttestations(w.Session, w.facts, env.Now())
	if err != nil {
		return err
	}
	if was := before.Of(p.ID); was != nil {
		return cli.Hint(fmt.Errorf("%s was attested before, as %s", say.Name(p.ID), was.ID.Short()), "see it: covenant audit attestations "+say.Shell(p.ID), "another build has another name")
	}
	if last, ok := before.Last(); ok {
		p.Previous = last.ID
		if on, err := provenance.Forward(ctx, w.Session, last.Statement.Predicate.Commit, p.Commit); err == nil && on {
			p.Scope.From = last.Statement.Predicate.Commit
		}
	}
	if p.Scope, err = provenance.ScopeOf(w.Session, p.Scope.From, p.Commit); err != nil {
		return work.Explain(err)
	}
	made, err := audit.Checkpoint(ctx, k, w.Cache(false))
	if errors.Is(err, tlog.ErrKeyType) {
		return cli.Hint(err, "checkpoints are signed with plain ed25519 keys: act with such a key: --identity")
	}
	if err != nil {
		return work.Explain(err)
	}
	p.Checkpoint = release.Checkpoint{Entry: made.ID, Note: string(made.Note.Bytes())}
	id, err := k.Attest(ctx, p)
	if errors.Is(err, release.ErrInvalid) {
		return cli.Usage("%v", err)
	}
	if err != nil {
		return work.Explain(err)
	}
	f, err := provenance.Load(ctx, w.Session, w.pin) // as it stands now
	if err != nil {
		return work.Explain(err)
	}
	for i := range f.Attested {
		a := &f.Attested[i]
		if a.ID != id {
			continue
		}
		if file != "" {
			x, err := w.Session.Object(a.Blob.String(), envelope.MaxSize)
			if err == nil {
				err = os.WriteFile(file, x.Data, 0o644) //nolint:gosec // it is for others to read
			}
			if err != nil {
				return err
			}
		}
		return printAttestation(env, lineOf(f, a, nil), o.json)
	}
	return fmt.Errorf("attestation %s was recorded, and is not found again", id)
}

// tellOthers tells of files that an attestation does not name, a few of them by name.
func tellOthers(env *cli.Env, dir fs.FS, st *release.Statement) error {
	n, few, err := audit.Others(dir, st)
	if n == 0 {
		return err
	}
	names := make([]string, 0, len(few)+1)
	for _, name := range few {
		names = append(names, say.Name(name))
	}
	if n > len(few) {
		names = append(names, "…")
	}
	env.Talk().Warn("%s there that this attestation does not name: %s", say.Count(n, "file"), strings.Join(names, ", "))
	return err
}

// intentOf is the id of the intent that a name is of; the name itself where none here has it, since work may be kept elsewhere.
func intentOf(ctx context.Context, w *record, root *provenance.Root, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	book, err := intents.Open(ctx, w.Session, root, w.Cache(false))
	if err != nil {
		return "", work.Explain(err)
	}
	defer book.Close()
	row, err := book.Find(name)
	switch {
	case errors.Is(err, intents.ErrUnknown):
		return name, nil
	case err != nil:
		return "", cli.Hint(err, "see what there is: covenant intent list --all")
	}
	return string(row.ID), nil
}

// permit asks whether the hand may, and says how it could.
func permit(ctx context.Context, k *provenance.Sealer, action string) error {
	err := k.Permit(ctx, capability.Query{Action: action})
	if errors.Is(err, provenance.ErrDenied) {
		return cli.No(cli.Hint(err, "an operator allows it: covenant capability grant --to "+say.Shell(k.Hand.Principal.Name)+" --action "+action))
	}
	return work.Explain(err)
}

func lineOf(f *provenance.Facts, a *provenance.Attested, wrong []verdict.Finding) Attestation {
	p := &a.Statement.Predicate
	l := Attestation{
		Type: "attestation", ID: string(a.ID), Release: p.ID, Intent: p.Intent, Tag: p.TagName, Commit: p.Commit.String(), Commits: p.Scope.Commits, Artifacts: p.Artifacts,
		Checkpoint: string(p.Checkpoint.Entry), Previous: string(p.Previous), Principal: a.KeyID, Time: envelope.Timestamp(a.Time), Text: p.Text, OK: len(wrong) == 0, Findings: wrong,
	}
	if !p.Scope.From.IsZero() {
		l.From = p.Scope.From.String()
	}
	if l.Artifacts == nil {
		l.Artifacts = []release.Artifact{}
	}
	if l.Findings == nil {
		l.Findings = []verdict.Finding{}
	}
	if by, ok := f.Authority.ByKey(a.KeyID); ok {
		l.Principal = by.Name
	}
	return l
}

func printAttestation(env *cli.Env, l Attestation, asJSON bool) error {
	if asJSON {
		return env.JSON(l)
	}
	word := env.Palette().Good("ok")
	if !l.OK {
		word = env.Palette().Bad("no")
	}
	name := l.Release
	if name == "" {
		name = "intent " + l.Intent
	}
	if _, err := fmt.Fprintf(env.Out, "%s %s %s by %s, commit %s with %s, %s, %s\n%s\n", word, say.Line(name), l.Time, say.Name(l.Principal), l.Commit[:12],
		say.Count(l.Commits, "new commit"), say.Count(len(l.Artifacts), "file"), env.Palette().Dim("checkpoint "+envelope.Digest(l.Checkpoint).Short()), l.ID); err != nil {
		return err
	}
	for _, f := range l.Findings {
		place := ""
		if f.Path != "" {
			place = say.Line(f.Path) + ": "
		}
		if _, err := fmt.Fprintf(env.Out, "   %s: %s%s\n", f.Code, place, say.Line(f.Message)); err != nil {
			return err
		}
	}
	return nil
}

func newAttestations(env *cli.Env) *cobra.Command {
	var root, artifacts string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "attestations [RELEASE]",
		Short: "List what was attested of releases and work, and whether it holds",
		Long: `List the attestations in the order in which they follow each other, and verify each: that
its signer may make it, that it goes on from the one before, that the ledgers still make the
tree of its checkpoint, and that its tag and its commits are what they were. With --artifacts
the files below a directory are read and compared with those of one release; files that it
does not name are told.

Exit 1 when one does not hold, or none is by who may make it; 2 when what it names is not
here. What others attest who may not is told, and counts for nothing.`,
		Example: "  covenant audit attestations\n  covenant audit attestations v1.2.0 --artifacts dist",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return runAttestations(cmd.Context(), env, root, artifacts, asJSON, name)
		},
	}
	f := cmd.Flags()
	f.StringVar(&artifacts, "artifacts", "", "directory of the release's files")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	f.BoolVar(&asJSON, "json", false, "print one JSON object per attestation")
	return cmd
}

func runAttestations(ctx context.Context, env *cli.Env, root, artifacts string, asJSON bool, name string) error {
	if artifacts != "" && name == "" {
		return cli.Usage("--artifacts is of one release: name it")
	}
	var dir fs.FS
	if artifacts != "" {
		r, err := os.OpenRoot(env.Path(artifacts)) // links that lead out of it are not followed
		if err != nil {
			return err
		}
		defer r.Close()
		dir = r.FS()
	}
	w, err := openRecord(ctx, env, root, false)
	if err != nil {
		return err
	}
	defer w.Close()
	f := w.facts
	if err := f.Condemned(); err != nil {
		return cli.No(cli.Hint(err, "see all of it: covenant audit verify"))
	}
	all, err := audit.OpenAttestations(w.Session, f, env.Now())
	if err != nil {
		return err
	}
	n, bad, missing, void := 0, 0, 0, 0
	for i := range all.List {
		a := &all.List[i]
		if name != "" && a.Statement.Predicate.ID != name && !a.ID.Begins(name) {
			continue
		}
		n++
		wrong := all.Wrong(a)
		if dir != nil && all.Counts(a) {
			wrong = append(wrong, audit.CheckArtifacts(dir, a.Statement)...)
			if err := tellOthers(env, dir, a.Statement); err != nil {
				return err
			}
		}
		no, open := false, false
		for _, x := range wrong {
			no, open = no || x.Code != provenance.AttestationUnknown, open || x.Code == provenance.AttestationUnknown
		}
		switch {
		case !all.Counts(a):
			void++
		case no:
			bad++
		case open:
			missing++
		}
		if err := printAttestation(env, lineOf(f, a, wrong), asJSON); err != nil {
			return err
		}
	}
	if void > 0 && void < n {
		env.Talk().Warn("%s by who may not make them: they count for nothing", say.Count(void, "attestation"))
	}
	switch {
	case bad > 0 || n > 0 && void == n:
		return cli.No(fmt.Errorf("%s of %d not good", say.Count(bad+void, "attestation"), n))
	case missing > 0:
		return cli.Hint(errors.New("not all that is attested is here"), "git fetch --tags", "in a shallow clone: git fetch --unshallow")
	case n == 0:
		what := "here"
		if name != "" {
			what = "of " + say.Name(name)
		}
		return cli.Hint(fmt.Errorf("nothing was attested %s", what), "attest something: covenant audit attest v1.0 --tag v1.0 --artifacts DIR", "what others attested comes with: covenant sync")
	}
	return nil
}
