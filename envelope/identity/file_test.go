package identity_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

func asking(pass string) identity.Passphrase {
	return func(string) ([]byte, error) { return []byte(pass), nil }
}

// OpenSSH reads the key we make, and we read it back.
func TestGenerate(t *testing.T) {
	need(t, "ssh-keygen")
	for _, pass := range []string{"", "correct horse"} {
		path := filepath.Join(t.TempDir(), "new", "folder", "key")
		signer, err := identity.Generate(path, "me@here", []byte(pass))
		if err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]fs.FileMode{path: 0o600, path + ".pub": 0o644, filepath.Dir(path): fs.ModeDir | 0o700, filepath.Dir(filepath.Dir(path)): fs.ModeDir | 0o700} {
			if info, err := os.Stat(file); err != nil || (runtime.GOOS != "windows" && info.Mode() != want) {
				t.Errorf("%s: %v %v, want %v", file, info.Mode(), err, want)
			}
		}
		if got := string(tool(t, nil, "ssh-keygen", "-y", "-P", pass, "-f", path)); got != signer.Public().String()+" me@here\n" {
			t.Errorf("ssh-keygen -y says %q", got)
		}
		if got := read(t, path+".pub"); got != signer.Public().String()+" me@here\n" {
			t.Errorf("public half %q", got)
		}
		again, err := identity.LoadFile(path, asking(pass))
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Public().Verify(message, sign(t, again, message)); err != nil {
			t.Error(err)
		}
		if half, err := identity.PublicOfFile(path); err != nil || half.ID() != signer.Public().ID() {
			t.Errorf("PublicOfFile: %v %v", half, err)
		}
		if pass != "" {
			if _, err := toolErr(t, nil, "ssh-keygen", "-y", "-P", "wrong", "-f", path); err == nil {
				t.Error("the file is not encrypted")
			}
		}
	}
}

