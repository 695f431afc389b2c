package tlog_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	cosignatures "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

func TestOrigins(t *testing.T) {
	id := envelope.Digest("sha256:338a8e2812903cf8317ebf80a0a0bfee87bba41aefa32a0f6913f09d56f97549")
	if o, err := tlog.OriginOf(id, "de0e73245bf05f58-d7e19f35"); err != nil || o != origin {
		t.Errorf("%s %v", o, err)
	}
	for _, writer := range []string{"", "a/b", "a b", "a+b", "a\n", "\xff", "a\u2028b", "a\u0085b"} {
		if o, err := tlog.OriginOf(id, writer); !errors.Is(err, tlog.ErrSyntax) {
			t.Errorf("writer %q: %q %v", writer, o, err)
		}
	}
	if _, err := tlog.OriginOf("sha256:338a", "w"); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
	if _, err := tlog.OriginOf(id, strings.Repeat("w", 255)); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
}

// TestOthersReadIt: x/mod and transparency-dev/formats read our keys, checkpoints and cosignatures.
func TestOthersReadIt(t *testing.T) {
	s := newSigner(t, "log")
	key := logKey(t, s)
	theirKey, err := note.NewEd25519VerifierKey(string(origin), s.private.Public().(ed25519.PublicKey))
	if err != nil || theirKey != key.String() {
		t.Fatalf("%s, by x/mod %s (%v)", key, theirKey, err)
	}
	log := must(note.NewVerifier(key.String()))(t)
	known := []note.Verifier{log}
	names := []string{"witness.example/a", "witness.example/b"}
	for _, name := range names {
		w := witnessKey(t, name)
		known = append(known, must(cosignatures.NewVerifierForCosignatureV1(w.String()))(t))
		// What they make of a plain key is what we print.
		plain := must(note.NewEd25519VerifierKey(name, newSigner(t, name).private.Public().(ed25519.PublicKey)))(t)
		if text := must(cosignatures.VKeyToCosignatureV1(plain))(t); text != w.String() {
			t.Errorf("%s, by formats %s", w, text)
		}
	}
	for _, size := range []int{0, 1, 300} {
		c := signed(t, size, names...)
		n, err := note.Open(c.Bytes(), note.VerifierList(known...))
		if err != nil || len(n.Sigs) != 3 || len(n.UnverifiedSigs) != 0 {
			t.Fatalf("note.Open: %+v %v", n, err)
		}
		for _, s := range n.Sigs[1:] {
			if at, err := cosignatures.CoSigV1Timestamp(s); err != nil || at.Unix() != seconds {
				t.Errorf("cosigned at %v, %v", at, err)
			}
		}
		theirs, rest, _, err := formats.ParseCheckpoint(c.Bytes(), string(origin), log)
		root := c.Tree().Root
		if err != nil || theirs.Size != uint64(size) || !bytes.Equal(theirs.Hash, root[:]) || len(rest) != 0 {
			t.Errorf("ParseCheckpoint: %+v %q %v", theirs, rest, err)
		}
		if text, _ := text(c); string(theirs.Marshal()) != text {
			t.Errorf("theirs is %q", theirs.Marshal())
		}
	}
}

