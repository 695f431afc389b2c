package seedlog_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
)

const commit = "37b7fb264f2c68d2d1a47b7c6c2bb1f5a1d1c6b2"

func hexsum(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// stable is what the seed calls its stable JSON, for what these tests hold.
func stable(t testing.TB, v any) []byte {
	t.Helper()
	b, err := canonical.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type object = map[string]any

func private(seed byte) (ed25519.PrivateKey, []byte) {
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	der, _ := hex.DecodeString("302a300506032b6570032100")
	return k, append(der, k.Public().(ed25519.PublicKey)...)
}

// trusted is the digest of the key that the vectors are signed with.
func trusted() string {
	_, der := private(1)
	return hexsum(der)
}

// attest makes an attestation, as the seed does; edit comes before its digests and its signature.
func attest(t testing.TB, key byte, edit func(object)) object {
	report := object{"events": 6, "anchors": 6, "valid": true, "root_hash_hex": goldenRoot, "failures": []any{}}
	a := object{
		"schema": seedlog.RootSchema, "generatedAt": "2026-05-09T12:00:00.123Z", "repository": "open-covenant/covenant",
		"subject":      object{"kind": "git_commit", "commit": commit},
		"target":       object{"kind": "release", "id": "v0.1.0-alpha.1"},
		"auditRoot":    object{"events": 6, "anchors": 6, "valid": true, "rootHashHex": goldenRoot, "failures": []any{}, "reportSha256": hexsum(stable(t, report))},
		"previous":     object{"rootHashHex": nil},
		"signing":      object{"status": "unsigned", "keyId": nil, "algorithm": nil, "signature": nil},
		"verification": []any{object{"command": "cargo test", "status": "passed"}},
		"claims":       []any{"The root is that of a report."}, "limits": []any{"It says no more.\u2028"},
	}
	if edit != nil {
		edit(a)
	}
	if key != 0 {
		k, der := private(key)
		s := object{"status": "signed", "keyId": "covenant-alpha-root", "algorithm": "ed25519", "publicKeySpkiSha256": hexsum(der), "publicKeySpkiBase64": base64.StdEncoding.EncodeToString(der), "signature": nil}
		a["signing"] = s
		s["signature"] = base64.StdEncoding.EncodeToString(ed25519.Sign(k, stable(t, a)))
	}
	return digested(t, a)
}

func digested(t testing.TB, a object) object {
	delete(a, "payloadSha256")
	a["payloadSha256"] = hexsum(stable(t, a))
	return a
}

func release(t testing.TB, runs any) object {
	r := object{"schema": seedlog.ReleaseSchema, "generatedAt": "2026-05-09T00:00:00.000Z", "subject": object{
		"kind": "release_bundle", "repository": "open-covenant/covenant", "releaseId": "v0.1.0-alpha.1", "tag": "v0.1.0-alpha.1", "commit": commit,
		"artifacts": []any{
			object{"name": "source", "filename": "dist/source.tar.gz", "sha256": hexsum([]byte("source")), "sizeBytes": 6},
			object{"name": "tool-linux", "sha256": hexsum([]byte("tool")), "sizeBytes": 4, "platform": object{"os": "linux", "arch": "amd64"}, "mediaType": "application/octet-stream"},
		},
	}}
	if runs != nil {
		r["validation"] = runs
	}
	return r
}

func holding(t testing.TB, r object) func(object) {
	return func(a object) {
		a["target"] = object{"kind": "release", "id": "v0.1.0-alpha.1", "releaseSubject": r, "releaseSubjectSha256": hexsum(stable(t, r))}
	}
}

func task(a object) {
	a["target"] = object{"kind": "task", "id": "audit-root", "title": "Audit root", "state": "integrated", "priority": "high", "snapshotPath": "agent-os/autonomy/tasks/audit-root.json", "snapshotSha256": strings.Repeat("a", 64)}
}

// attestationVectors are attestations, each named after what is found in it; "ok" where nothing is, "syntax" where it is none.
func attestationVectors(t testing.TB) map[string]object {
	in := func(path string, v any) func(object) {
		return func(a object) {
			words := strings.Split(path, ".")
			for _, w := range words[:len(words)-1] {
				a = a[w].(object)
			}
			if a[words[len(words)-1]] = v; v == "absent" {
				delete(a, words[len(words)-1])
			}
		}
	}
	after := func(a object, edit func(object)) object {
		edit(a)
		return digested(t, a)
	}
	passed, failed := []any{object{"command": "make test", "status": "passed"}}, []any{object{"command": "make test", "status": "failed"}}
	other := release(t, passed)
	other["subject"].(object)["commit"] = strings.Repeat("0", 40)
	up := release(t, passed)
	up["subject"].(object)["artifacts"].([]any)[0].(object)["filename"] = "../source"
	invented := func(a object) {
		r := a["auditRoot"].(object)
		r["events"], r["anchors"], r["rootHashHex"] = 1_000_000, 1_000_000, strings.Repeat("a", 64)
		r["reportSha256"] = hexsum(stable(t, object{"events": 1_000_000, "anchors": 1_000_000, "valid": true, "root_hash_hex": r["rootHashHex"], "failures": []any{}}))
	}
	changed := attest(t, 1, nil)
	changed["payloadSha256"] = strings.Repeat("0", 64)
	return map[string]object{
		"accept/ok":                           attest(t, 1, nil),
		"accept/ok-task":                      attest(t, 1, task),
		"accept/ok-previous":                  attest(t, 1, in("previous.rootHashHex", strings.Repeat("b", 64))),
		"accept/ok-release":                   attest(t, 1, holding(t, release(t, passed))),
		"accept/no-validation":                attest(t, 1, holding(t, release(t, nil))), // W25
		"accept/no-validation-empty":          attest(t, 1, holding(t, release(t, []any{}))),
		"reject/unsigned":                     attest(t, 0, nil),
		"reject/unsigned-after-it-was-signed": after(attest(t, 1, nil), in("signing", object{"status": "unsigned", "keyId": nil, "algorithm": nil, "signature": nil})), // W15
		"reject/untrusted-key":                attest(t, 2, nil),
		"reject/untrusted-key-invented-root":  attest(t, 2, invented), // W14
		"reject/digest-of-payload":            changed,
		"reject/digest-of-report":             attest(t, 1, in("auditRoot.reportSha256", strings.Repeat("c", 64))),
		"reject/digest-of-release": attest(t, 1, func(a object) {
			holding(t, release(t, passed))(a)
			in("target.releaseSubjectSha256", strings.Repeat("c", 64))(a)
		}),
		"reject/signature-of-other-root":         after(attest(t, 1, nil), invented),
		"reject/signature-key-replaced":          after(attest(t, 1, nil), func(a object) { a["signing"].(object)["publicKeySpkiSha256"] = trustedOf(2) }),
		"reject/signature-none":                  after(attest(t, 1, nil), in("signing.signature", "AAAA")),
		"reject/validation-failed":               attest(t, 1, in("verification", failed)),
		"reject/validation-of-release-failed":    attest(t, 1, holding(t, release(t, failed))), // W26
		"reject/subject-of-other-commit":         attest(t, 1, holding(t, other)),
		"reject/report-not-valid":                attest(t, 1, reported(t, false, 6, nil)),
		"reject/report-counts-differ":            attest(t, 1, reported(t, true, 5, nil)),
		"reject/report-has-failures":             attest(t, 1, reported(t, true, 6, []any{"chain entry 1 mismatch"})),
		"reject/syntax-schema":                   attest(t, 1, in("schema", "covenant.audit-root-attestation.v2")),
		"reject/syntax-field-more":               attest(t, 1, in("reviewed", "by a human")),
		"reject/syntax-field-less":               attest(t, 1, in("previous", "absent")),
		"reject/syntax-time":                     attest(t, 1, in("generatedAt", "yesterday")),
		"reject/syntax-repository":               attest(t, 1, in("repository", "covenant")),
		"reject/syntax-commit-short":             attest(t, 1, in("subject.commit", "37b7fb2")),
		"reject/syntax-root":                     attest(t, 1, in("auditRoot.rootHashHex", strings.Repeat("A", 64))),
		"reject/syntax-previous":                 attest(t, 1, in("previous.rootHashHex", "none")),
		"reject/syntax-target":                   attest(t, 1, in("target", object{"kind": "branch", "id": "main"})),
		"reject/syntax-target-release-with-task": attest(t, 1, func(a object) { task(a); in("target.kind", "release")(a) }),
		"reject/syntax-release-without-digest":   attest(t, 1, func(a object) { holding(t, release(t, passed))(a); in("target.releaseSubjectSha256", "absent")(a) }),
		"reject/syntax-artifact-outside":         attest(t, 1, holding(t, up)),
		"reject/syntax-status":                   attest(t, 1, in("verification", []any{object{"command": "x", "status": "fine"}})),
		"reject/syntax-claims-null":              attest(t, 1, in("claims", nil)),
		"reject/syntax-signed-without-key":       after(attest(t, 1, nil), in("signing.publicKeySpkiBase64", "absent")),
		"reject/syntax-unsigned-with-key":        after(attest(t, 1, nil), in("signing.status", "unsigned")),
		"reject/syntax-algorithm":                after(attest(t, 1, nil), in("signing.algorithm", "none")),
	}
}

func trustedOf(seed byte) string {
	_, der := private(seed)
	return hexsum(der)
}

func reported(t testing.TB, valid bool, anchors int, failures []any) func(object) {
	return func(a object) {
		if failures == nil {
			failures = []any{}
		}
		d := hexsum(stable(t, object{"events": 6, "anchors": anchors, "valid": valid, "root_hash_hex": goldenRoot, "failures": failures}))
		a["auditRoot"] = object{"events": 6, "anchors": anchors, "valid": valid, "rootHashHex": goldenRoot, "failures": failures, "reportSha256": d}
	}
}

func laid(t testing.TB, a object) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// judge returns what is found, "syntax" alone where it is no attestation.
func judge(t testing.TB, doc []byte) []seedlog.Finding {
	a, err := seedlog.ParseAttestation(doc)
	if errors.Is(err, seedlog.ErrSyntax) {
		return []seedlog.Finding{{Code: "syntax", Text: err.Error()}}
	}
	if err != nil {
		t.Fatal(err)
	}
	return a.Check([]string{trusted()})
}

func good(all []seedlog.Finding) bool {
	return !slices.ContainsFunc(all, func(f seedlog.Finding) bool { return !f.Note })
}

func TestAttestationVectors(t *testing.T) {
	list := attestationVectors(t)
	for name, a := range list {
		verdict, want, _ := strings.Cut(name, "/")
		doc := laid(t, a)
		keep(t, filepath.Join(vectors, verdict, "attestation-"+want+".json"), doc)
		all := judge(t, doc)
		if good(all) != (verdict == "accept") {
			t.Errorf("%s: %v", name, all)
		}
		found := "ok"
		if len(all) > 0 {
			found = string(all[0].Code)
		}
		if !strings.HasPrefix(want, found) || len(all) > 1 {
			t.Errorf("%s: %v", name, all)
		}
	}
	files, err := filepath.Glob(filepath.Join(vectors, "*", "attestation-*.json"))
	if err != nil || len(files) != len(list) {
		t.Errorf("%d files for %d vectors (%v)", len(files), len(list), err)
	}
}

// All that is wrong is told, not what comes first.
func TestAttestationAll(t *testing.T) {
	a := attest(t, 2, func(a object) {
		holding(t, release(t, []any{object{"command": "x", "status": "failed"}}))(a)
		a["auditRoot"].(object)["anchors"] = 7
	})
	a["generatedAt"] = "2026-05-10T12:00:00Z"
	want := []seedlog.Code{seedlog.BadDigest, seedlog.BadReport, seedlog.BadSignature, seedlog.BadValidation}
	if all := judge(t, laid(t, a)); !slices.Equal(codes(all), want) {
		t.Errorf("%v", all)
	}
}

// The embedded key is evidence only: with no key named nothing is good.
func TestAttestationNoKey(t *testing.T) {
	a, err := seedlog.ParseAttestation(laid(t, attest(t, 1, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]string{nil, {""}, {strings.ToUpper(trusted())}, {trustedOf(2)}} {
		if all := a.Check(keys); len(all) != 1 || all[0].Code != seedlog.Untrusted {
			t.Errorf("%q: %v", keys, all)
		}
	}
}

func TestAttestationEveryBit(t *testing.T) {
	doc := laid(t, attest(t, 1, nil))
	if all := judge(t, doc); len(all) > 0 {
		t.Fatal(all)
	}
	for i := range doc {
		for bit := range 8 {
			b := bytes.Clone(doc)
			b[i] ^= 1 << bit
			if good(judge(t, b)) {
				t.Fatalf("byte %d bit %d: it is good", i, bit)
			}
		}
	}
}

func TestSeries(t *testing.T) {
	made := func(at, repository string, events int, root, previous string) *seedlog.Attestation {
		a, err := seedlog.ParseAttestation(laid(t, attest(t, 1, func(a object) {
			a["generatedAt"], a["repository"] = at, repository
			r := a["auditRoot"].(object)
			r["events"], r["anchors"], r["rootHashHex"] = events, events, strings.Repeat(root, 64)
			if previous != "" {
				a["previous"] = object{"rootHashHex": strings.Repeat(previous, 64)}
			}
		})))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	list := []*seedlog.Attestation{
		made("2026-01-04T00:00:00Z", "a/a", 9, "d", "c"),
		made("2026-01-01T00:00:00Z", "a/a", 1, "a", "f"), // the first that was given: what was before it nobody knows
		made("2026-01-03T00:00:00+01:00", "a/a", 8, "c", "b"),
		made("2026-01-02T00:00:00Z", "a/a", 8, "b", "a"),
		made("2026-01-02T12:00:00Z", "b/b", 7, "e", ""), // of another repository
	}
	if out := seedlog.Series(list); len(out) > 0 {
		t.Errorf("%v", out)
	}
	for name, c := range map[string]struct {
		a    *seedlog.Attestation
		want []seedlog.Code
	}{
		"names another root":     {made("2026-01-05T00:00:00Z", "a/a", 9, "e", "c"), []seedlog.Code{seedlog.BadPrevious}},
		"names none":             {made("2026-01-05T00:00:00Z", "a/a", 9, "e", ""), []seedlog.Code{seedlog.BadPrevious}},
		"has fewer events":       {made("2026-01-05T00:00:00Z", "a/a", 8, "e", "d"), []seedlog.Code{seedlog.Shrunk}},
		"is another one at once": {made("2026-01-04T00:00:00Z", "a/a", 9, "e", "c"), []seedlog.Code{seedlog.BadPrevious}},
	} {
		if out := seedlog.Series(append(slices.Clone(list), c.a)); len(out) != 1 || !slices.Equal(codes(out[len(list)]), c.want) {
			t.Errorf("%s: %v", name, out)
		}
	}
}

func TestArtifacts(t *testing.T) {
	r, err := seedlog.ParseRelease(laid(t, release(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	whole := fstest.MapFS{"dist/source.tar.gz": {Data: []byte("source")}, "tool-linux": {Data: []byte("tool")}, "more": {}}
	for name, c := range map[string]struct {
		edit func(fstest.MapFS)
		bad  int
	}{
		"whole":        {func(fstest.MapFS) {}, 0},
		"other bytes":  {func(m fstest.MapFS) { m["tool-linux"] = &fstest.MapFile{Data: []byte("t00l")} }, 1},
		"more bytes":   {func(m fstest.MapFS) { m["tool-linux"] = &fstest.MapFile{Data: []byte("tool ")} }, 1},
		"fewer bytes":  {func(m fstest.MapFS) { m["tool-linux"] = &fstest.MapFile{Data: []byte("too")} }, 1},
		"nothing":      {func(m fstest.MapFS) { clear(m) }, 2},
		"a directory":  {func(m fstest.MapFS) { delete(m, "tool-linux"); m["tool-linux/x"] = &fstest.MapFile{} }, 1},
		"another name": {func(m fstest.MapFS) { m["source"] = m["dist/source.tar.gz"]; delete(m, "dist/source.tar.gz") }, 1},
	} {
		m := maps.Clone(whole)
		c.edit(m)
		all := r.Artifacts(func(p string) (io.ReadCloser, error) { return fs.FS(m).Open(p) })
		if len(all) != c.bad {
			t.Errorf("%s: %v", name, all)
		}
	}
}

func TestReleaseRefused(t *testing.T) {
	for name, edit := range map[string]func(r, subject, artifact object){
		"schema":            func(r, _, _ object) { r["schema"] = "covenant.provenance.release.v2" },
		"a field more":      func(r, _, _ object) { r["signed"] = true },
		"kind":              func(_, s, _ object) { s["kind"] = "git_tag" },
		"no artifacts":      func(_, s, _ object) { s["artifacts"] = []any{} },
		"a name twice":      func(_, s, a object) { s["artifacts"] = []any{a, a} },
		"a file twice":      func(_, s, a object) { b := maps.Clone(a); b["name"] = "other"; s["artifacts"] = []any{a, b} },
		"an absolute path":  func(_, _, a object) { a["filename"] = "/etc/passwd" },
		"a path upward":     func(_, _, a object) { a["filename"] = "a/../../b" },
		"a drive":           func(_, _, a object) { a["filename"] = "C:x" },
		"a backslash":       func(_, _, a object) { a["filename"] = `a\b` },
		"no digest":         func(_, _, a object) { a["sha256"] = "" },
		"a size below zero": func(_, _, a object) { a["sizeBytes"] = -1 },
	} {
		r := release(t, nil)
		s := r["subject"].(object)
		edit(r, s, s["artifacts"].([]any)[0].(object))
		if _, err := seedlog.ParseRelease(laid(t, r)); !errors.Is(err, seedlog.ErrSyntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is good says what its canonical form says, is signed with the key that is trusted, and stays good in another layout.
func FuzzAttestation(f *testing.F) {
	for _, a := range attestationVectors(f) {
		f.Add(stable(f, a))
	}
	want := string(stable(f, attest(f, 1, nil)["auditRoot"]))
	f.Fuzz(func(t *testing.T, doc []byte) {
		a, err := seedlog.ParseAttestation(doc)
		if err != nil {
			if !errors.Is(err, seedlog.ErrSyntax) {
				t.Fatal(err)
			}
			return
		}
		all := a.Check([]string{trusted()})
		tight, err := canonical.Of(doc)
		if err != nil {
			t.Fatal(err)
		}
		b, err := seedlog.ParseAttestation(tight)
		if err != nil || len(b.Check([]string{trusted()})) != len(all) {
			t.Fatalf("%s: in another layout it is another one (%v)", doc, err)
		}
		if good(all) && !bytes.Contains(tight, []byte(want)) {
			t.Fatalf("%s: it is good, and nobody signed that", tight)
		}
	})
}
