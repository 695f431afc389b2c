package identity_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// socketDir returns a folder whose path is short enough for the name of a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// realAgent starts OpenSSH's ssh-agent, which asks its user through the program askpass.
func realAgent(t *testing.T, askpass string) string {
	t.Helper()
	need(t, "ssh-agent")
	need(t, "ssh-add")
	sock := filepath.Join(socketDir(t), "s")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", sock)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "SSH_ASKPASS=" + askpass, "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:none"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		if conn, err := net.Dial("unix", sock); err == nil {
			conn.Close()
			return sock
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("ssh-agent does not start")
	return ""
}

func addToAgent(t *testing.T, sock string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh-add", append([]string{"-q"}, args...)...)
	cmd.Env = []string{"SSH_AUTH_SOCK=" + sock, "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add %q: %v\n%s", args, err, out)
	}
}

func TestAgent(t *testing.T) {
	sock := realAgent(t, "/bin/false")
	if keys, err := identity.AgentKeys(sock); err != nil || len(keys) != 0 {
		t.Fatalf("empty agent: %v %v", keys, err)
	}
	if _, err := identity.FromAgent(sock, ""); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("empty agent: %v", err)
	}
	var want []string
	for i, kind := range kinds[:7] {
		path := keygen(t, kind.args...)
		addToAgent(t, sock, path)
		id := parse(t, read(t, path+".pub")).ID()
		want = append(want, id)
		if i == 0 {
			only, err := identity.FromAgent(sock, "")
			if err != nil || only.Public().ID() != id {
				t.Fatalf("the only key: %v", err)
			}
		}
	}
	if _, err := identity.FromAgent(sock, ""); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("several keys and none named: %v", err)
	}
	if _, err := identity.FromAgent(sock, want[0]+"x"); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("unknown key: %v", err)
	}
	keys, err := identity.AgentKeys(sock)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, key := range keys {
		got = append(got, key.ID())
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	for i, id := range want {
		signer, err := identity.FromAgent(sock, id)
		if err != nil {
			t.Fatal(err)
		}
		sig := sign(t, signer, message)
		if err := keys[i].Verify(message, sig); err != nil {
			t.Errorf("%s: %v", kinds[i].name, err)
		}
		if kinds[i].name == "ed25519" {
			if len(sig) != ed25519.SignatureSize {
				t.Errorf("%d bytes", len(sig))
			}
			if _, err := signer.Sign([]byte("SSHSIG")); !errors.Is(err, identity.ErrRefused) {
				t.Errorf("message of SSH: %v", err)
			}
		} else if err := opensshVerify(t, keys[i], message, sig); err != nil {
			t.Errorf("%s: %v", kinds[i].name, err)
		}
	}
}

// Certificates and weak keys that an agent holds besides are not offered.
func TestAgentLeavesOut(t *testing.T) {
	sock := realAgent(t, "/bin/false")
	ca, key := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ed25519")
	tool(t, nil, "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", "me", key+".pub")
	addToAgent(t, sock, key) // and the certificate beside it
	addToAgent(t, sock, keygen(t, "-t", "rsa", "-b", "1024"))
	if out := tool(t, nil, "env", "SSH_AUTH_SOCK="+sock, "ssh-add", "-l"); bytes.Count(out, []byte("\n")) != 3 {
		t.Fatalf("the agent holds %s", out)
	}
	keys, err := identity.AgentKeys(sock)
	if err != nil || len(keys) != 1 || keys[0].ID() != parse(t, read(t, key+".pub")).ID() {
		t.Errorf("%v %v", keys, err)
	}
}