// TestWeReadOthers: a checkpoint signed by x/mod and cosigned by formats opens here, once it is tidy.
func TestWeReadOthers(t *testing.T) {
	skey, vkey, err := note.GenerateKey(nil, "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	var witnesses []tlog.WitnessKey
	signers := []note.Signer{must(note.NewSigner(skey))(t)}
	for _, name := range []string{"z.example", "a.example"} {
		skey, vkey, err := note.GenerateKey(nil, name)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, must(cosignatures.NewSignerForCosignatureV1(skey))(t))
		witnesses = append(witnesses, must(tlog.ParseWitnessKey(must(cosignatures.VKeyToCosignatureV1(vkey))(t)))(t))
	}
	tree, _ := build(t, records(0, 5))
	text := formats.Checkpoint{Origin: "example.com/log", Size: 5, Hash: tree.Root[:]}.Marshal()
	b := must(note.Sign(&note.Note{Text: string(text)}, signers...))(t)
	key := must(tlog.ParseLogKey(vkey))(t)
	if _, err := tlog.Open(b, key); !errors.Is(err, tlog.ErrSyntax) {
		t.Errorf("out of order: %v", err)
	}
	c, err := tlog.Open(must(tlog.Tidy(b))(t), key)
	if err != nil || c.Tree() != tree || c.Origin() != "example.com/log" || c.Key() != key {
		t.Fatalf("%v %v", c, err)
	}
	p := must(tlog.NewPolicy(2, witnesses...))(t)
	if seen, err := p.Check(c); err != nil || len(seen) != 2 || seen[0].Name != "z.example" || time.Since(seen[0].Time) > time.Hour {
		t.Errorf("%v %v", seen, err)
	}
}

// TestEveryBitOfCheckpoints: with one bit changed a checkpoint does not open, or a cosignature is missed.
func TestEveryBitOfCheckpoints(t *testing.T) {
	key := logKey(t, newSigner(t, "log"))
	names := []string{"witness.example/a", "witness.example/b"}
	policy := must(tlog.NewPolicy(2, witnessKeys(t, names...)...))(t)
	for _, c := range []*tlog.Checkpoint{signed(t, 300), signed(t, 300, names...)} {
		b := c.Bytes()
		text, lines := text(c)
		logs := len(text) + 1 + len(lines[0])
		flips(b, func(bit int, changed []byte) {
			got, err := tlog.Open(changed, key)
			if err != nil {
				return
			}
			if bit/8 < logs {
				t.Fatalf("bit %d of %q: it opens", bit, b[bit/8])
			}
			if seen, err := policy.Check(got); err == nil {
				t.Fatalf("bit %d of %q: seen by %v", bit, b[bit/8], seen)
			}
		})
		for n := range b {
			if _, err := tlog.Open(b[:n], key); err == nil && !(n >= logs && b[n-1] == '\n') {
				t.Fatalf("the first %d bytes open", n)
			}
		}
	}
}

func TestKeysAreText(t *testing.T) {
	key, w := logKey(t, newSigner(t, "log")), witnessKey(t, "witness.example/a")
	if got, err := tlog.ParseLogKey(key.String()); err != nil || got != key || got.Origin() != origin {
		t.Errorf("%v %v", got, err)
	}
	if got, err := tlog.ParseWitnessKey(w.String()); err != nil || got != w || got.Name() != "witness.example/a" {
		t.Errorf("%v %v", got, err)
	}
	flips([]byte(key.String()), func(bit int, changed []byte) {
		if got, err := tlog.ParseLogKey(string(changed)); err == nil {
			t.Fatalf("bit %d: %s", bit, got)
		}
	})
	if _, err := tlog.ParseLogKey(strings.Replace(key.String(), fmt.Sprintf("%08x", key.ID()), strings.ToUpper(fmt.Sprintf("%08x", key.ID())), 1)); !errors.Is(err, tlog.ErrSyntax) {
		t.Errorf("upper case: %v", err)
	}
}

// stub is a key of any kind.
type stub struct {
	identity.PublicKey
	text, material string
}

func (s stub) String() string   { return s.text }
func (s stub) Material() string { return s.material }

