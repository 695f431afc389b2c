// Package trustcmd is the command group "trust": who the operators are, and how that changes.
package trustcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Show and change the trust root: who decides here, and how many must agree",
		Long: `The trust root is a signed document that names the persons of a repository, which
of them are operators, how many operators must sign a change, and the policy. Each
change is a new version, signed by enough operators of the version before and of its
own. A version that lacks signatures is staged: the other operators fetch it, sign
it with "covenant trust sign", and push. This clone holds the root to a pin, which
only goes forward.`,
	}
	cmd.AddCommand(newShow(env), newLog(env), newVerify(env), newAdd(env), newRemove(env), newRotate(env), newSet(env), newSign(env), newPin(env), newReroot(env))
	return cmd
}

// opened is the root a command looks at.
type opened struct {
	w    *work.Work
	pin  work.Pinned
	root *provenance.Root
}

// open opens the repository and its root. The caller closes w.
func open(ctx context.Context, env *cli.Env, how func(*opened) (*provenance.Root, error)) (*opened, error) {
	w, err := work.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	o := &opened{w: w}
	if o.pin, err = w.PinFrom(""); err == nil {
		o.root, err = how(o)
		if errors.Is(err, provenance.ErrRootMismatch) {
			err = o.replaced(err)
		}
	}
	if err != nil {
		w.Close()
		return nil, work.Explain(err)
	}
	return o, nil
}

func current(o *opened) (*provenance.Root, error) {
	return provenance.OpenRoot(o.w.Session, o.pin.Digest)
}

func history(o *opened) (*provenance.Root, error) {
	return provenance.OpenHistory(o.w.Session, o.pin.Digest)
}

// replaced says more of a root that does not contain the pin, when it claims to
// take the place of the pinned one.
func (o *opened) replaced(err error) error {
	found, ferr := provenance.RootDigest(o.w.Session)
	if ferr != nil {
		return err
	}
	claims, ferr := provenance.OpenRoot(o.w.Session, found)
	if ferr != nil || len(claims.Succeeds) == 0 {
		return err
	}
	if !replaces(o.w, claims, o.pin.Digest) {
		return err
	}
	if name := claims.Operators[0]; len(claims.Operators) == 1 && claims.Version == 1 { // its signature is this key's alone
		where, _ := o.w.Session.Repo().Config().Get(provenance.NextKeyOf(name))
		if pub, ferr := identity.PublicOfFile(where); ferr == nil && slices.Equal(claims.Person(name).Keys, []string{pub.String()}) {
			return cli.No(cli.Hint(fmt.Errorf("%w; the root here replaces it, and is signed with your key %s", err, where),
				"if you began anew here, go on: covenant trust pin "+string(found)))
		}
	}
	return cli.No(cli.Hint(fmt.Errorf("%w; the root here claims to replace it: operators %s, created %s. Nothing you pinned proves that", err, strings.Join(claims.Operators, ", "), claims.Created),
		"ask an operator you know; when the digest is theirs, it is a new pin: covenant trust pin "+string(found)))
}

// Shown is what show prints with --json.
type Shown struct {
	Type       string            `json:"type"` // "trust"
	Repository string            `json:"repository"`
	Version    int               `json:"version"`
	Digest     string            `json:"digest"`
	Created    string            `json:"created"`
	Expires    string            `json:"expires,omitempty"`
	Threshold  int               `json:"threshold"`
	Operators  []string          `json:"operators"`
	Persons    []Person          `json:"persons"`
	Former     []string          `json:"former"`
	Pin        string            `json:"pin"`
	PinSource  string            `json:"pinSource"`
	Staged     []StagedLine      `json:"staged"`
	Findings   []verdict.Finding `json:"findings"`
}

// Person is a person of the root.
type Person struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"`
	Operator bool     `json:"operator"`
	Keys     []string `json:"keys"` // key ids
	Emails   []string `json:"emails"`
}

// StagedLine is a draft that collects signatures.
type StagedLine struct {
	Version int      `json:"version"`
	Digest  string   `json:"digest"`
	Refs    []string `json:"refs"`
	Signed  []string `json:"signed"`
	Missing []string `json:"missing"`
	Changes []string `json:"changes"`
	Error   string   `json:"error,omitempty"` // why it can't be signed
}

func newShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the version in force, its operators, the pin, and what is staged",
		Long: `Show the version of the trust root that is in force: its persons with their keys,
how many operators must sign a change, when it expires, what this clone has pinned and
where, and the drafts that still collect signatures with what they change and who is
missing.`,
		Example: "  covenant trust show\n  covenant trust show --json | jq -r '.staged[].missing[]'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runShow(cmd.Context(), env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runShow(ctx context.Context, env *cli.Env, asJSON bool) error {
	o, err := open(ctx, env, current)
	if err != nil {
		return err
	}
	defer o.w.Close()
	r := o.root
	s := Shown{
		Type: "trust", Repository: string(r.ID), Version: r.Version, Digest: string(r.Digest), Created: r.Created, Expires: r.Expires, Threshold: r.Threshold,
		Operators: r.Operators, Persons: []Person{}, Former: []string{}, Pin: string(o.pin.Digest), PinSource: o.pin.Source, Staged: []StagedLine{}, Findings: []verdict.Finding{},
	}
	for _, p := range r.Persons {
		s.Persons = append(s.Persons, Person{p.Name, string(p.Kind), r.IsOperator(p.Name), keyIDs(p.Keys), append([]string{}, p.Emails...)})
	}
	for _, f := range r.Former {
		s.Former = append(s.Former, formerLine(f))
	}
	list, err := provenance.Drafts(o.w.Session, r)
	if err != nil {
		return err
	}
	for _, d := range list {
		s.Staged = append(s.Staged, stagedLine(r, d))
	}
	if s.Findings, err = findings(ctx, o, env.Now()); err != nil {
		return err
	}
	if asJSON {
		return env.JSON(s)
	}
	return s.print(env)
}

// findings are what is wrong with a root that verifies.
func findings(ctx context.Context, o *opened, now time.Time) ([]verdict.Finding, error) {
	out := []verdict.Finding{}
	f, err := o.w.Cache(false).Load(ctx, o.w.Session, o.pin.Digest)
	if err != nil {
		return nil, work.Explain(err)
	}
	for _, p := range f.Problems {
		if p.Code == verdict.RootWithheld {
			out = append(out, p)
		}
	}
	if f, ok := provenance.ExpiryFinding(o.root, now); ok {
		out = append(out, f)
	}
	switch err := provenance.Rivals(o.w.Session, o.root); {
	case errors.Is(err, trust.ErrFork):
		out = append(out, verdict.Finding{Code: provenance.RootFork, Object: provenance.RootRef, Message: err.Error(), Hint: "ask the operators which one is theirs, then: covenant trust pin DIGEST"})
	case err != nil:
		return nil, err
	}
	return out, nil
}

func keyIDs(keys []string) []string {
	out := make([]string, 0, len(keys))
	for _, text := range keys {
		if pub, err := identity.ParsePublicKey(text); err == nil { // it was parsed before
			out = append(out, pub.ID())
		}
	}
	return out
}

func formerLine(f trust.Former) string {
	line := fmt.Sprintf("%s until %s, grants %s (%s)", f.Name, f.Until, f.Grants, strings.Join(keyIDs(f.Keys), " "))
	if f.Compromised != "" {
		line += ", compromised since " + f.Compromised
	}
	return line
}

func stagedLine(r *provenance.Root, d provenance.Staged) StagedLine {
	l := StagedLine{Version: d.Version, Digest: string(d.ID), Refs: d.Refs, Signed: []string{}, Missing: []string{}, Changes: []string{}}
	if d.Err != nil {
		l.Error = d.Err.Error()
		return l
	}
	l.Signed, l.Missing, l.Changes = d.Draft.Signed(), append(l.Missing, d.Draft.Missing()...), append(l.Changes, trust.Changes(r.Root, d.Draft.Root)...)
	return l
}

func (s Shown) print(env *cli.Env) error {
	var b strings.Builder
	p := env.Palette()
	row := func(name, format string, a ...any) { fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, a...)) }
	row("version", "%d, created %s", s.Version, s.Created)
	row("digest", "%s", s.Digest)
	row("repository", "%s", s.Repository)
	row("pin", "%s, from %s", s.Pin, s.PinSource)
	row("expires", "%s", orNever(s.Expires))
	row("threshold", "%d of %d operators", s.Threshold, len(s.Operators))
	for _, q := range s.Persons {
		role := q.Kind
		if q.Operator {
			role = p.Bold("operator")
		}
		row("person", "%s, %s: %s", q.Name, role, strings.Join(q.Keys, " "))
		if len(q.Emails) > 0 {
			row("", "  %s", say.Line(strings.Join(q.Emails, ", ")))
		}
	}
	for _, f := range s.Former {
		row("former", "%s", say.Line(f))
	}
	for _, d := range s.Staged {
		if d.Error != "" {
			row("staged", "version %d %s: %s", d.Version, p.Bad("can't be signed"), say.Line(d.Error))
			continue
		}
		row("staged", "version %d %s: signed by %s, missing: %s", d.Version, d.Digest, say.Line(strings.Join(d.Signed, ", ")), say.Line(strings.Join(d.Missing, ", ")))
		for _, c := range d.Changes {
			row("", "  %s", say.Line(c))
		}
	}
	for _, f := range s.Findings {
		row("warning", "%s: %s\n           hint: %s", p.Warn(string(f.Code)), say.Line(f.Message), say.Line(f.Hint))
	}
	_, err := fmt.Fprint(env.Out, b.String())
	return err
}

