package openpgp

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// The lines around an armored signature (RFC 9580, section 6.2).
const (
	armorBegin = "-----BEGIN PGP SIGNATURE-----\n"
	armorEnd   = "-----END PGP SIGNATURE-----"
)

var _ identity.GitVerifier = (*key)(nil)

// VerifyGit checks the armored signature that gpg --detach-sign --armor writes for Git.
func (k *key) VerifyGit(msg, armored []byte) error {
	sig, err := unarmor(armored)
	if err == nil {
		err = k.verify(msg, sig)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %v", k.ID(), identity.ErrSignature, err)
	}
	return nil
}

var errArmor = errors.New("not an armored OpenPGP signature")

// unarmor returns the packets of an armored signature. Armor headers, and the checksum, are nobody's
// words: they are passed over (RFC 9580, sections 6.1 and 6.2).
func unarmor(armored []byte) ([]byte, error) {
	if len(armored) > identity.MaxGitSignature {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", errArmor, len(armored), identity.MaxGitSignature)
	}
	text, ok := bytes.CutPrefix(armored, []byte(armorBegin))
	if !ok {
		return nil, errArmor
	}
	if text, ok = bytes.CutSuffix(bytes.TrimRight(text, "\n"), []byte(armorEnd)); !ok {
		return nil, errArmor
	}
	for { // "Name: value" until an empty line
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			return nil, errArmor
		}
		text = rest
		if len(line) == 0 {
			break
		}
		if name, _, ok := bytes.Cut(line, []byte(": ")); !ok || len(name) == 0 {
			return nil, fmt.Errorf("%w: %.40q is no header of its armor", errArmor, line)
		}
	}
	if i := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte{'\n'}), '\n'); i >= 0 && text[i+1] == '=' && len(text)-i == len("\n=AAAA\n") {
		text = text[:i+1]
	}
	return identity.ArmorBody(text)
}