// The user says no, or the key is gone since.
func TestAgentRefuses(t *testing.T) {
	for answer, want := range map[string]error{"exit 1": identity.ErrRefused, "exit 0": nil} {
		askpass := write(t, filepath.Join(t.TempDir(), "askpass"), []byte("#!/bin/sh\n"+answer+"\n"), 0o700)
		sock := realAgent(t, askpass)
		addToAgent(t, sock, "-c", keygen(t, "-t", "ed25519"))
		signer, err := identity.FromAgent(sock, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.Sign(message); !errors.Is(err, want) {
			t.Errorf("%s: %v", answer, err)
		}
		addToAgent(t, sock, "-D")
		if _, err := signer.Sign(message); !errors.Is(err, identity.ErrRefused) {
			t.Errorf("key removed: %v", err)
		}
	}
}

func TestNoAgent(t *testing.T) {
	dir := socketDir(t)
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for name, sock := range map[string]string{
		"none": "", "missing": filepath.Join(dir, "missing"), "nobody listens": dead, "file": write(t, filepath.Join(dir, "file"), nil, 0o600), "long": filepath.Join(dir, strings.Repeat("x", 200)),
	} {
		if _, err := identity.AgentKeys(sock); !errors.Is(err, identity.ErrNoAgent) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := identity.FromAgent(sock, ""); !errors.Is(err, identity.ErrNoAgent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// serve answers each connection to the returned socket with f.
func serve(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	sock := filepath.Join(socketDir(t), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
	return sock
}

// falseAgent is an agent that lists keys and answers a request to sign with whatever sign gives.
type falseAgent struct {
	agent.ExtendedAgent
	keys []ssh.PublicKey
	sign func(data []byte, flags agent.SignatureFlags) (*ssh.Signature, error)
}

func (a *falseAgent) List() ([]*agent.Key, error) {
	var list []*agent.Key
	for _, key := range a.keys {
		list = append(list, &agent.Key{Format: key.Type(), Blob: key.Marshal()})
	}
	return list, nil
}

func (a *falseAgent) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return a.sign(data, 0)
}

func (a *falseAgent) SignWithFlags(_ ssh.PublicKey, data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	return a.sign(data, flags)
}

// A security key is used through the agent, which speaks to the device.
func TestAgentWithSecurityKey(t *testing.T) {
	for name, k := range newSoftKeys(t) {
		a := &falseAgent{keys: []ssh.PublicKey{k.PublicKey()}, sign: func(data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) { return k.device(data), nil }}
		sock := serve(t, func(conn net.Conn) { agent.ServeAgent(a, conn) })
		signer, err := identity.FromAgent(sock, "")
		if err != nil {
			t.Fatal(err)
		}
		sig := sign(t, signer, message)
		if err := k.public(t).Verify(message, sig); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if touched, _ := identity.Presence(signer.Public(), sig); !touched {
			t.Errorf("%s: not touched", name)
		}
		k.flags = 0
		if _, err := signer.Sign(message); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s: untouched: %v", name, err)
		}
	}
}

// An agent that signs with something else, or something else, is found out before anybody sees the
// signature.
func TestAgentAnswersWrong(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err = ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	soft := newSoftKeys(t)[ssh.KeyAlgoSKED25519]
	for name, answer := range map[string]func([]byte) (*ssh.Signature, error){
		"other key":     func(data []byte) (*ssh.Signature, error) { return other.Sign(nil, data) },
		"other message": func(data []byte) (*ssh.Signature, error) { return mine.Sign(nil, data[1:]) },
		"other format":  func(data []byte) (*ssh.Signature, error) { return soft.device(data), nil },
		"bytes behind": func(data []byte) (*ssh.Signature, error) {
			sig, err := mine.Sign(nil, data)
			sig.Rest = []byte{1}
			return sig, err
		},
		"long": func(data []byte) (*ssh.Signature, error) {
			sig, err := mine.Sign(nil, data)
			sig.Blob = append(sig.Blob, 0)
			return sig, err
		},
		"empty": func([]byte) (*ssh.Signature, error) { return &ssh.Signature{Format: ssh.KeyAlgoED25519}, nil },
	} {
		a := &falseAgent{keys: []ssh.PublicKey{mine.PublicKey()}, sign: func(data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) { return answer(data) }}
		signer, err := identity.FromAgent(serve(t, func(conn net.Conn) { agent.ServeAgent(a, conn) }), "")
		if err != nil {
			t.Fatal(err)
		}
		if sig, err := signer.Sign(message); !errors.Is(err, identity.ErrSignature) || sig != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An agent that leaves out the leading zero bytes of an RSA signature still works.
func TestAgentShortRSA(t *testing.T) {
	private, err := ssh.ParsePrivateKey([]byte(read(t, keygen(t, "-t", "rsa", "-b", "2048"))))
	if err != nil {
		t.Fatal(err)
	}
	short := false
	a := &falseAgent{keys: []ssh.PublicKey{private.PublicKey()}, sign: func(data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
		if flags != agent.SignatureFlagRsaSha512 {
			t.Errorf("flags %v", flags)
		}
		sig, err := private.(ssh.AlgorithmSigner).SignWithAlgorithm(nil, data, ssh.KeyAlgoRSASHA512)
		if err == nil && sig.Blob[0] == 0 {
			sig.Blob, short = sig.Blob[1:], true
		}
		return sig, err
	}}
	signer, err := identity.FromAgent(serve(t, func(conn net.Conn) { agent.ServeAgent(a, conn) }), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 5000 && !short; i++ {
		msg := append(bytes.Clone(message), byte(i), byte(i>>8))
		if err := signer.Public().Verify(msg, sign(t, signer, msg)); err != nil {
			t.Fatal(err)
		}
	}
	if !short {
		t.Fatal("no signature began with a zero byte")
	}
}

// Garbage from the socket ends in an error, and memory stays bounded.
func TestAgentGarbage(t *testing.T) {
	for name, answer := range map[string][]byte{
		"nothing":              nil,
		"empty packet":         {0, 0, 0, 0},
		"failure":              {0, 0, 0, 1, 5},
		"unknown message":      {0, 0, 0, 1, 200},
		"cut":                  {0, 0, 0, 9, 12, 0},
		"huge packet":          {0xff, 0xff, 0xff, 0xff, 12},
		"many keys, none sent": {0, 0, 0, 5, 12, 0, 0, 0xff, 0xff},
		"very many keys":       {0, 0, 0, 5, 12, 0xff, 0xff, 0xff, 0xff},
	} {
		sock := serve(t, func(conn net.Conn) {
			conn.Read(make([]byte, 64))
			conn.Write(answer)
		})
		if keys, err := identity.AgentKeys(sock); !errors.Is(err, identity.ErrNoAgent) {
			t.Errorf("%s: %v %v", name, keys, err)
		}
	}
	for name, blob := range map[string]string{"no key": "", "half a key": "\x00\x00\x00\x0bssh-ed25519", "unknown kind": "\x00\x00\x00\x01x"} {
		body := ssh.Marshal(&struct {
			Message byte
			Keys    uint32
			Blob    string
			Comment string
		}{12, 1, blob, "c"})
		sock := serve(t, func(conn net.Conn) {
			conn.Read(make([]byte, 64))
			conn.Write(append([]byte{0, 0, 0, byte(len(body))}, body...))
		})
		if keys, err := identity.AgentKeys(sock); len(keys) != 0 || (err != nil && !errors.Is(err, identity.ErrNoAgent)) {
			t.Errorf("%s: %v %v", name, keys, err)
		}
	}
}

// An agent that announces 15 MiB and means it is cut off long before.
func TestAgentTalksTooMuch(t *testing.T) {
	sent := make(chan int64, 1)
	sock := serve(t, func(conn net.Conn) {
		conn.Read(make([]byte, 64))
		n, _ := io.Copy(conn, io.MultiReader(bytes.NewReader([]byte{0, 0xf0, 0, 0, 12, 0, 0, 0, 1}), bytes.NewReader(make([]byte, 0xf00000))))
		sent <- n
	})
	if keys, err := identity.AgentKeys(sock); !errors.Is(err, identity.ErrNoAgent) {
		t.Errorf("%v %v", keys, err)
	}
	if n := <-sent; n > 4<<20 {
		t.Errorf("%d bytes were read", n)
	}
}
