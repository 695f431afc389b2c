package trust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

const vectors = "../../testdata/vectors/trust-root"

// A vector is a file of lines: {"pin":"…"}, then the envelopes of a chain, oldest first.
func encodeVector(t testing.TB, pin envelope.Digest, list []*envelope.Envelope) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`{"pin":"` + string(pin) + `"}` + "\n")
	for _, e := range list {
		b.Write(bytesOf(t, e))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func openVector(b []byte) ([]*trust.Version, error) {
	lines := envelope.Lines(b)
	var head struct{ Pin envelope.Digest }
	if len(lines) == 0 {
		return nil, errors.New("empty")
	}
	if err := json.Unmarshal(lines[0], &head); err != nil {
		return nil, err
	}
	var list []*envelope.Envelope
	for _, l := range lines[1:] {
		e, err := envelope.Parse(l)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return trust.Chain(list, head.Pin)
}

func writeVectors(t *testing.T) {
	write := func(name string, b []byte) {
		file := filepath.Join(vectors, name+".jsonl")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range refusals(t) {
		write("reject/"+name, encodeVector(t, c.list[0].ID(), c.list))
	}
	raw := func(name string, change func(map[string]any), typ string) {
		c := begin(t)
		payload, err := canonical.Marshal(c.next(nil))
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(payload, &doc); err != nil {
			t.Fatal(err)
		}
		change(doc)
		if payload, err = canonical.Marshal(doc); err != nil {
			t.Fatal(err)
		}
		e, err := envelope.Seal(typ, payload, with(c.ada)...)
		if err != nil {
			t.Fatal(err)
		}
		write("reject/"+name, encodeVector(t, c.list[0].ID(), append(c.list, e)))
	}
	raw("invalid-unknown-field", func(d map[string]any) { d["admin"] = "mallory" }, envelope.TypeRoot)
	raw("invalid-empty-former", func(d map[string]any) { d["former"] = []any{} }, envelope.TypeRoot)
	raw("invalid-field-in-another-case", func(d map[string]any) { d["Threshold"] = d["threshold"]; delete(d, "threshold") }, envelope.TypeRoot)
	raw("invalid-policy-unknown-field", func(d map[string]any) {
		d["policy"] = map[string]any{"version": 1, "protect": []any{"refs/heads/main"}}
	}, envelope.TypeRoot)
	raw("invalid-policy-default", func(d map[string]any) { d["policy"] = map[string]any{"version": 1} }, envelope.TypeRoot)
	raw("newer-version-of-the-type", func(d map[string]any) { d["type"] = "covenant.trust-root/v2" }, envelope.TypeRoot)
	raw("type-of-a-ledger", func(map[string]any) {}, envelope.TypeLedger)
	c := begin(t)
	c.add(nil, c.ada)
	write("reject/pin-later-than-the-chain", encodeVector(t, c.list[1].ID(), c.list[:1]))
	forged := bytes.Replace(bytesOf(t, c.list[1]), []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1)
	at := bytes.Index(forged, []byte(`"sig":"`)) + len(`"sig":"AAAA`)
	forged = slices.Delete(forged, at, at+4)
	write("reject/signature-forged", append(encodeVector(t, c.list[0].ID(), c.list[:1]), append(forged, '\n')...))
	write("accept/one-version", encodeVector(t, c.list[0].ID(), c.list[:1]))
	write("accept/two-versions", encodeVector(t, c.list[0].ID(), c.list))
	write("accept/pinned-later", encodeVector(t, c.list[1].ID(), c.list))
	write("accept/from-the-pin-on", encodeVector(t, c.list[1].ID(), c.list[1:]))
	worked := begin(t) // docs/spec/trust-root.md shows it
	worked.add(func(r *trust.Root) error {
		r.Threshold, r.Expires = 2, "2028-01-01T00:00:00Z"
		r.Policy = &trust.Policy{Version: 1, Protected: []string{"refs/heads/main"}, Rules: []trust.Rule{{Paths: []string{"deploy/**"}, Principals: []string{"ada", "ben"}, Reviews: 1}}}
		return errors.Join(r.Promote("ben"), r.Add("ada", "", nil, worked.a2.Public()), r.Remove("ada", trust.Leaving{Grants: trust.Stand}, worked.ada.Public().ID()))
	}, worked.ada, worked.a2, worked.ben)
	write("accept/worked-example", encodeVector(t, worked.list[0].ID(), worked.list))
	full := begin(t)
	full.add(func(r *trust.Root) error {
		r.Threshold, r.Expires = 2, "2027-01-01T00:00:00Z"
		r.Policy = &trust.Policy{
			Version: 1, Protected: []string{"refs/heads/main", "refs/heads/release/**"}, Modes: []string{trust.Witness}, Operators: []string{}, Presence: trust.Ask, Reviews: 1,
			Rules: []trust.Rule{{Paths: []string{"deploy/**"}, Principals: []string{"ada"}, Reviews: 2}},
			Plugins: []trust.Plugin{{
				Name: "cedar", Pins: map[string]string{"linux/amd64": "sha256:" + strings.Repeat("0", 64)},
				Config: map[string]string{"policy.cedar": "permit(principal, action, resource);\n"},
			}},
			MaxCheckpointAge: "24h",
		}
		return errors.Join(r.Promote("ben"), r.Add("bot", trust.Automation, nil, full.bot.Public()))
	}, full.ada, full.ben)
	full.add(func(r *trust.Root) error {
		return errors.Join(r.Add("ada", "", nil, full.a2.Public()), r.Remove("ada", trust.Leaving{Grants: trust.Stand}, full.ada.Public().ID()),
			r.Remove("bot", trust.Leaving{Grants: trust.Lapse, Compromised: "2026-01-02T12:00:00Z"}))
	}, full.ada, full.a2, full.ben)
	write("accept/operators-policy-rotation", encodeVector(t, full.list[0].ID(), full.list))
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	for _, kind := range []string{"accept", "reject"} {
		files, err := filepath.Glob(filepath.Join(vectors, kind, "*.jsonl"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s vectors: %v", kind, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, err = openVector(b)
			if kind == "accept" && err != nil {
				t.Errorf("%s: %v", f, err)
			}
			if name := filepath.Base(f); kind == "reject" && (err == nil || !errors.Is(err, kindOf(name))) {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

// FuzzRoot: a version that opens encodes to the bytes it came from.
func FuzzRoot(f *testing.F) {
	c := begin(f)
	key := c.ada
	for _, kind := range []string{"accept", "reject"} {
		files, _ := filepath.Glob(filepath.Join(vectors, kind, "*.jsonl"))
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, l := range envelope.Lines(b)[1:] {
				if e, err := envelope.Parse(l); err == nil {
					if o, err := e.OpenPinned(envelope.TypeRoot, e.ID()); err == nil {
						f.Add(o.Payload)
					}
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := envelope.Seal(envelope.TypeRoot, payload, with(key)...)
		if err != nil {
			return
		}
		v, err := trust.Chain([]*envelope.Envelope{e}, e.ID())
		if err != nil {
			return
		}
		again, err := canonical.Marshal(v[0].Root)
		if err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%q encodes to %q (%v)", payload, again, err)
		}
		next, err := v[0].Next("2100-01-01T00:00:00Z")
		if err != nil {
			t.Fatal(err)
		}
		if next.Validate() == nil {
			if err := trust.Follows(v[0], next); err != nil {
				t.Errorf("the next version does not follow: %v", err)
			}
		}
	})
}
