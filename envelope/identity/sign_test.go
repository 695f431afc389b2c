package identity_test

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

var kinds = []struct {
	name string
	args []string
}{
	{"ed25519", []string{"-t", "ed25519"}},
	{"rsa-2048", []string{"-t", "rsa", "-b", "2048"}},
	{"rsa-3072", []string{"-t", "rsa", "-b", "3072"}},
	{"rsa-2056", []string{"-t", "rsa", "-b", "2056"}},
	{"ecdsa-256", []string{"-t", "ecdsa", "-b", "256"}},
	{"ecdsa-384", []string{"-t", "ecdsa", "-b", "384"}},
	{"ecdsa-521", []string{"-t", "ecdsa", "-b", "521"}},
	{"rsa-pem", []string{"-t", "rsa", "-b", "2048", "-m", "PEM"}},
	{"rsa-pkcs8", []string{"-t", "rsa", "-b", "2048", "-m", "PKCS8"}},
	{"ecdsa-pem", []string{"-t", "ecdsa", "-m", "PEM"}},
	{"ecdsa-pkcs8", []string{"-t", "ecdsa", "-m", "PKCS8"}},
}

var message = []byte("DSSEv1 10 text/plain 5 hello")

// A key that OpenSSH made signs what OpenSSH verifies, and the other way round.
func TestOpenSSHAgrees(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			path := keygen(t, kind.args...)
			signer := load(t, path)
			public := parse(t, read(t, path+".pub"))
			if public.ID() != signer.Public().ID() || public.String() != signer.Public().String() {
				t.Errorf("file %s, .pub %s", signer.Public().ID(), public.ID())
			}
			if half, err := identity.PublicOfFile(path); err != nil || half.ID() != public.ID() {
				t.Errorf("PublicOfFile: %v, %v", half, err)
			}
			fields := strings.Fields(string(tool(t, nil, "ssh-keygen", "-l", "-f", path+".pub")))
			if fields[1] != public.ID() {
				t.Errorf("ID %s; ssh-keygen says %s", public.ID(), fields[1])
			}
			if !strings.HasPrefix(read(t, path+".pub"), public.String()+" ") {
				t.Errorf("text %s; ssh-keygen wrote %s", public, read(t, path+".pub"))
			}

			sig := sign(t, signer, message)
			if err := public.Verify(message, sig); err != nil {
				t.Error(err)
			}
			theirs := opensshSign(t, path, identity.Namespace, message)
			if kind.name == "ed25519" {
				if len(sig) != 64 {
					t.Errorf("%d bytes", len(sig))
				}
				if err := public.Verify(message, theirs); !errors.Is(err, identity.ErrSignature) {
					t.Errorf("SSHSIG by a plain ed25519 key: %v", err)
				}
				return
			}
			if err := opensshVerify(t, public, message, sig); err != nil {
				t.Error(err)
			}
			if err := opensshVerify(t, public, []byte("other"), sig); err == nil {
				t.Error("ssh-keygen accepts any message, so it proved nothing above")
			}
			if err := public.Verify(message, theirs); err != nil {
				t.Errorf("made by ssh-keygen: %v", err)
			}
		})
	}
}

// Whatever single bit of a signature or a message is flipped, whatever is cut off or put behind it:
// it is no signature any more.
func TestEveryBitCounts(t *testing.T) {
	// Longer keys take the same paths, and minutes.
	for _, kind := range []int{0, 1, 4, 5} {
		kind := kinds[kind]
		t.Run(kind.name, func(t *testing.T) {
			signer := load(t, keygen(t, kind.args...))
			mangle(t, signer.Public(), message, sign(t, signer, message))
		})
	}
}

func mangle(t *testing.T, key identity.PublicKey, msg, sig []byte) {
	t.Helper()
	if err := key.Verify(msg, sig); err != nil {
		t.Fatalf("before anything is changed: %v", err)
	}
	refused := func(what string, i int, msg, sig []byte) {
		if err := key.Verify(msg, sig); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s %d: %v", what, i, err)
		}
	}
	step := 1
	if testing.Short() {
		step = 7 // still each bit of a byte in turn
	}
	for i := 0; i < len(sig)*8; i += step {
		sig[i/8] ^= 1 << (i % 8)
		refused("signature bit", i, msg, sig)
		sig[i/8] ^= 1 << (i % 8)
	}
	changed := bytes.Clone(msg)
	for i := 0; i < len(msg)*8; i += step {
		changed[i/8] ^= 1 << (i % 8)
		refused("message bit", i, changed, sig)
		changed[i/8] ^= 1 << (i % 8)
	}
	for n := range len(sig) {
		refused("signature cut to", n, msg, sig[:n])
	}
	for c := range 256 {
		refused("signature followed by", c, msg, append(slices.Clip(sig), byte(c)))
	}
	refused("message extended", 0, append(slices.Clip(msg), 0), sig)
	refused("no message", 0, nil, sig)
	refused("no signature", 0, msg, nil)
}