// A file that exists, in whichever place, survives and nothing is left beside it.
func TestGenerateNeverOverwrites(t *testing.T) {
	for _, taken := range []string{"key", "key.pub"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, taken), []byte("precious"), 0o600)
		if _, err := identity.Generate(filepath.Join(dir, "key"), "", nil); !errors.Is(err, identity.ErrExists) {
			t.Errorf("%s: %v", taken, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || read(t, filepath.Join(dir, taken)) != "precious" {
			t.Errorf("%s: left %v %v", taken, entries, err)
		}
	}
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.Symlink(target, filepath.Join(dir, "key")); err != nil {
		t.Skip(err)
	}
	if _, err := identity.Generate(filepath.Join(dir, "key"), "", nil); !errors.Is(err, identity.ErrExists) {
		t.Errorf("dangling symbolic link: %v", err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrote through the link: %v", err)
	}
	if _, err := identity.Generate(filepath.Join(dir, "other"), "two\nlines", nil); !errors.Is(err, identity.ErrKeyFormat) {
		t.Errorf("comment of two lines: %v", err)
	}
}

func TestPassphrase(t *testing.T) {
	need(t, "ssh-keygen")
	for name, args := range map[string][]string{
		"openssh ed25519": {"-t", "ed25519"},
		"openssh rsa":     {"-t", "rsa", "-b", "2048"},
		"openssh cbc":     {"-t", "ecdsa", "-Z", "aes256-cbc"},
		"pem rsa":         {"-t", "rsa", "-b", "2048", "-m", "PEM"},
		"pem ecdsa":       {"-t", "ecdsa", "-m", "PEM"},
	} {
		if testing.Short() && (name == "openssh rsa" || name == "openssh cbc") {
			continue // opening a key is slow on purpose
		}
		path := keygen(t, append(args, "-N", "secret")...)
		public := parse(t, read(t, path+".pub"))
		if half, err := identity.PublicOfFile(path); err != nil || half.ID() != public.ID() {
			t.Errorf("%s: PublicOfFile: %v", name, err)
		}
		if _, err := identity.LoadFile(path, nil); !errors.Is(err, identity.ErrPassphrase) {
			t.Errorf("%s: nobody to ask: %v", name, err)
		}
		for _, wrong := range []string{"wrong", "", "secret "} {
			if _, err := identity.LoadFile(path, asking(wrong)); err == nil {
				t.Errorf("%s: opened with %q", name, wrong)
			} else if strings.HasPrefix(name, "openssh") && !errors.Is(err, identity.ErrPassphrase) {
				t.Errorf("%s: with %q: %v", name, wrong, err)
			}
		}
		cancelled := errors.New("cancelled")
		if _, err := identity.LoadFile(path, func(string) ([]byte, error) { return nil, cancelled }); !errors.Is(err, cancelled) {
			t.Errorf("%s: %v", name, err)
		}
		answer := []byte("secret")
		asked := 0
		signer, err := identity.LoadFile(path, func(what string) ([]byte, error) {
			asked++
			if what != path {
				t.Errorf("%s: asked for %q", name, what)
			}
			return answer, nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if asked != 1 || !bytes.Equal(answer, make([]byte, len(answer))) {
			t.Errorf("%s: asked %d times, passphrase now %q", name, asked, answer)
		}
		if err := public.Verify(message, sign(t, signer, message)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := keygen(t, "-t", "ed25519")
	if _, err := identity.LoadFile(path, func(string) ([]byte, error) { return nil, errors.New("asked") }); err != nil {
		t.Errorf("asked for the passphrase of a key that has none: %v", err)
	}
}

// An encrypted PEM key keeps its public half nowhere but in the .pub file.
func TestPublicOfEncryptedPEM(t *testing.T) {
	path := keygen(t, "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret")
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.PublicOfFile(path); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("without .pub: %v", err)
	}
	write(t, path+".pub", bytes.Repeat([]byte("ssh-rsa "), 4096), 0o644)
	if _, err := identity.PublicOfFile(path); !errors.Is(err, identity.ErrKeyFormat) {
		t.Errorf("huge .pub: %v", err)
	}
}

func TestPKCS8Ed25519(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(t.TempDir(), "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if !ed25519.Verify(public, message, sign(t, load(t, path), message)) {
		t.Error("the signature does not verify")
	}
}

// A private key that somebody else could read, write or put there is refused.
func TestFilesRefused(t *testing.T) {
	good := keygen(t, "-t", "ed25519")
	content := []byte(read(t, good))
	both := func(name, path string, want error) {
		t.Helper()
		if _, err := identity.LoadFile(path, nil); !errors.Is(err, want) {
			t.Errorf("%s: LoadFile: %v, want %v", name, err, want)
		}
		if _, err := identity.PublicOfFile(path); !errors.Is(err, want) {
			t.Errorf("%s: PublicOfFile: %v, want %v", name, err, want)
		}
	}
	dir := t.TempDir()
	both("missing", filepath.Join(dir, "missing"), identity.ErrNoKey)
	both("missing, as a file error", filepath.Join(dir, "missing"), fs.ErrNotExist)
	both("folder", dir, identity.ErrKeyFormat)
	both("empty", write(t, filepath.Join(dir, "empty"), nil, 0o600), identity.ErrKeyFormat)
	both("public half", write(t, filepath.Join(dir, "public"), []byte(read(t, good+".pub")), 0o600), identity.ErrKeyFormat)
	both("64 KiB and more", write(t, filepath.Join(dir, "large"), append(bytes.Clone(content), make([]byte, 64<<10)...), 0o600), identity.ErrKeyFormat)

	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	both("symbolic link", link, identity.ErrSymlink)
	if err := os.Symlink("nowhere", link+"2"); err != nil {
		t.Fatal(err)
	}
	both("dangling link", link+"2", identity.ErrSymlink)

	if runtime.GOOS == "windows" {
		return
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o601, 0o610} {
		path := write(t, filepath.Join(dir, mode.String()), content, mode)
		both(mode.String(), path, identity.ErrMode)
		_, err := identity.LoadFile(path, nil)
		var modeError *identity.ModeError
		if !errors.As(err, &modeError) || modeError.Path != path || modeError.Mode.Perm() != mode {
			t.Errorf("%v: error %#v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		load(t, write(t, filepath.Join(dir, "good"+mode.String()), content, mode))
	}
}

// Kinds of key that would weaken what they sign.
func TestPrivateKeysRefused(t *testing.T) {
	need(t, "ssh-keygen")
	for name, c := range map[string]struct {
		args []string
		want error
	}{
		"RSA 1024":        {[]string{"-t", "rsa", "-b", "1024"}, identity.ErrKeyType},
		"RSA 1024 PEM":    {[]string{"-t", "rsa", "-b", "1024", "-m", "PEM"}, identity.ErrKeyType},
		"RSA 2040":        {[]string{"-t", "rsa", "-b", "2040"}, identity.ErrKeyType},
		"encrypted PKCS8": {[]string{"-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret"}, identity.ErrKeyType},
	} {
		path := keygen(t, c.args...)
		if _, err := identity.LoadFile(path, asking("secret")); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dsa := filepath.Join(t.TempDir(), "dsa")
	if _, err := toolErr(t, nil, "ssh-keygen", "-q", "-t", "dsa", "-N", "", "-f", dsa); err == nil {
		if _, err := identity.LoadFile(dsa, nil); !errors.Is(err, identity.ErrKeyType) {
			t.Errorf("DSA: %v", err)
		}
		if _, err := identity.ParsePublicKey(read(t, dsa+".pub")); !errors.Is(err, identity.ErrKeyType) {
			t.Errorf("DSA: %v", err)
		}
	} // OpenSSH 10 makes no such keys any more.
}

// container mirrors PROTOCOL.key.
type container struct {
	Cipher, KDF, Options string
	Keys                 uint32
	Public               []byte
	Private              []byte
	Rest                 []byte `ssh:"rest"`
}

const containerMagic = "openssh-key-v1\x00"

// edit rewrites an OpenSSH private key file.
func edit(t *testing.T, path string, change func(*container)) string {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, path)))
	var c container
	if err := ssh.Unmarshal(block.Bytes[len(containerMagic):], &c); err != nil {
		t.Fatal(err)
	}
	change(&c)
	block.Bytes = append([]byte(containerMagic), ssh.Marshal(&c)...)
	return write(t, filepath.Join(t.TempDir(), "key"), pem.EncodeToMemory(block), 0o600)
}

// With the public half of another key, signing would reveal the private key (two signatures with one
// nonce), and a reader of the file would be shown somebody else.
func TestExchangedPublicHalf(t *testing.T) {
	mine, other := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ed25519")
	point := func(path string) []byte {
		text := parse(t, read(t, path+".pub")).Material()
		var b []byte
		for i := len("ed25519:"); i < len(text); i += 2 {
			b = append(b, unhex(text[i])<<4|unhex(text[i+1]))
		}
		return b
	}
	for name, change := range map[string]func(*container){
		"outer half": func(c *container) { c.Public = bytes.ReplaceAll(c.Public, point(mine), point(other)) },
		"inner half": func(c *container) { c.Private = bytes.ReplaceAll(c.Private, point(mine), point(other)) },
		"all halves": func(c *container) {
			c.Public = bytes.ReplaceAll(c.Public, point(mine), point(other))
			c.Private = bytes.ReplaceAll(c.Private, point(mine), point(other))
		},
		"two keys announced": func(c *container) { c.Keys = 2 },
		"no public half":     func(c *container) { c.Public = nil },
	} {
		if _, err := identity.LoadFile(edit(t, mine, change), nil); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	load(t, edit(t, mine, func(*container) {}))
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}
