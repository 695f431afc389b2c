package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

var spec = filepath.Join("..", "..", "..", "docs", "spec")

func specPage(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(spec, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var fence = regexp.MustCompile("(?ms)^```json\n(.*?)\n```$")

// worked are the worked examples of the pages: the envelopes, and all others.
type worked struct {
	envelopes map[string]*envelope.Envelope // by page
	lines     map[string]string
	others    map[string][]string
}

func examples(t *testing.T) worked {
	t.Helper()
	w := worked{map[string]*envelope.Envelope{}, map[string]string{}, map[string][]string{}}
	for _, name := range []string{"envelope.md", "trust-root.md", "capability.md", "provenance.md"} {
		found := fence.FindAllStringSubmatch(specPage(t, name), -1)
		for _, m := range found {
			var doc map[string]json.RawMessage
			if err := json.Unmarshal([]byte(m[1]), &doc); err != nil {
				t.Errorf("%s: example is no JSON object: %v\n%s", name, err, m[1])
				continue
			}
			if doc["payload"] == nil {
				w.others[name] = append(w.others[name], m[1])
				continue
			}
			e, err := envelope.Parse([]byte(m[1]))
			if err != nil {
				t.Errorf("%s: envelope: %v", name, err)
				continue
			}
			if w.envelopes[name] != nil {
				t.Errorf("%s has two envelopes", name)
			}
			w.envelopes[name], w.lines[name] = e, m[1]
			if !strings.Contains(specPage(t, name), string(e.ID())) {
				t.Errorf("%s does not name the identity of its envelope, %s", name, e.ID())
			}
		}
		if w.envelopes[name] == nil {
			t.Fatalf("%s has no worked envelope", name)
		}
	}
	return w
}

// TestWorkedExamplesOpen opens what the pages show by the rules the pages state: it is one repository's.
func TestWorkedExamplesOpen(t *testing.T) {
	w := examples(t)
	pin := w.envelopes["trust-root.md"].ID()
	versions, err := trust.Chain([]*envelope.Envelope{w.envelopes["trust-root.md"]}, pin)
	if err != nil {
		t.Fatalf("trust-root.md: %v", err)
	}
	root := versions[0].Root
	pinned, err := w.envelopes["trust-root.md"].OpenPinned(envelope.TypeRoot, pin)
	if err != nil {
		t.Fatal(err)
	}
	payloads := map[string][]string{"trust-root.md": append(chainExample(t), string(pinned.Payload))}

	var persons []capability.Principal
	for _, p := range root.Persons {
		c := capability.Principal{Name: p.Name, Kind: string(p.Kind), Accountable: p.Name, Operator: root.IsOperator(p.Name), Emails: p.Emails}
		for _, text := range p.Keys {
			k, err := identity.ParsePublicKey(text)
			if err != nil {
				t.Fatal(err)
			}
			c.Keys = append(c.Keys, k)
		}
		persons = append(persons, c)
	}
	open := func(name, typ string, a *capability.Authority) *envelope.Opened {
		t.Helper()
		o, err := w.envelopes[name].Open(typ, 1, a.Ring)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return o
	}
	o := open("capability.md", envelope.TypeLedger, capability.Fold(persons, nil, nil))
	payloads["capability.md"] = []string{string(o.Payload)}
	grant, err := capability.Parse(o)
	if err != nil {
		t.Fatalf("capability.md: %v", err)
	}
	a := capability.Fold(persons, []capability.Given{{Place: capability.Place{ID: o.ID, KeyID: o.KeyIDs[0], Ledger: grant.Entry.Ledger(), Seq: grant.Entry.Seq, Time: grant.Entry.When()}, Granted: grant.Body}}, nil)
	if len(a.Refused) > 0 {
		t.Fatalf("capability.md: %v", a.Refused)
	}

	d := open("envelope.md", envelope.TypeLedger, a)
	decision, err := provenance.ParseDecision(d)
	if err != nil {
		t.Fatalf("envelope.md: %v", err)
	}
	s := open("provenance.md", envelope.TypeInToto, a)
	seal, err := provenance.Parse(s)
	if err != nil {
		t.Fatalf("provenance.md: %v", err)
	}
	payloads["provenance.md"] = []string{string(d.Payload), string(s.Payload)}

	p := seal.Predicate
	for _, h := range []envelope.Header{grant.Entry, decision.Entry, p.Entry} {
		if err := h.Check(pin); err != nil {
			t.Errorf("%s entry %d: %v", h.Ledger(), h.Seq, err)
		}
	}
	if p.Decision != d.ID || p.Entry.Prev != d.ID || p.Entry.Seq != decision.Entry.Seq+1 || p.Entry.Ledger() != decision.Entry.Ledger() {
		t.Errorf("the seal does not follow its decision: %+v", p.Entry)
	}
	if !decision.Body.Allows(s.KeyIDs[0], seal.Tree(), p.Parents, p.Ref) || !slices.Equal(p.Grants, []envelope.Digest{o.ID}) {
		t.Errorf("the decision is not one for this seal: %+v", decision.Body)
	}

	// Every example that is spread out is the payload of an envelope, or a patch digest.
	for name, list := range w.others {
		for _, text := range list {
			if patchExample(t, name, text) {
				continue
			}
			var b bytes.Buffer
			if err := json.Compact(&b, []byte(text)); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !slices.Contains(payloads[name], b.String()) {
				t.Errorf("%s: an example is the payload of no envelope there:\n%s", name, text)
			}
		}
	}
	for name, list := range payloads {
		if len(w.others[name]) < len(list) {
			t.Errorf("%s spreads out %d of %d payloads", name, len(w.others[name]), len(list))
		}
	}
}

// chainExample opens the chain that trust-root.md shows, which is a test vector, and returns what its versions say.
func chainExample(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile("(?ms)^```jsonl\n(.*?)^```$").FindStringSubmatch(specPage(t, "trust-root.md"))
	if m == nil {
		t.Fatal("trust-root.md shows no chain")
	}
	vector, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "vectors", "trust-root", "accept", "worked-example.jsonl"))
	if err != nil || string(vector) != m[1] {
		t.Fatalf("trust-root.md: the chain is not the vector worked-example (%v)", err)
	}
	var head struct{ Pin envelope.Digest }
	lines := envelope.Lines(vector)
	if err := json.Unmarshal(lines[0], &head); err != nil {
		t.Fatal(err)
	}
	var list []*envelope.Envelope
	var payloads []string
	for _, l := range lines[1:] {
		e, err := envelope.Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		o, err := e.OpenPinned(envelope.TypeRoot, e.ID())
		if err != nil {
			t.Fatal(err)
		}
		list, payloads = append(list, e), append(payloads, string(o.Payload))
	}
	versions, err := trust.Chain(list, head.Pin)
	if err != nil {
		t.Fatalf("trust-root.md: %v", err)
	}
	page := specPage(t, "trust-root.md")
	for _, v := range versions {
		if !strings.Contains(page, string(v.ID)) {
			t.Errorf("trust-root.md does not name version %d, %s", v.Version, v.ID)
		}
	}
	return payloads[1:] // the page spreads out the second
}

