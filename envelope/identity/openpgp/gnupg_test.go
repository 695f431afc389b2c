package openpgp_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/identity/openpgp"
)

var message = []byte("DSSEv1 10 text/plain 5 hello")

// gnupg is a real gpg with a home folder of its own.
type gnupg struct {
	t     testing.TB
	home  string
	env   []string
	clock string // --faked-system-time of the direct calls, if not empty
}

func newGnuPG(t testing.TB) *gnupg {
	t.Helper()
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	openpgp.Enable()
	// Not t.TempDir: the name of the agent's socket must be short.
	home, err := os.MkdirTemp("", "gnupg")
	if err != nil {
		t.Fatal(err)
	}
	g := &gnupg{t: t, home: home, env: []string{"GNUPGHOME=" + home, "HOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "all")
		cmd.Env = g.env
		cmd.Run()
		os.RemoveAll(home)
	})
	return g
}

// tool is the configuration of the package under test for this home.
func (g *gnupg) tool() openpgp.GPG { return openpgp.GPG{Env: g.env} }

func (g *gnupg) runErr(stdin []byte, args ...string) ([]byte, error) {
	g.t.Helper()
	options := []string{"--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--trust-model", "always"}
	if g.clock != "" {
		options = append(options, "--faked-system-time", g.clock)
	}
	cmd := exec.CommandContext(g.t.Context(), "gpg", append(options, args...)...)
	cmd.Env = g.env
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("gpg %q: %w\n%s", args, err, stderr.Bytes())
	}
	return out, nil
}

func (g *gnupg) run(stdin []byte, args ...string) []byte {
	g.t.Helper()
	out, err := g.runErr(stdin, args...)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

// generate makes a key and returns its fingerprint.
func (g *gnupg) generate(name, algorithm, usage string) string {
	g.t.Helper()
	g.run(nil, "--quick-gen-key", name, algorithm, usage, "never")
	for line := range strings.Lines(string(g.run(nil, "--with-colons", "--fingerprint", "="+name))) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			return fields[9]
		}
	}
	g.t.Fatalf("gpg made no key %s", name)
	return ""
}

func (g *gnupg) addSubkey(fingerprint, algorithm, usage string) {
	g.t.Helper()
	g.run(nil, "--quick-add-key", fingerprint, algorithm, usage, "never")
}

func (g *gnupg) export(args ...string) []byte {
	g.t.Helper()
	return g.run(nil, append([]string{"--export"}, args...)...)
}

// sign makes a detached signature with the real gpg, called directly.
func (g *gnupg) sign(fingerprint string, args ...string) []byte {
	g.t.Helper()
	return g.run(message, append(args, "--local-user", fingerprint, "--detach-sign")...)
}

// verify checks a detached signature with the real gpg.
func (g *gnupg) verify(sig []byte) error {
	g.t.Helper()
	path := filepath.Join(g.t.TempDir(), "sig")
	if err := os.WriteFile(path, sig, 0o600); err != nil {
		g.t.Fatal(err)
	}
	_, err := g.runErr(message, "--verify", path, "-")
	return err
}

func imported(t testing.TB, export []byte) identity.PublicKey {
	t.Helper()
	k, err := openpgp.Import(export)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t testing.TB, s identity.Signer, msg []byte) []byte {
	t.Helper()
	sig, err := s.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}