// TestOnlyPlainEd25519: a key of any other kind neither signs nor verifies.
func TestOnlyPlainEd25519(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(vectors, "identity", "accept", "*.json"))
	if err != nil || len(paths) < 7 {
		t.Fatalf("%d keys: %v", len(paths), err)
	}
	keys := []identity.PublicKey{stub{newSigner(t, "x").public, "openpgp:AAAA", newSigner(t, "x").public.Material()}}
	plain := 0
	for _, path := range paths {
		var v struct{ Key string }
		if err := json.Unmarshal(must(os.ReadFile(path))(t), &v); err != nil {
			t.Fatal(err)
		}
		key := must(identity.ParsePublicKey(v.Key))(t)
		if strings.HasPrefix(v.Key, "ssh-ed25519 ") {
			plain++
			must(tlog.NewLogKey(origin, key))(t)
			continue
		}
		keys = append(keys, key)
	}
	if plain == 0 {
		t.Error("no plain key")
	}
	for _, k := range keys {
		s := signer{newSigner(t, "x").private, k}
		c := signed(t, 3)
		for _, err := range []error{
			errOf(tlog.NewLogKey(origin, k)), errOf(tlog.NewWitnessKey("w", k)), errOf(tlog.Sign(origin, c.Tree(), s)), errOf(tlog.Cosign(c, "w", s, time.Unix(1, 0))),
		} {
			if !errors.Is(err, tlog.ErrKeyType) {
				t.Errorf("%s: %v", k, err)
			}
		}
	}
}

// TestRealSigners: keys in a file and in an ssh-agent sign checkpoints.
func TestRealSigners(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	signers := []identity.Signer{must(identity.Generate(file, "log", nil))(t)}
	signers = append(signers, must(identity.LoadFile(file, nil))(t))
	if _, err := exec.LookPath("ssh-agent"); err == nil {
		sock := filepath.Join(dir, "agent")
		agent := exec.Command("ssh-agent", "-D", "-a", sock)
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
		for range 200 {
			if _, err := os.Stat(sock); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		add := exec.Command("ssh-add", "-q", file)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+sock)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v %s", err, out)
		}
		signers = append(signers, must(identity.FromAgent(sock, ""))(t))
	}
	tree, _ := build(t, records(0, 7))
	for _, s := range signers {
		c := must(tlog.Sign(origin, tree, s))(t)
		got := must(tlog.Open(c.Bytes(), logKey(t, s)))(t)
		if got.Tree() != tree {
			t.Error(got)
		}
		if _, err := note.Open(c.Bytes(), note.VerifierList(must(note.NewVerifier(logKey(t, s).String()))(t))); err != nil {
			t.Error(err)
		}
	}
	refused := errors.New("the user said no")
	if _, err := tlog.Sign(origin, tree, failing{signers[0], refused}); !errors.Is(err, refused) {
		t.Error(err)
	}
	if _, err := tlog.Sign(origin, tree, failing{signers[0], nil}); !errors.Is(err, tlog.ErrSignature) {
		t.Error(err)
	}
	if _, err := tlog.Sign("an origin", tree, signers[0]); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
	if _, err := tlog.Sign(origin, tlog.Tree{Size: tlog.MaxSize + 1}, signers[0]); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	// What could pass for a message of SSH is not signed, whatever the log is called.
	if _, err := tlog.Sign("SSHSIG", tree, signers[0]); !errors.Is(err, identity.ErrRefused) {
		t.Error(err)
	}
}

// failing does not sign, or signs something else.
type failing struct {
	identity.Signer
	err error
}

func (f failing) Sign([]byte) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Signer.Sign([]byte("something else"))
}

