package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Bounds of an RSA modulus in bits. Below, NIST SP 800-131A disallows it; above, ssh-keygen makes none
// and checking a signature would take long.
const (
	minRSABits = 2048
	maxRSABits = 16384
)

// maxApplication is the longest application of a security key; OpenSSH's own begin with "ssh:".
const maxApplication = 255

// sshKey is an SSH public key of an accepted kind.
type sshKey struct {
	key      ssh.PublicKey
	wire     []byte
	digest   [32]byte
	material string
}

func (k *sshKey) ID() string {
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(k.digest[:])
}

func (k *sshKey) String() string {
	return k.key.Type() + " " + base64.StdEncoding.EncodeToString(k.wire)
}

func (k *sshKey) Material() string { return k.material }

func (k *sshKey) Digest() [32]byte { return k.digest }

func (k *sshKey) Verify(msg, sig []byte) error {
	if k.key.Type() != ssh.KeyAlgoED25519 {
		_, err := k.openSSHSIG(msg, sig, Namespace, sshsig.HashSHA512)
		return err
	}
	point := k.wire[len(k.wire)-ed25519.PublicKeySize:]
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(point, msg, sig) {
		return fmt.Errorf("%s: %w", k.ID(), ErrSignature)
	}
	return nil
}

// isSecurityKey reports whether a device keeps the private half (PROTOCOL.u2f).
func (k *sshKey) isSecurityKey() bool {
	return k.key.Type() == ssh.KeyAlgoSKED25519 || k.key.Type() == ssh.KeyAlgoSKECDSA256
}

// parseLine reads "<type> <base64> [comment]".
func parseLine(line string) (*sshKey, error) {
	line = strings.Trim(line, " \t")
	name, rest, _ := strings.Cut(strings.ReplaceAll(line, "\t", " "), " ")
	if err := acceptType(name); err != nil {
		return nil, err
	}
	text, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	wire, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	key, err := parseWire(wire)
	if err != nil {
		return nil, err
	}
	if key.key.Type() != name {
		return nil, fmt.Errorf("%w: the line says %s and its bytes say %s", ErrKeyFormat, name, key.key.Type())
	}
	return key, nil
}

// acceptType returns nil for the name of an accepted kind of SSH key.
func acceptType(name string) error {
	switch name {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoRSA, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	case "":
		return fmt.Errorf("%w: the text is empty", ErrKeyFormat)
	}
	return fmt.Errorf("%w: %.64q", ErrKeyType, name)
}

// parseWire reads the SSH wire encoding of a key; there is one for each key.
func parseWire(wire []byte) (*sshKey, error) {
	var head struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(wire, &head); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	if err := acceptType(head.Type); err != nil {
		return nil, err
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	return newSSHKey(key, wire)
}

// newSSHKey judges a parsed key; wire is what it was parsed from, nil if it was not.
func newSSHKey(key ssh.PublicKey, wire []byte) (*sshKey, error) {
	if err := acceptType(key.Type()); err != nil {
		return nil, err
	}
	again := key.Marshal()
	if wire != nil && !bytes.Equal(again, wire) {
		return nil, fmt.Errorf("%w: the encoding is not the shortest", ErrKeyFormat)
	}
	material, err := materialOf(key, again)
	if err != nil {
		return nil, err
	}
	return &sshKey{key: key, wire: again, digest: sha256.Sum256(again), material: material}, nil
}

// materialOf names the material of an SSH key, and refuses weak material.
func materialOf(key ssh.PublicKey, wire []byte) (string, error) {
	holder, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrKeyType, key.Type())
	}
	material, err := Material(holder.CryptoPublicKey())
	if err != nil {
		return "", err
	}
	switch key.Type() {
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		application, err := applicationOf(key.Type(), wire)
		if err != nil {
			return "", err
		}
		material = "sk-" + material + ":" + application
	}
	return material, nil
}

// Material names the material of a public key of crypto/ed25519, crypto/rsa or crypto/ecdsa, for
// packages that wrap such keys in another form: "ed25519:" and the point, "rsa:" and exponent and
// modulus, "ecdsa-p256:" (p384, p521) and the uncompressed point, all hexadecimal. Material that is
// not accepted in any form wraps ErrKeyType or ErrKeyFormat.
func Material(key any) (string, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return "", fmt.Errorf("%w: ed25519 point of %d bytes", ErrKeyFormat, len(key))
		}
		if err := checkPoint([ed25519.PublicKeySize]byte(key)); err != nil {
			return "", err
		}
		return "ed25519:" + hex.EncodeToString(key), nil
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		if bits < minRSABits || bits > maxRSABits {
			return "", fmt.Errorf("%w: RSA of %d bits; it must have %d to %d", ErrKeyType, bits, minRSABits, maxRSABits)
		}
		if key.N.Sign() < 0 || key.N.Bit(0) == 0 || key.E < 3 || key.E&1 == 0 {
			return "", fmt.Errorf("%w: RSA modulus or exponent is even or too small", ErrKeyFormat)
		}
		return fmt.Sprintf("rsa:%x:%x", key.E, key.N), nil
	case *ecdsa.PublicKey:
		// Bytes refuses points that are not on the curve, and infinity.
		point, err := key.Bytes()
		if err != nil {
			return "", fmt.Errorf("%w: %v", ErrKeyFormat, err)
		}
		bits := key.Curve.Params().BitSize
		if bits != 256 && bits != 384 && bits != 521 {
			return "", fmt.Errorf("%w: ECDSA on %s", ErrKeyType, key.Curve.Params().Name)
		}
		return fmt.Sprintf("ecdsa-p%d:%x", bits, point), nil
	}
	return "", fmt.Errorf("%w: %T", ErrKeyType, key)
}

// applicationOf returns the application of a security key, whose wire encoding ends with it.
func applicationOf(name string, wire []byte) (string, error) {
	var ed struct{ Type, Point, Application string }
	var ec struct{ Type, Curve, Point, Application string }
	var err error
	if name == ssh.KeyAlgoSKED25519 {
		err = ssh.Unmarshal(wire, &ed)
	} else {
		err = ssh.Unmarshal(wire, &ec)
	}
	application := ed.Application + ec.Application
	printable := strings.IndexFunc(application, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
	if err != nil || application == "" || len(application) > maxApplication || !printable {
		return "", fmt.Errorf("%w: security key without a printable application", ErrKeyFormat)
	}
	return application, nil
}