// A signature of one key, kind, namespace, hash or algorithm is none of another.
func TestConfusion(t *testing.T) {
	paths := make(map[string]string)
	var keys []identity.PublicKey
	var sigs [][]byte
	for _, kind := range kinds[:7] {
		for range 2 {
			path := keygen(t, kind.args...)
			paths[kind.name] = path
			signer := load(t, path)
			keys = append(keys, signer.Public())
			sigs = append(sigs, sign(t, signer, message))
		}
	}
	for i, key := range keys {
		for j, sig := range sigs {
			if err := key.Verify(message, sig); (err == nil) != (i == j) {
				t.Errorf("key %d, signature %d: %v", i, j, err)
			}
		}
	}
	for _, name := range []string{"rsa-2048", "ecdsa-256"} {
		key := parse(t, read(t, paths[name]+".pub"))
		for what, sig := range map[string][]byte{
			"namespace git":  opensshSign(t, paths[name], "git", message),
			"namespace file": opensshSign(t, paths[name], "file", message),
			"longer name":    opensshSign(t, paths[name], "covenant2", message),
			"hash sha256":    opensshSign(t, paths[name], "covenant", message, "hashalg=sha256"),
		} {
			if err := key.Verify(message, sig); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}

// sshsigBlob mirrors the fields of PROTOCOL.sshsig.
type sshsigBlob struct {
	Magic     [6]byte
	Version   uint32
	Public    []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// Second encodings of a good signature, and weaker algorithms under a good key, are refused.
func TestSecondEncodings(t *testing.T) {
	open := func(t *testing.T, sig []byte) (blob sshsigBlob, inner ssh.Signature) {
		t.Helper()
		if err := ssh.Unmarshal(sig, &blob); err != nil {
			t.Fatal(err)
		}
		if err := ssh.Unmarshal(blob.Signature, &inner); err != nil {
			t.Fatal(err)
		}
		return blob, inner
	}
	for _, kind := range []string{"rsa", "ecdsa"} {
		signer := load(t, keygen(t, "-t", kind))
		sig := sign(t, signer, message)
		for what, change := range map[string]func(*sshsigBlob, *ssh.Signature){
			"reserved field used":   func(b *sshsigBlob, _ *ssh.Signature) { b.Reserved = "x" },
			"version 2":             func(b *sshsigBlob, _ *ssh.Signature) { b.Version = 2 },
			"bytes after signature": func(_ *sshsigBlob, s *ssh.Signature) { s.Rest = []byte{0} },
			"flags after signature": func(_ *sshsigBlob, s *ssh.Signature) { s.Rest = []byte{1, 0, 0, 0, 0} },
			"leading zero byte":     func(_ *sshsigBlob, s *ssh.Signature) { s.Blob = append([]byte{0}, s.Blob...) },
			"mpint with leading zero": func(_ *sshsigBlob, s *ssh.Signature) {
				n := int(s.Blob[3])
				s.Blob = slices.Concat([]byte{0, 0, 0, byte(n + 1), 0}, s.Blob[4:])
			},
			"bytes after numbers": func(_ *sshsigBlob, s *ssh.Signature) { s.Blob = append(s.Blob, 0) },
			"weaker hash named":   func(_ *sshsigBlob, s *ssh.Signature) { s.Format = ssh.KeyAlgoRSASHA256 },
			"SHA-1 named":         func(_ *sshsigBlob, s *ssh.Signature) { s.Format = ssh.KeyAlgoRSA },
			"other key embedded": func(b *sshsigBlob, _ *ssh.Signature) {
				b.Public = bytes.Clone(b.Public)
				b.Public[len(b.Public)-1] ^= 2
			},
		} {
			blob, inner := open(t, sig)
			change(&blob, &inner)
			blob.Signature = ssh.Marshal(&inner)
			if err := signer.Public().Verify(message, ssh.Marshal(&blob)); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
		}
	}
}

// An RSA signature that begins with a zero byte has it.
func TestShortRSASignature(t *testing.T) {
	signer := load(t, keygen(t, "-t", "rsa", "-b", "2048"))
	for i := range 5000 {
		msg := append(bytes.Clone(message), byte(i), byte(i>>8))
		var blob sshsigBlob
		var inner ssh.Signature
		sig := sign(t, signer, msg)
		if err := errors.Join(ssh.Unmarshal(sig, &blob), ssh.Unmarshal(blob.Signature, &inner)); err != nil {
			t.Fatal(err)
		}
		if inner.Blob[0] != 0 {
			continue
		}
		inner.Blob = inner.Blob[1:]
		blob.Signature = ssh.Marshal(&inner)
		if err := signer.Public().Verify(msg, ssh.Marshal(&blob)); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("without its leading zero: %v", err)
		}
		return
	}
	t.Fatal("no signature began with a zero byte")
}

// S and S plus the group order are one number to a careless verifier (RFC 8032, section 8.4).
func TestEd25519Malleability(t *testing.T) {
	signer := load(t, keygen(t, "-t", "ed25519"))
	sig := sign(t, signer, message)
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(sig[32:])
	slices.Reverse(s)
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	if err := signer.Public().Verify(message, slices.Concat(sig[:32], sum)); !errors.Is(err, identity.ErrSignature) {
		t.Error(err)
	}
}

// A plain ed25519 key signs bytes as they are, so not those that are a message of SSH.
func TestMessagesOfSSH(t *testing.T) {
	signer := load(t, keygen(t, "-t", "ed25519"))
	for _, msg := range []string{"SSHSIG\x00\x00\x00\x03git", "\x00\x00\x00\x20session"} {
		if sig, err := signer.Sign([]byte(msg)); !errors.Is(err, identity.ErrRefused) || sig != nil {
			t.Errorf("%q: %v", msg, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, kind := range kinds[:5] {
		b.Run(kind.name, func(b *testing.B) {
			signer := load(b, keygen(b, kind.args...))
			key, sig := signer.Public(), sign(b, signer, message)
			for b.Loop() {
				if err := key.Verify(message, sig); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
