package auditcmd

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
)

type attesting struct {
	keys, keyFiles []string
	artifacts      string
	json           bool
}

func newVerifyAttestation(env *cli.Env) *cobra.Command {
	var o attesting
	cmd := &cobra.Command{
		Use:   "verify-attestation FILE…",
		Short: "Verify what somebody attests of an audit log's root",
		Long: `Verify attestations of the root of an audit log: that each is whole, that the report in it is
that of a valid log, that it is signed with a key you named, and, of several, that each goes on
from the one before it. The key that stands in an attestation is never believed: anybody can
make one. Get the digest of the key from whoever has it, not from the file.

With --artifacts, the files of the releases they hold are read and compared. The subjects of
releases can be given, too; they are not signed by themselves.

What is read is the format of the Rust system, covenant.audit-root-attestation.v1. That the
log itself has this root is for "audit import" to say; commits and tasks are not looked up.`,
		Example: `  covenant audit verify-attestation --key 1f0e…ab audit-roots/*.json
  covenant audit verify-attestation --key-file root.pem --artifacts dist release.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return runVerifyAttestation(env, args, o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.keys, "key", nil, "a key that is trusted: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal; may be repeated")
	f.StringArrayVar(&o.keyFiles, "key-file", nil, "a key that is trusted, as PEM; may be repeated")
	f.StringVar(&o.artifacts, "artifacts", "", "the directory of the releases' files")
	f.BoolVar(&o.json, "json", false, "print one JSON object per line")
	return cmd
}

// AttestationLine is what was found of one attestation, with --json.
type AttestationLine struct {
	Type     string           `json:"type"`   // "attestation"
	File     string           `json:"file"`   // as it was given
	Format   string           `json:"format"` // its schema
	OK       bool             `json:"ok"`
	Root     string           `json:"root_hash_hex,omitempty"`
	Events   uint64           `json:"events,omitempty"`
	Signer   string           `json:"key,omitempty"` // digest of the key that it holds
	Findings []AttestationSay `json:"findings"`
}

// AttestationSay is a thing that is wrong with one, or odd.
type AttestationSay struct {
	Code    seedlog.Code `json:"code"`
	Message string       `json:"message"`
	Note    bool         `json:"note"`
}

// A document is one file that was read, of any format that is known.
type document struct {
	line    AttestationLine
	root    *seedlog.Attestation // of its format
	release *seedlog.Release
}

func (d *document) say(list ...seedlog.Finding) {
	for _, f := range list {
		d.line.Findings = append(d.line.Findings, AttestationSay{f.Code, f.Text, f.Note})
		d.line.OK = d.line.OK && f.Note
	}
}

// A format reads documents of one schema, and says what is wrong with them by themselves.
var formats = map[string]func(d *document, text []byte, keys []string) error{
	seedlog.RootSchema: func(d *document, text []byte, keys []string) error {
		a, err := seedlog.ParseAttestation(text)
		if err != nil {
			return err
		}
		d.root, d.release = a, a.Target.Release
		d.line.Root, d.line.Events = a.AuditRoot.Root, a.AuditRoot.Events
		if a.Signing.KeySHA256 != nil {
			d.line.Signer = *a.Signing.KeySHA256
		}
		d.say(a.Check(keys)...)
		return nil
	},
	seedlog.ReleaseSchema: func(d *document, text []byte, _ []string) error {
		r, err := seedlog.ParseRelease(text)
		if err != nil {
			return err
		}
		d.release = r
		d.say(r.Check()...)
		return nil
	},
}

func runVerifyAttestation(env *cli.Env, names []string, o attesting) error {
	keys, err := o.trusted(env)
	if err != nil {
		return err
	}
	var dir *os.Root
	if o.artifacts != "" {
		if dir, err = os.OpenRoot(env.Path(o.artifacts)); err != nil {
			return err
		}
		defer dir.Close()
	}
	var list []*document
	var roots []*seedlog.Attestation
	var owners []*document
	for _, name := range names {
		d, err := readDocument(env, name, keys)
		if err != nil {
			return err
		}
		if list = append(list, d); d.root != nil {
			roots, owners = append(roots, d.root), append(owners, d)
		}
		if d.root == nil && d.release != nil {
			d.say(seedlog.Finding{Code: seedlog.Unsigned, Text: "the subject of a release is not signed by itself: it says no more than what its files are", Note: dir != nil})
		}
		if dir != nil && d.release != nil {
			d.say(d.release.Artifacts(func(p string) (io.ReadCloser, error) { return dir.Open(p) })...)
		}
	}
	for i, found := range seedlog.Series(roots) {
		owners[i].say(found...)
	}
	return o.print(env, list, len(keys) > 0)
}

func readDocument(env *cli.Env, name string, keys []string) (*document, error) {
	f, err := os.Open(env.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, seedlog.MaxDocument+1))
	if err != nil {
		return nil, err
	}
	d := &document{line: AttestationLine{Type: "attestation", File: name, OK: true, Findings: []AttestationSay{}}}
	var head struct {
		Schema string `json:"schema"`
	}
	_ = json.Unmarshal(text, &head) // what it is will be told below
	read, known := formats[head.Schema]
	if !known {
		return nil, cli.Hint(fmt.Errorf("%s: schema %.80q is none that is known here", say.Name(name), head.Schema), "known are: "+seedlog.RootSchema+", "+seedlog.ReleaseSchema,
			"what \"audit attest\" makes is verified where it is recorded: covenant audit attestations")
	}
	d.line.Format = head.Schema
	if err := read(d, text, keys); err != nil {
		d.say(seedlog.Finding{Code: "syntax", Text: err.Error()})
	}
	return d, nil
}

func (o *attesting) trusted(env *cli.Env) ([]string, error) {
	var keys []string
	for _, k := range o.keys {
		k = strings.TrimPrefix(strings.ToLower(k), "sha256:")
		if b, err := hex.DecodeString(k); err != nil || len(b) != sha256.Size {
			return nil, cli.Usage("--key takes 64 hexadecimal digits, not %q", k)
		}
		keys = append(keys, k)
	}
	for _, name := range o.keyFiles {
		b, err := os.ReadFile(env.Path(name))
		if err != nil {
			return nil, err
		}
		p, _ := pem.Decode(b)
		if p == nil || p.Type != "PUBLIC KEY" {
			return nil, cli.Hint(fmt.Errorf("%s has no public key as PEM", say.Name(name)), "of a private key: openssl pkey -in KEY -pubout -out "+say.Shell(name))
		}
		d := sha256.Sum256(p.Bytes)
		keys = append(keys, hex.EncodeToString(d[:]))
	}
	return keys, nil
}

func (o *attesting) print(env *cli.Env, list []*document, named bool) error {
	bad, asked := 0, false // asked: all that keeps some from being good is that no key was named
	for _, d := range list {
		only := !named && !d.line.OK
		for _, f := range d.line.Findings {
			only = only && (f.Note || f.Code == seedlog.Untrusted)
		}
		if !d.line.OK && !only {
			bad++
		}
		asked = asked || only
		if o.json {
			if err := env.JSON(d.line); err != nil {
				return err
			}
			continue
		}
		word := env.Palette().Good("ok")
		if !d.line.OK {
			word = env.Palette().Bad("no")
		}
		if _, err := fmt.Fprintf(env.Out, "%s %s: %s\n", word, say.Name(d.line.File), attested(d)); err != nil {
			return err
		}
		for _, f := range d.line.Findings {
			if _, err := fmt.Fprintf(env.Out, "   %s: %s\n", f.Code, say.Line(f.Message)); err != nil {
				return err
			}
		}
	}
	switch {
	case bad > 0:
		return cli.No(fmt.Errorf("%s of %d not good", say.Count(bad, "attestation"), len(list)))
	case asked:
		return cli.Hint(errors.New("no key was named, so nobody can say who signed"), "get the digest of the key from whoever has it, and: --key SHA256")
	}
	return nil
}

func attested(d *document) string {
	switch {
	case d.root != nil:
		return fmt.Sprintf("%d events, root %s", d.line.Events, d.line.Root)
	case d.release != nil:
		return "release " + say.Line(d.release.Subject.ID)
	}
	return cmp.Or(d.line.Format, "unread")
}
