package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// GitNamespace is the namespace of the SSHSIG signatures that Git makes for commits and tags.
const GitNamespace = "git"

// MaxGitSignature is the longest armored signature in bytes: an SSHSIG blob or an OpenPGP packet of
// 8 KiB takes 11.
const MaxGitSignature = 16 << 10

// The lines around an armored SSH signature (PROTOCOL.sshsig, section 1).
const (
	sshArmorBegin = "-----BEGIN SSH SIGNATURE-----\n"
	sshArmorEnd   = "-----END SSH SIGNATURE-----"
	maxArmorLine  = 76 // ssh-keygen writes 70 characters, others 64 or 76
)

// A GitVerifier is a PublicKey that can check Git's own signatures too. They say that somebody with
// this key let Git sign a commit, and never stand for one of ours: what they are worth is for the
// caller to say.
type GitVerifier interface {
	PublicKey
	// VerifyGit returns nil if armored is a signature of msg by this key in the form in which git
	// commit -S writes it, else an error that wraps ErrSignature. Nothing but line ends may
	// stand behind it, and nothing before it.
	VerifyGit(msg, armored []byte) error
}

// GitSigner returns the ID of the SSH key that an armored signature of Git's says it is by, which
// proves nothing; "" for one of another kind, or that is none.
func GitSigner(armored []byte) string {
	blob, err := unarmorSSH(armored)
	if err != nil {
		return ""
	}
	sig, err := sshsig.ParseSignature(blob)
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(sig.PublicKey)
}

func (k *sshKey) VerifyGit(msg, armored []byte) error {
	blob, err := unarmorSSH(armored)
	if err != nil {
		return fmt.Errorf("%s: %w: %v", k.ID(), ErrSignature, err)
	}
	_, err = k.openSSHSIG(msg, blob, GitNamespace, sshsig.HashSHA512, sshsig.HashSHA256)
	return err
}

var errArmor = errors.New("not an armored SSH signature")

// unarmorSSH returns the blob of an armored SSH signature.
func unarmorSSH(armored []byte) ([]byte, error) {
	if len(armored) > MaxGitSignature {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", errArmor, len(armored), MaxGitSignature)
	}
	text, ok := bytes.CutPrefix(armored, []byte(sshArmorBegin))
	if !ok {
		return nil, errArmor
	}
	if text, ok = bytes.CutSuffix(bytes.TrimRight(text, "\n"), []byte(sshArmorEnd)); !ok {
		return nil, errArmor
	}
	return ArmorBody(text)
}

// ArmorBody decodes the lines of base64 between the first and the last line of an armor, each of at
// most 76 characters and with its line end. The error wraps ErrSignature.
func ArmorBody(text []byte) ([]byte, error) {
	var joined []byte
	for line := range bytes.Lines(text) {
		line, ok := bytes.CutSuffix(line, []byte{'\n'})
		if !ok || len(line) == 0 || len(line) > maxArmorLine || slices.Contains(line, '\r') {
			return nil, fmt.Errorf("%w: a line of its armor is malformed", ErrSignature)
		}
		joined = append(joined, line...)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(string(joined))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSignature, err)
	}
	return blob, nil
}
