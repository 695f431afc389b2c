package openpgp_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

var algorithms = []string{"ed25519", "rsa2048", "rsa3072", "nistp256", "nistp384", "nistp521"}

// A key that gpg made signs through gpg what is checked here and by gpg.
func TestGnuPGAgrees(t *testing.T) {
	g := newGnuPG(t)
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			fingerprint := g.generate(algorithm+" <a@example.com>", algorithm, "sign")
			key, err := g.tool().Key(fingerprint)
			if err != nil {
				t.Fatal(err)
			}
			if key.ID() != "openpgp:"+fingerprint {
				t.Errorf("ID %s, want %s", key.ID(), fingerprint)
			}
			again, err := identity.ParsePublicKey(key.String() + "\n")
			if err != nil || again.ID() != key.ID() || again.String() != key.String() || again.Material() != key.Material() || again.Digest() != key.Digest() {
				t.Fatalf("read back: %v %v", again, err)
			}
			signer, err := g.tool().Signer(key)
			if err != nil {
				t.Fatal(err)
			}
			sig := signed(t, signer, message)
			if err := again.Verify(message, sig); err != nil {
				t.Error(err)
			}
			if err := g.verify(sig); err != nil {
				t.Error(err)
			}
			if err := again.Verify(message, g.sign(fingerprint)); err != nil {
				t.Errorf("made by gpg with its defaults: %v", err)
			}
			if armored := imported(t, g.export("--armor", fingerprint)); armored.String() != key.String() {
				t.Errorf("armored export gives %s", armored)
			}
			if slices.Contains([]string{"ed25519", "rsa2048", "nistp256"}, algorithm) {
				mangle(t, again, message, sig)
			}
		})
	}
}

// Whatever single bit is flipped, whatever is cut off or put behind it: it is no signature any more.
func mangle(t *testing.T, key identity.PublicKey, msg, sig []byte) {
	t.Helper()
	refused := func(what string, i int, msg, sig []byte) {
		if err := key.Verify(msg, sig); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s %d: %v", what, i, err)
		}
	}
	sig = bytes.Clone(sig)
	for i := range len(sig) * 8 {
		sig[i/8] ^= 1 << (i % 8)
		refused("signature bit", i, msg, sig)
		sig[i/8] ^= 1 << (i % 8)
	}
	msg = bytes.Clone(msg)
	for i := range len(msg) * 8 {
		msg[i/8] ^= 1 << (i % 8)
		refused("message bit", i, msg, sig)
		msg[i/8] ^= 1 << (i % 8)
	}
	for n := range len(sig) {
		refused("signature cut to", n, msg, sig[:n])
	}
	for c := range 256 {
		refused("signature followed by", c, msg, append(slices.Clip(sig), byte(c)))
	}
	refused("no message", 0, nil, sig)
	if err := key.Verify(msg, sig); err != nil {
		t.Fatalf("after everything was put back: %v", err)
	}
}