// patchExample checks an example of a patch digest.
func patchExample(t *testing.T, name, text string) bool {
	t.Helper()
	var p struct{ Path, OldMode, NewMode, Old, New, Patch string }
	if json.Unmarshal([]byte(text), &p) != nil || p.Patch == "" {
		return false
	}
	if got := provenance.Patch(p.Path, p.OldMode, p.NewMode, []byte(p.Old), []byte(p.New)); got != p.Patch {
		t.Errorf("%s: patch digest %s, the page says %s", name, got, p.Patch)
	}
	return true
}

// dsseKey lets a key of ours verify for go-securesystemslib.
type dsseKey struct{ identity.PublicKey }

func (k dsseKey) Verify(_ context.Context, data, sig []byte) error {
	return k.PublicKey.Verify(data, sig)
}
func (k dsseKey) KeyID() (string, error)   { return k.ID(), nil }
func (k dsseKey) Public() crypto.PublicKey { return nil }

// TestOthersReadTheExamples: DSSE code that is not ours reads what we write, and verifies it.
func TestOthersReadTheExamples(t *testing.T) {
	w := examples(t)
	pub := ""
	for _, text := range w.others["capability.md"] {
		var g struct {
			Body capability.Grant `json:"body"`
		}
		if json.Unmarshal([]byte(text), &g) == nil {
			pub = g.Body.Subject.Key
		}
	}
	key, err := identity.ParsePublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := dsse.NewEnvelopeVerifier(dsseKey{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"envelope.md", "provenance.md"} {
		var e dsse.Envelope
		if err := json.Unmarshal([]byte(w.lines[name]), &e); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := verifier.Verify(t.Context(), &e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		payload, err := e.DecodeB64Payload()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(dsse.PAE(e.PayloadType, payload), envelope.PAE(e.PayloadType, payload)) {
			t.Errorf("%s: another pre-authentication encoding", name)
		}
	}
}

// TestFindingsDoNotDrift holds the page of codes to the constants in the sources.
func TestFindingsDoNotDrift(t *testing.T) {
	have := map[string]string{} // code → where it is declared
	top := filepath.Join("..", "..", "..")
	for _, src := range []struct{ dir, typ, prefix string }{
		{"envelope/verdict", "Code", ""},
		{"envelope/provenance", "DifferenceKind", "seal."},
		{"git/provenance", "verdict.Code", ""},
		{"git/audit", "verdict.Code", ""},
		{"git/sync", "verdict.Code", ""},
		{"cmd/internal/doctorcmd", "verdict.Code", ""},
		{"cmd/internal/provenancecmd", "verdict.Code", ""},
	} {
		found, err := constants(filepath.Join(top, filepath.FromSlash(src.dir)), src.typ)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 && src.dir != "git/provenance" && src.dir != "cmd/internal/provenancecmd" {
			t.Errorf("%s declares no constant of type %s: look for the codes elsewhere", src.dir, src.typ)
		}
		for _, v := range found {
			have[src.prefix+v] = src.dir
		}
	}
	said := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z.-]+)` \\|").FindAllStringSubmatch(specPage(t, "findings.md"), -1) {
		if said[m[1]] {
			t.Errorf("findings.md explains %s twice", m[1])
		}
		said[m[1]] = true
	}
	for _, code := range slices.Sorted(maps.Keys(have)) {
		if !said[code] {
			t.Errorf("findings.md does not explain %s (%s)", code, have[code])
		}
	}
	for _, code := range slices.Sorted(maps.Keys(said)) {
		if have[code] == "" {
			t.Errorf("findings.md explains %s, which no source declares", code)
		}
	}
}

// constants returns the values of all string constants of a type that a folder's programs declare.
func constants(dir, typ string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, errors.New(dir+": no Go files"))
	}
	var out []string
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || typeName(v.Type) != typ {
					continue
				}
				for _, x := range v.Values {
					if lit, ok := x.(*ast.BasicLit); ok {
						text, err := strconv.Unquote(lit.Value)
						if err != nil {
							return nil, err
						}
						out = append(out, text)
					}
				}
			}
		}
	}
	return out, nil
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok {
			return x.Name + "." + e.Sel.Name
		}
	}
	return ""
}