func TestWitnesses(t *testing.T) {
	a, b, z := "witness.example/a", "witness.example/b", "witness.example/z"
	policy := func(need int, names ...string) tlog.Policy {
		return must(tlog.NewPolicy(need, witnessKeys(t, names...)...))(t)
	}
	plain := signed(t, 300)
	answer := cosign(t, plain, b, seconds) + cosign(t, plain, z, seconds+1) + cosign(t, plain, a, seconds+2)
	c := must(policy(0, a, b).Join(plain, []byte(answer)))(t)
	if !bytes.Equal(plain.Bytes(), signed(t, 300).Bytes()) {
		t.Error("Join changed what it was given")
	}
	want := []tlog.Witnessed{{Name: b, Time: time.Unix(seconds, 0).UTC()}, {Name: a, Time: time.Unix(seconds+2, 0).UTC()}}
	if got := must(policy(2, b, a, z).Check(c))(t); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := must(policy(0).Check(c))(t); got != nil {
		t.Errorf("%v", got)
	}
	if got := must(tlog.Policy{}.Check(plain))(t); got != nil {
		t.Errorf("%v", got)
	}
	var few *tlog.QuorumError
	if _, err := policy(3, a, b, z).Check(c); !errors.As(err, &few) || few.Need != 3 || len(few.Have) != 2 || few.Later != nil || !strings.Contains(err.Error(), "2 of the 3") {
		t.Errorf("%+v", few)
	}
	if _, err := policy(2, a, b, z).Until(time.Unix(seconds+1, 0)).Check(c); !errors.As(err, &few) || len(few.Have) != 1 || len(few.Later) != 1 || few.Later[0].Name != a {
		t.Errorf("%+v", few)
	}
	// The latest time counts, once; an older answer does not take its place.
	newer := must(policy(0, a).Join(c, []byte(cosign(t, c, a, seconds+60))))(t)
	older := must(policy(0, a).Join(newer, []byte(cosign(t, c, a, seconds+30)+cosign(t, c, a, seconds+40))))(t)
	if !bytes.Equal(newer.Bytes(), older.Bytes()) || len(must(policy(2, a, b).Check(newer))(t)) != 2 || strings.Count(newer.String(), a) != 1 {
		t.Errorf("%s", older)
	}
	if got := must(policy(1, a).Check(newer))(t); got[0].Time.Unix() != seconds+60 {
		t.Error(got)
	}
	good := []byte(cosign(t, c, a, seconds))
	flips(good, func(bit int, changed []byte) {
		got, err := policy(0, a).Join(plain, changed)
		if err == nil && !bytes.Equal(got.Bytes(), plain.Bytes()) {
			t.Fatalf("bit %d: %s", bit, got)
		}
	})
	for answer, want := range map[string]error{
		"": tlog.ErrSyntax, "\n": tlog.ErrSyntax, "no": tlog.ErrSyntax, string(good[:len(good)-1]): tlog.ErrSyntax, string(good) + "\n": tlog.ErrSyntax,
		strings.Repeat(string(good), 65): tlog.ErrTooLarge, strings.Repeat("x", tlog.MaxCheckpoint+1): tlog.ErrTooLarge,
		cosign(t, signed(t, 299), a, seconds): tlog.ErrSignature,
	} {
		if _, err := policy(0, a).Join(plain, []byte(answer)); !errors.Is(err, want) {
			t.Errorf("%.40q: %v", answer, err)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(math.MaxInt64, 0)} {
		if _, err := tlog.Cosign(plain, a, newSigner(t, a), at); !errors.Is(err, tlog.ErrSyntax) {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if _, err := tlog.Cosign(&tlog.Checkpoint{}, a, newSigner(t, a), time.Unix(1, 0)); !errors.Is(err, tlog.ErrSyntax) {
		t.Errorf("a checkpoint that nobody opened: %v", err)
	}
	if _, err := tlog.NewPolicy(0, tlog.WitnessKey{}); !errors.Is(err, tlog.ErrPolicy) {
		t.Error(err)
	}
	if _, err := tlog.NewPolicy(-1); !errors.Is(err, tlog.ErrPolicy) {
		t.Error(err)
	}
	full := string(plain.Bytes())
	for i := range tlog.MaxSignatures - 1 {
		full += fmt.Sprintf("— other.example/%02d AAAAAEFB\n", i)
	}
	if _, err := policy(0, a).Join(must(tlog.Open([]byte(full), plain.Key()))(t), good); !errors.Is(err, tlog.ErrTooLarge) {
		t.Errorf("one signature too many: %v", err)
	}
	if _, err := tlog.Open(append(plain.Bytes(), make([]byte, tlog.MaxCheckpoint)...), plain.Key()); !errors.Is(err, tlog.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := tlog.Tidy(nil); !errors.Is(err, tlog.ErrSyntax) {
		t.Error(err)
	}
}
