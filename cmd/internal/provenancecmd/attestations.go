package provenancecmd

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/attestation"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/attested"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func newAttestations(env *cli.Env) *cobra.Command {
	var asJSON bool
	var root string
	var files []string
	cmd := &cobra.Command{
		Use:   "attestations [REV | A..B]...",
		Short: "Show what other programs attest of commits",
		Long: `Show what other programs attest of commits and of their trees, where they keep it here: lines
in refs/notes/commits (the SLSA source tool), files below refs/attestations (gitsign) and
refs/gittuf/attestations, and with --file in files of JSON or JSON lines (witness, cosign, gh,
covenant.provenance.v1). REV is that one commit (default HEAD), A..B all of a range.

Each is a claim. Who signed it is told where it verifies by a key that is known here; a certificate is
not checked. Nobody's authority follows from it, and no verdict.`,
		Example: `  covenant provenance attestations
  covenant provenance attestations --file build.intoto.jsonl v1.2 --json | jq -r .predicateType`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAttestations(cmd.Context(), env, root, files, asJSON, args)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per attestation")
	cmd.Flags().StringArrayVar(&files, "file", nil, "read attestations from this file, too (- for standard input); may be repeated")
	cmd.Flags().StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

// AttestationLine is what attestations prints with --json.
type AttestationLine struct {
	Type          string   `json:"type"` // "attestation"
	Commit        string   `json:"commit"`
	Where         string   `json:"where"` // a ref with a path, or a file
	Form          string   `json:"form"`
	PredicateType string   `json:"predicateType"`
	About         string   `json:"about"` // "commit", "tree"; absent: it stands where that of the commit stands, and is about something else
	Signers       []Signer `json:"signers"`
	Certificate   bool     `json:"certificate,omitempty"` // stands for a signer, and is not checked
	Problem       string   `json:"problem,omitempty"`
}

// Signer is who is said to have signed. Principal is set where it verifies by a key that is known here.
type Signer struct {
	KeyID     string `json:"keyid"`
	Principal string `json:"principal,omitempty"`
	Key       string `json:"key,omitempty"`
	named     string // whose key the document names, where that did not sign
}

func runAttestations(ctx context.Context, env *cli.Env, root string, files []string, asJSON bool, args []string) error {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	commits, err := provenance.Commits(w.Session, args...)
	if err != nil {
		return work.Explain(err)
	}
	find := attested.New(w.Session, knownKeys(f))
	told := map[string]bool{}
	tell := func(errs []error) {
		for _, err := range errs {
			if text := err.Error(); !told[text] {
				told[text] = true
				env.Talk().Warn("%s", say.Line(text))
			}
		}
	}
	var docs []*attested.File
	for _, name := range files {
		data, err := env.Read(ctx, name, attestation.MaxSize)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		doc, bad := find.File(name, data)
		docs = append(docs, doc)
		tell(bad)
	}
	for i := range commits {
		c := &commits[i]
		list, errs := find.Of(c)
		for _, d := range docs {
			list = append(list, d.About(c)...)
		}
		tell(errs)
		for j := range list {
			if err := checkFiles(w.Session, c, &list[j]); err != nil {
				return err
			}
		}
		if err := tellAttestations(env, f, c, list, asJSON); err != nil {
			return err
		}
	}
	return nil
}

// Attested returns what other programs attest of a commit, in this repository.
func Attested(s *git.Session, f *provenance.Facts, c *git.Commit) (lines []AttestationLine, errs []error) {
	list, errs := attested.New(s, knownKeys(f)).Of(c)
	for i := range list {
		lines = append(lines, attestationLine(f, c, &list[i]))
	}
	return lines, errs
}

// knownKeys are the keys of all principals: others' envelopes may be signed by one of them.
func knownKeys(f *provenance.Facts) []attestation.Known {
	var out []attestation.Known
	for _, p := range f.Authority.Principals() {
		for _, k := range p.Keys {
			out = append(out, attestation.Known{ID: k.ID(), Key: k})
		}
	}
	return out
}

// checkFiles holds the files that a claim lists to those of its commit.
func checkFiles(s *git.Session, c *git.Commit, x *attested.Found) error {
	if x.Form != attestation.Seed || x.Problem != "" || len(c.Parents) > 1 {
		return nil // of a merge it lists none
	}
	old := s.Repo().Format().EmptyTree()
	if len(c.Parents) == 1 {
		p, err := s.Commit(c.Parents[0].String())
		if err != nil {
			return err
		}
		old = p.Tree
	}
	diff, err := s.Diff(old, c.Tree)
	if err != nil {
		return err
	}
	has := map[string]string{}
	for _, d := range diff {
		if d.Status != 'D' {
			has[d.Path] = d.New.String()
		}
	}
	same := len(has) == len(x.Files)
	for _, f := range x.Files {
		same = same && has[f.Path] == f.Blob
	}
	if !same {
		x.Problem = "the files it lists are not those of the commit"
	}
	return nil
}

func attestationLine(f *provenance.Facts, c *git.Commit, x *attested.Found) AttestationLine {
	l := AttestationLine{
		Type: "attestation", Commit: c.ID.String(), Where: x.Where, Form: x.Form, PredicateType: x.PredicateType, About: x.About,
		Signers: []Signer{}, Certificate: x.Certificate, Problem: x.Problem,
	}
	for _, s := range x.Signatures {
		out := Signer{KeyID: s.KeyID, Key: s.Known}
		if p, ok := f.Authority.ByKey(s.Known); ok {
			out.Principal = p.Name
		} else if p, ok := f.Authority.ByKey(s.KeyID); ok {
			out.named = p.Name
		}
		l.Signers = append(l.Signers, out)
	}
	return l
}

func tellAttestations(env *cli.Env, f *provenance.Facts, c *git.Commit, list []attested.Found, asJSON bool) error {
	if !asJSON {
		if _, err := fmt.Fprintf(env.Out, "commit %s %s\n", env.Palette().Mark(c.ID.Short()), say.Line(clip(c.Subject, maxSubject))); err != nil {
			return err
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(env.Out, "  nothing is attested of it here")
			return err
		}
	}
	for i := range list {
		l := attestationLine(f, c, &list[i])
		if asJSON {
			if err := env.JSON(l); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(env.Out, "  %s\n", Attestation(&l)); err != nil {
			return err
		}
	}
	return nil
}

// Attestation says in words what another program attests. What its document says stands apart from our words: whoever wrote that chose it.
func Attestation(l *AttestationLine) string {
	about := "of something else"
	if l.About != "" {
		about = "of the " + l.About
	}
	var by []string
	add := func(said string) {
		if !slices.Contains(by, said) {
			by = append(by, said)
		}
	}
	for _, s := range l.Signers {
		switch {
		case s.Principal != "":
			add("signed by " + say.Line(s.Principal))
		case s.named != "" && l.Problem != "": // it may not have been looked at
			add("signed, as it says, by the key of " + say.Line(s.named))
		case s.named != "":
			add("not signed by the key of " + say.Line(s.named) + " that it names")
		case l.Certificate:
		case s.KeyID != "":
			add("signed by " + theirs(s.KeyID) + ", whom nobody here knows")
		default:
			add("signed by a key that nobody here knows")
		}
	}
	if l.Certificate && !slices.ContainsFunc(l.Signers, func(s Signer) bool { return s.Principal != "" }) {
		add("signed by a certificate, which is not checked")
	}
	if len(by) == 0 {
		add("signed by nobody")
	}
	out := fmt.Sprintf("%s %s, %s: %s", theirs(l.PredicateType), about, strings.Join(by, ", "), theirs(l.Where))
	if l.Problem != "" {
		out += ": " + l.Problem
	}
	return out
}

// maxTheirs is how many characters of a text in another program's document are shown.
const maxTheirs = 200

// theirs shows such a text, in quotes where it could be taken for words of ours.
func theirs(s string) string {
	s = clip(s, maxTheirs)
	if say.Name(s) == s && !strings.ContainsAny(s, " ,") {
		return s
	}
	return strconv.Quote(s)
}
