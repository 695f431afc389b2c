package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// softKey is a security key made of software: what the device of PROTOCOL.u2f signs, signed here.
type softKey struct {
	application string
	flags       byte
	counter     uint32
	ed          ed25519.PrivateKey
	ec          *ecdsa.PrivateKey
}

func newSoftKeys(t testing.TB) map[string]*softKey {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*softKey{
		ssh.KeyAlgoSKED25519:  {application: "ssh:", flags: 1, counter: 7, ed: ed},
		ssh.KeyAlgoSKECDSA256: {application: "ssh:covenant", flags: 1, counter: 7, ec: ec},
	}
}

func (k *softKey) wire() []byte {
	if k.ed != nil {
		return ssh.Marshal(&struct {
			Type        string
			Point       []byte
			Application string
		}{ssh.KeyAlgoSKED25519, k.ed.Public().(ed25519.PublicKey), k.application})
	}
	b, _ := k.ec.PublicKey.Bytes()
	return ssh.Marshal(&struct {
		Type, Curve string
		Point       []byte
		Application string
	}{ssh.KeyAlgoSKECDSA256, "nistp256", b, k.application})
}

func (k *softKey) public(t testing.TB) identity.PublicKey {
	t.Helper()
	name := ssh.KeyAlgoSKED25519
	if k.ed == nil {
		name = ssh.KeyAlgoSKECDSA256
	}
	return parse(t, line(name, k.wire()))
}

// device signs data as an authenticator does, for its application, with its flags and counter.
func (k *softKey) device(data []byte) *ssh.Signature {
	application, digest := sha256.Sum256([]byte(k.application)), sha256.Sum256(data)
	state := binary.BigEndian.AppendUint32([]byte{k.flags}, k.counter)
	signed := append(append(application[:], state...), digest[:]...)
	if k.ed != nil {
		return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.ed, signed), Rest: state}
	}
	hash := sha256.Sum256(signed)
	r, s, err := ecdsa.Sign(rand.Reader, k.ec, hash[:])
	if err != nil {
		panic(err)
	}
	return &ssh.Signature{Format: ssh.KeyAlgoSKECDSA256, Blob: ssh.Marshal(&struct{ R, S *big.Int }{r, s}), Rest: state}
}

// sshsig signs msg in the format of PROTOCOL.sshsig, written here a second time.
func (k *softKey) sshsig(namespace string, msg []byte) []byte {
	hash := sha512.Sum512(msg)
	signed := ssh.Marshal(&struct {
		Magic                     [6]byte
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{[6]byte{'S', 'S', 'H', 'S', 'I', 'G'}, namespace, "", "sha512", hash[:]})
	return ssh.Marshal(&sshsigBlob{
		Magic: [6]byte{'S', 'S', 'H', 'S', 'I', 'G'}, Version: 1, Public: k.wire(),
		Namespace: namespace, Hash: "sha512", Signature: ssh.Marshal(k.device(signed)),
	})
}

// PublicKey returns the key as x/crypto/ssh knows it.
func (k *softKey) PublicKey() ssh.PublicKey {
	key, err := ssh.ParsePublicKey(k.wire())
	if err != nil {
		panic(err)
	}
	return key
}

func TestSecurityKey(t *testing.T) {
	for name, k := range newSoftKeys(t) {
		t.Run(name, func(t *testing.T) {
			key := k.public(t)
			sig := k.sshsig("covenant", message)
			mangle(t, key, message, sig)
			need(t, "ssh-keygen")
			if err := opensshVerify(t, key, message, sig); err != nil {
				t.Errorf("ssh-keygen does not accept what this test made: %v", err)
			}
			if id := ssh.FingerprintSHA256(k.PublicKey()); id != key.ID() {
				t.Errorf("ID %s, want %s", key.ID(), id)
			}
			for what, forged := range map[string][]byte{
				"namespace git":           k.sshsig("git", message),
				"message":                 k.sshsig("covenant", []byte("other")),
				"signature of the bytes":  ssh.Marshal(k.device(message)),
				"signature of other keys": newSoftKeys(t)[name].sshsig("covenant", message),
			} {
				if err := key.Verify(message, forged); !errors.Is(err, identity.ErrSignature) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// A program may ask a plugged-in key to sign without a touch: such a signature is none.
func TestUntouched(t *testing.T) {
	for name, k := range newSoftKeys(t) {
		key := k.public(t)
		for _, c := range []struct {
			flags             byte
			touched, verified bool
		}{{0, false, false}, {1, true, false}, {4, false, true}, {5, true, true}, {0x80, false, false}, {0x81, true, false}} {
			k.flags = c.flags
			sig := k.sshsig("covenant", message)
			if err := key.Verify(message, sig); (err == nil) != c.touched {
				t.Errorf("%s, flags %#x: %v", name, c.flags, err)
			}
			if touched, verified := identity.Presence(key, sig); touched != c.touched || verified != c.verified {
				t.Errorf("%s, flags %#x: touched %v, verified %v", name, c.flags, touched, verified)
			}
		}
	}
}

// Presence is claimed by nobody else: not by other kinds of key, not by another key's signature.
func TestPresenceOfOthers(t *testing.T) {
	k := newSoftKeys(t)[ssh.KeyAlgoSKED25519]
	k.flags = 5
	sig := k.sshsig("covenant", message)
	signer := load(t, keygen(t, "-t", "ecdsa"))
	for what, c := range map[string]struct {
		key identity.PublicKey
		sig []byte
	}{
		"plain key":      {signer.Public(), sign(t, signer, message)},
		"other's":        {signer.Public(), sig},
		"another device": {newSoftKeys(t)[ssh.KeyAlgoSKED25519].public(t), sig},
		"cut":            {k.public(t), sig[:len(sig)-1]},
		"none":           {k.public(t), nil},
		"no key":         {nil, sig},
	} {
		if touched, verified := identity.Presence(c.key, c.sig); touched || verified {
			t.Errorf("%s: touched %v, verified %v", what, touched, verified)
		}
	}
}

func TestApplication(t *testing.T) {
	k := newSoftKeys(t)[ssh.KeyAlgoSKED25519]
	plain := parse(t, ed25519Line(k.ed.Public().(ed25519.PublicKey)))
	materials := map[string]bool{plain.Material(): true}
	for _, application := range []string{"ssh:", "ssh:a", "ssh:b", "https://example.com"} {
		k.application = application
		m := k.public(t).Material()
		if materials[m] {
			t.Errorf("%s: material %s is there already", application, m)
		}
		materials[m] = true
	}
	for name, application := range map[string]string{"empty": "", "space": "ssh: ", "line end": "ssh:\n", "not ASCII": "ssh:é", "long": "ssh:" + string(make([]byte, 300))} {
		k.application = application
		if key, err := identity.ParsePublicKey(line(ssh.KeyAlgoSKED25519, k.wire())); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%s: %v %v", name, key, err)
		}
	}
}

// The private key file of a security key tells its public key, and is no signer.
func TestSecurityKeyFile(t *testing.T) {
	k := newSoftKeys(t)[ssh.KeyAlgoSKED25519]
	path := edit(t, keygen(t, "-t", "ed25519"), func(c *container) { c.Public = k.wire() })
	if _, err := identity.LoadFile(path, nil); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("LoadFile: %v", err)
	}
	if key, err := identity.PublicOfFile(path); err != nil || key.ID() != k.public(t).ID() {
		t.Errorf("PublicOfFile: %v %v", key, err)
	}
}