func orNever(s string) string {
	if s == "" {
		return "never"
	}
	return s
}

// LogLine is one version with log --json.
type LogLine struct {
	Type    string   `json:"type"` // "version"
	Version int      `json:"version"`
	Digest  string   `json:"digest"`
	Created string   `json:"created"`
	Signed  []string `json:"signed"` // empty for versions older than the pin, whose signatures are not looked at
	Pinned  bool     `json:"pinned"`
	Changes []string `json:"changes"` // against the version before
}

func newLog(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "log",
		Short: "List the versions of the trust root, newest first, and what each changed",
		Long: `List the versions of the trust root, newest first: number, digest, when it was
created, who signed, and what it changed. Versions older than the pinned one are
vouched for by the pin; their signatures are not looked at.`,
		Example: "  covenant trust log\n  covenant trust log --json | jq -r .digest",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := open(cmd.Context(), env, history)
			if err != nil {
				return err
			}
			defer o.w.Close()
			for i := len(o.root.Versions) - 1; i >= 0; i-- {
				if err := printVersion(env, o, i, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per version")
	return cmd
}

func printVersion(env *cli.Env, o *opened, i int, asJSON bool) error {
	v := o.root.Versions[i]
	l := LogLine{Type: "version", Version: v.Version, Digest: string(v.ID), Created: v.Created, Signed: append([]string{}, v.Signers...), Pinned: v.ID == o.pin.Digest, Changes: []string{}}
	if i > 0 {
		l.Changes = append(l.Changes, trust.Changes(o.root.Versions[i-1].Root, v.Root)...)
	}
	if asJSON {
		return env.JSON(l)
	}
	p := env.Palette()
	by := "older than the pin"
	if len(l.Signed) > 0 {
		by = "signed by " + strings.Join(l.Signed, ", ")
	}
	if l.Pinned {
		by += ", " + p.Good("pinned")
	}
	if _, err := fmt.Fprintf(env.Out, "version %d %s %s, %s\n", l.Version, p.Mark(l.Digest), l.Created, by); err != nil {
		return err
	}
	for _, c := range l.Changes {
		if _, err := fmt.Fprintf(env.Out, "  %s\n", say.Line(c)); err != nil {
			return err
		}
	}
	return nil
}

// Verified is what verify prints with --json.
type Verified struct {
	Type       string            `json:"type"` // "trust-verified"
	OK         bool              `json:"ok"`
	Repository string            `json:"repository,omitempty"`
	Version    int               `json:"version,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Versions   int               `json:"versions"` // verified, from the pinned one on
	Pin        string            `json:"pin"`
	PinSource  string            `json:"pinSource"`
	Findings   []verdict.Finding `json:"findings"`
}

func newVerify(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Tell whether the trust root holds: every version since the pin, expiry, forks",
		Long: `Tell whether the trust root holds. Every version since the pinned one must be signed
by enough operators, of the version before and of its own; all older ones must link up
to version 1. The exit code is 0 when it holds, 1 when a version is refused, the root
has expired, or a remote has another valid successor, and 2 when there is no answer.`,
		Example: "  covenant trust verify\n  COVENANT_ROOT=sha256:… covenant trust verify --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runVerify(cmd.Context(), env, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func runVerify(ctx context.Context, env *cli.Env, asJSON bool) error {
	o, err := open(ctx, env, history)
	if err != nil {
		return err
	}
	defer o.w.Close()
	v := Verified{Type: "trust-verified", OK: true, Repository: string(o.root.ID), Version: o.root.Version, Digest: string(o.root.Digest), Pin: string(o.pin.Digest), PinSource: o.pin.Source}
	for _, x := range o.root.Versions {
		if len(x.Signers) > 0 {
			v.Versions++
		}
	}
	if v.Findings, err = findings(ctx, o, env.Now()); err != nil {
		return err
	}
	for _, f := range v.Findings {
		v.OK = v.OK && f.Code == provenance.RootExpires
	}
	if asJSON {
		if err := env.JSON(v); err != nil {
			return err
		}
	} else if err := v.print(env); err != nil {
		return err
	}
	if !v.OK {
		return cli.No(nil)
	}
	return nil
}

func (v Verified) print(env *cli.Env) error {
	p := env.Palette()
	word := p.Good("ok")
	if !v.OK {
		word = p.Bad("refused")
	}
	for _, f := range v.Findings {
		if _, err := fmt.Fprintf(env.Out, "%s: %s\n  hint: %s\n", f.Code, say.Line(f.Message), say.Line(f.Hint)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(env.Out, "%s: version %d %s; %d verified since the pin %s, from %s\n", word, v.Version, v.Digest, v.Versions, envelope.Digest(v.Pin).Short(), v.PinSource)
	return err
}
