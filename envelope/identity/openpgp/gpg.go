package openpgp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// signTimeout bounds how long gpg may take: its user may have to type a passphrase or find a card.
const signTimeout = 3 * time.Minute

// maxStatus bounds what is kept of gpg's messages, in bytes.
const maxStatus = 64 << 10

// GPG is the user's GnuPG, which keeps the private keys and asks for passphrases. The zero value is the
// program gpg on PATH with this process's environment.
type GPG struct {
	Program string   // name or path; empty is gpg
	Env     []string // as in exec.Cmd: nil is the environment of this process
}

// Key exports the public key that name selects in gpg's key ring (a fingerprint, an e-mail address) and
// imports it. No such key wraps identity.ErrNoKey, several identity.ErrKeyFormat; see [Import]. If the
// program does not exist the error wraps exec.ErrNotFound or fs.ErrNotExist.
func (g GPG) Key(name string) (identity.PublicKey, error) {
	out, status, err := g.run(nil, maxExport, "--export-options", "export-minimal", "--no-armor", "--export", "--", name)
	if err != nil {
		return nil, fmt.Errorf("exporting OpenPGP key %q: %w%s", name, err, status.reason())
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("exporting OpenPGP key %q: %w in gpg's key ring", name, identity.ErrNoKey)
	}
	return Import(out)
}

// Signer returns a signer that starts gpg for each signature. public is a key that this package read.
// Sign checks the signature before it returns it. Its error wraps identity.ErrNoKey if gpg lacks the
// private key, identity.ErrPassphrase or identity.ErrRefused if gpg's user did not let it sign, and
// identity.ErrSignature if gpg signed with a subkey that public does not have: then the key must be
// imported again.
func (g GPG) Signer(public identity.PublicKey) (identity.Signer, error) {
	k, ok := public.(*key)
	if !ok {
		return nil, fmt.Errorf("signing with gpg: %w: not an OpenPGP key", identity.ErrKeyType)
	}
	return &gpgSigner{gpg: g, public: k}, nil
}

type gpgSigner struct {
	gpg    GPG
	public *key
}

func (s *gpgSigner) Public() identity.PublicKey { return s.public }

func (s *gpgSigner) Sign(msg []byte) ([]byte, error) {
	fingerprint := strings.TrimPrefix(s.public.ID(), prefix)
	// The user's gpg.conf may ask for armor, text mode, comments or another hash.
	sig, status, err := s.gpg.run(msg, maxSignature, "--no-armor", "--no-textmode", "--no-emit-version", "--digest-algo", "SHA512",
		"--local-user", fingerprint, "--output", "-", "--detach-sign")
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w%s", s.public.ID(), status.kind(err), status.reason())
	}
	if err := s.public.Verify(msg, sig); err != nil {
		return nil, fmt.Errorf("checking gpg's signature: %w", err)
	}
	return sig, nil
}

// run starts gpg with arguments and returns up to limit bytes of its output and what it reported.
func (g GPG) run(stdin []byte, limit int, args ...string) ([]byte, status, error) {
	program := g.Program
	if program == "" {
		program = "gpg"
	}
	ctx, cancel := context.WithTimeout(context.Background(), signTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"--batch", "--no-tty", "--status-fd=2", "--no-auto-check-trustdb"}, args...)...)
	cmd.Env = g.Env
	cmd.Stdin = bytes.NewReader(stdin)
	// gpg starts its agent, which may keep the pipes open.
	cmd.WaitDelay = 5 * time.Second
	out, messages := bounded{limit: limit}, bounded{limit: maxStatus}
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err == nil && out.over {
		err = fmt.Errorf("gpg wrote more than %d bytes", limit)
	}
	return out.buf.Bytes(), status(messages.buf.String()), err
}

// bounded keeps the first limit bytes written to it.
type bounded struct {
	buf   bytes.Buffer
	limit int
	over  bool
}

var _ io.Writer = (*bounded)(nil)

func (w *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), w.limit-w.buf.Len())
	w.buf.Write(p[:keep])
	w.over = w.over || keep < len(p)
	return len(p), nil
}

// status is what gpg wrote: lines for programs, as GnuPG's doc/DETAILS describes them, and for people.
type status string

// Codes of libgpg-error in the low 16 bits of a FAILURE line.
const (
	codeBadPassphrase = 11
	codeNoSecretKey   = 17
	codeNoPinentry    = 85
	codeFullyCanceled = 198
	codeCanceled      = 99
	codeNoPassphrase  = 177
)

// kind returns err as the sentinel that gpg's report amounts to.
func (s status) kind(err error) error {
	for line := range strings.Lines(string(s)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "[GNUPG:]" {
			continue
		}
		switch fields[1] {
		case "INV_SGNR", "NO_SECKEY":
			return fmt.Errorf("%w (%w)", identity.ErrNoKey, err)
		case "FAILURE":
			code, _ := strconv.ParseUint(fields[len(fields)-1], 10, 32)
			switch code & 0xffff {
			case codeNoSecretKey:
				return fmt.Errorf("%w (%w)", identity.ErrNoKey, err)
			case codeBadPassphrase, codeNoPassphrase, codeNoPinentry:
				return fmt.Errorf("%w (%w)", identity.ErrPassphrase, err)
			case codeCanceled, codeFullyCanceled:
				return fmt.Errorf("%w (%w)", identity.ErrRefused, err)
			}
		}
	}
	return err
}

// reason returns the last line for people, to put behind an error.
func (s status) reason() string {
	last := ""
	for line := range strings.Lines(string(s)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "[GNUPG:]") {
			last = line
		}
	}
	if last == "" {
		return ""
	}
	return ": " + strconv.QuoteToGraphic(last)
}