// A key of gpg and its SSH form are one key material: whoever holds one holds the other.
func TestMaterialOfSSHForm(t *testing.T) {
	g := newGnuPG(t)
	for _, algorithm := range []string{"ed25519", "rsa2048", "nistp384"} {
		fingerprint := g.generate(algorithm+" <a@example.com>", algorithm, "sign,auth")
		key, err := g.tool().Key(fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		ssh, err := identity.ParsePublicKey(string(g.run(nil, "--export-ssh-key", fingerprint+"!")))
		if err != nil {
			t.Fatal(err)
		}
		if key.Material() != ssh.Material() || key.ID() == ssh.ID() || key.Digest() == ssh.Digest() {
			t.Errorf("%s: OpenPGP %s %s, SSH %s %s", algorithm, key.ID(), key.Material(), ssh.ID(), ssh.Material())
		}
	}
}

// A primary key that may only certify signs through its subkey, and the text follows gpg's choice.
func TestSubkey(t *testing.T) {
	g := newGnuPG(t)
	g.clock = "20200101T000000!" // gpg signs with the subkey that was made last
	fingerprint := g.generate("sub <a@example.com>", "ed25519", "cert")
	if key, err := openpgp.Import(g.export(fingerprint)); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("nothing may sign: %v %v", key, err)
	}
	g.addSubkey(fingerprint, "cv25519", "encr")
	if key, err := openpgp.Import(g.export(fingerprint)); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("nothing may sign: %v %v", key, err)
	}
	g.addSubkey(fingerprint, "rsa2048", "sign")
	before, err := g.tool().Key("a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := g.tool().Signer(before)
	if err != nil {
		t.Fatal(err)
	}
	sig := signed(t, signer, message)
	mangle(t, before, message, sig)
	if m := identity.Materials(before); len(m) != 2 || m[0] != before.Material() || !strings.HasPrefix(m[1], "rsa:") {
		t.Errorf("materials of %s", before)
	}

	g.clock = "20210101T000000!"
	g.addSubkey(fingerprint, "ed25519", "sign")
	if _, err := signer.Sign(message); !errors.Is(err, identity.ErrSignature) {
		t.Errorf("signed by a subkey that the text does not have: %v", err)
	}
	after, err := g.tool().Key(fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	if after.ID() != before.ID() || after.String() == before.String() {
		t.Errorf("before %s, after %s", before, after)
	}
	if signer, err = g.tool().Signer(after); err != nil {
		t.Fatal(err)
	}
	mangle(t, after, message, signed(t, signer, message))
	if err := after.Verify(message, sig); err != nil {
		t.Errorf("signature of the older subkey: %v", err)
	}
}

// What gpg.conf asks for does not change what is signed.
func TestUserConfiguration(t *testing.T) {
	g := newGnuPG(t)
	fingerprint := g.generate("conf <a@example.com>", "ed25519", "sign")
	conf := "armor\ntextmode\ncomment a comment\nemit-version\ndigest-algo SHA1\npersonal-digest-preferences SHA1\n"
	if err := os.WriteFile(filepath.Join(g.home, "gpg.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := g.tool().Key(fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := g.tool().Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	signed(t, signer, []byte("line \r\nline\n\x00 \n"))
}

func TestGPGErrors(t *testing.T) {
	g := newGnuPG(t)
	fingerprint := g.generate("err <a@example.com>", "ed25519", "sign")
	g.generate("other <a@example.com>", "ed25519", "sign")
	key, err := g.tool().Key(fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		strings.Repeat("0", 40): identity.ErrNoKey,
		"nobody@example.com":    identity.ErrNoKey,
		"a@example.com":         identity.ErrKeyFormat, // two keys
		"--version":             identity.ErrNoKey,
	} {
		if k, err := g.tool().Key(name); !errors.Is(err, want) {
			t.Errorf("%s: %v %v", name, k, err)
		}
	}
	if _, err := (openpgp.GPG{Program: "no-such-gpg", Env: g.env}).Key(fingerprint); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("no gpg: %v", err)
	}
	signer, err := newGnuPG(t).tool().Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(message); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("no private key: %v", err)
	}
	if _, err := (openpgp.GPG{}).Signer(nil); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("not an OpenPGP key: %v", err)
	}
}

// Nobody can type the passphrase, or they decline, or they type a wrong one.
func TestGPGPassphrase(t *testing.T) {
	g := newGnuPG(t)
	g.run(nil, "--passphrase", "secret", "--quick-gen-key", "pass <a@example.com>", "ed25519", "sign", "never")
	key, err := g.tool().Key("a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := g.tool().Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	pinentry := filepath.Join(g.home, "pinentry")
	if err := os.WriteFile(filepath.Join(g.home, "gpg-agent.conf"), []byte("pinentry-program "+pinentry+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, answer string
		want         error
	}{
		{"declines", "echo 'ERR 83886179 Operation cancelled <Pinentry>'", identity.ErrRefused},
		{"wrong", "echo D wrong; echo OK", identity.ErrPassphrase},
		{"absent", "exit", identity.ErrPassphrase},
		{"right", "echo D secret; echo OK", nil},
	} {
		// The last run's agent remembers what it was told. It may take its time to go, and the next to come.
		if out, err := g.agent(t, "--kill"); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		script := "#!/bin/sh\necho OK ready\nwhile read -r command rest; do\n  case $command in GETPIN) " + c.answer + " ;; BYE) echo OK; exit ;; *) echo OK ;; esac\ndone\n"
		if c.name == "absent" {
			script = "#!/bin/sh\nexit 1\n"
		}
		if err := os.WriteFile(pinentry, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		for try := 1; ; try++ {
			if out, err := g.agent(t, "--launch"); err == nil {
				break
			} else if try == 10 {
				t.Fatalf("%v %s", err, out)
			}
		}
		if _, err := signer.Sign(message); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func (g *gnupg) agent(t *testing.T, what string) ([]byte, error) {
	cmd := exec.CommandContext(t.Context(), "gpgconf", what, "gpg-agent")
	cmd.Env = g.env
	return cmd.CombinedOutput()
}
