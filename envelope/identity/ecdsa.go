package identity

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"math/big"

	"golang.org/x/crypto/ssh"
)

// checkECDSA refuses an ECDSA signature whose two numbers are not the shortest mpints (RFC 4251,
// section 5; RFC 5656, section 3.1.2).
func checkECDSA(blob []byte) error {
	var numbers struct{ R, S *big.Int }
	if err := ssh.Unmarshal(blob, &numbers); err != nil {
		return err
	}
	if !bytes.Equal(ssh.Marshal(&numbers), blob) {
		return errors.New("ECDSA signature is not encoded canonically")
	}
	return nil
}

// rsaSize returns the length in bytes of the modulus of an RSA key, and so of its signatures.
func rsaSize(key ssh.PublicKey) int {
	if holder, ok := key.(ssh.CryptoPublicKey); ok {
		if key, ok := holder.CryptoPublicKey().(*rsa.PublicKey); ok {
			return key.Size()
		}
	}
	return 0
}
