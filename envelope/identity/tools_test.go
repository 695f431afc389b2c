package identity_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// need skips the test if a program is not installed.
func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

// tool runs a program to its end, without the user's home, agent and language.
func tool(t testing.TB, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	out, err := toolErr(t, stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func toolErr(t testing.TB, stdin []byte, name string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w\n%s%s", name, args, err, out, stderr.Bytes())
	}
	return out, nil
}

// keygen makes a key with the real ssh-keygen and returns the path of its private half.
func keygen(t testing.TB, args ...string) string {
	t.Helper()
	need(t, "ssh-keygen")
	path := filepath.Join(t.TempDir(), "key")
	if !contains(args, "-N") {
		args = append(args, "-N", "")
	}
	tool(t, nil, "ssh-keygen", append([]string{"-q", "-C", "a comment", "-f", path}, args...)...)
	return path
}

func contains(args []string, arg string) bool {
	for _, a := range args {
		if a == arg {
			return true
		}
	}
	return false
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, path string, b []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, b, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, path string) identity.Signer {
	t.Helper()
	signer, err := identity.LoadFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func parse(t testing.TB, text string) identity.PublicKey {
	t.Helper()
	key, err := identity.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, signer identity.Signer, msg []byte) []byte {
	t.Helper()
	sig, err := signer.Sign(msg)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// opensshSign signs msg with the real ssh-keygen and returns the SSHSIG blob.
func opensshSign(t testing.TB, path, namespace string, msg []byte, options ...string) []byte {
	t.Helper()
	args := []string{"-q", "-Y", "sign", "-f", path, "-n", namespace}
	for _, o := range options {
		args = append(args, "-O", o)
	}
	armor := tool(t, msg, "ssh-keygen", args...)
	block, rest := pem.Decode(armor)
	if block == nil || len(rest) != 0 {
		t.Fatalf("ssh-keygen wrote %q", armor)
	}
	return block.Bytes
}

// opensshVerify checks an SSHSIG blob with the real ssh-keygen.
func opensshVerify(t testing.TB, key identity.PublicKey, msg, blob []byte) error {
	t.Helper()
	dir := t.TempDir()
	sig := write(t, filepath.Join(dir, "sig"), pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob}), 0o600)
	signers := write(t, filepath.Join(dir, "signers"), []byte("somebody "+key.String()+"\n"), 0o600)
	out, err := toolErr(t, msg, "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "somebody", "-n", identity.Namespace, "-s", sig)
	if err == nil && !strings.Contains(string(out), "Good") {
		return fmt.Errorf("ssh-keygen says %q", out)
	}
	return err
}
