package openpgp

import (
	"bytes"
	"crypto/ecdsa"
	stded25519 "crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	pgpecdsa "github.com/ProtonMail/go-crypto/openpgp/ecdsa"
	"github.com/ProtonMail/go-crypto/openpgp/ed25519"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// maxSubkeys bounds the signing subkeys of a certificate.
const maxSubkeys = 8

// certificate is what was checked of a key's text.
type certificate struct {
	primary   *packet.PublicKey
	signers   []*packet.PublicKey // the primary key if it may sign, and the subkeys
	materials []string            // of the primary key, and of the subkeys
}

// certifications are the types by which a primary key binds itself to a user id.
var certifications = []packet.SignatureType{
	packet.SigTypeGenericCert, packet.SigTypePersonaCert, packet.SigTypeCasualCert, packet.SigTypePositiveCert,
}

// parseCertificate checks packets that must be the smallest certificate, as the package comment says.
func parseCertificate(packets []raw) (certificate, error) {
	var c certificate
	tags := []byte{tagPublicKey, tagUserID, tagSignature}
	if len(packets) > 0 && len(packets[0].body) > 0 && packets[0].body[0] == 6 {
		tags = []byte{tagPublicKey, tagSignature}
	}
	if len(packets) < len(tags) || (len(packets)-len(tags))%2 != 0 || (len(packets)-len(tags))/2 > maxSubkeys {
		return c, fmt.Errorf("%w: a certificate of %d packets", identity.ErrKeyFormat, len(packets))
	}
	for len(tags) < len(packets) {
		tags = append(tags, tagPublicSubkey, tagSignature)
	}
	for i, p := range packets {
		if p.tag != tags[i] {
			return c, fmt.Errorf("%w: packet %d of the certificate has type %d, not %d", identity.ErrKeyFormat, i+1, p.tag, tags[i])
		}
	}
	primary, material, err := parseKey(packets[0])
	if err != nil {
		return c, err
	}
	c.primary, c.materials = primary, []string{material}

	var self *packet.Signature
	if primary.Version == 6 {
		self, err = checkDirect(primary, packets[1])
		packets = packets[2:]
	} else {
		self, err = checkUserID(primary, packets[1], packets[2])
		packets = packets[3:]
	}
	if err != nil {
		return c, err
	}
	// Keys older than the flags subpacket do what their algorithm can.
	if self.FlagSign || !self.FlagsValid {
		c.signers = append(c.signers, primary)
	}
	for ; len(packets) > 0; packets = packets[2:] {
		sub, material, err := parseKey(packets[0])
		if err != nil {
			return c, err
		}
		if _, err := checkBinding(primary, sub, packets[1]); err != nil {
			return c, err
		}
		for _, known := range c.materials {
			if known == material {
				return c, fmt.Errorf("%w: the certificate has one key twice", identity.ErrKeyFormat)
			}
		}
		c.signers, c.materials = append(c.signers, sub), append(c.materials, material)
	}
	if len(c.signers) == 0 {
		return c, fmt.Errorf("%w: no key of the certificate may sign", identity.ErrKeyType)
	}
	return c, nil
}

// parseKey reads a public key or subkey packet that is in its one encoding, and names its material.
func parseKey(p raw) (*packet.PublicKey, string, error) {
	parsed, err := packet.Read(bytes.NewReader(join([]raw{p})))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
	}
	pk, ok := parsed.(*packet.PublicKey)
	if !ok || (pk.Version != 4 && pk.Version != 6) {
		return nil, "", fmt.Errorf("%w: not an OpenPGP public key of version 4 or 6", identity.ErrKeyType)
	}
	material, err := materialOf(pk)
	if err != nil {
		return nil, "", err
	}
	var again bytes.Buffer
	if err := pk.Serialize(&again); err != nil || !bytes.Equal(again.Bytes(), join([]raw{p})) {
		return nil, "", fmt.Errorf("%w: key packet is not encoded canonically (%v)", identity.ErrKeyFormat, err)
	}
	return pk, material, nil
}

// materialOf names the material of an OpenPGP key as identity.Material does, and refuses kinds that are
// not accepted.
func materialOf(pk *packet.PublicKey) (string, error) {
	switch pub := pk.PublicKey.(type) {
	case *rsa.PublicKey:
		if pk.PubKeyAlgo != packet.PubKeyAlgoRSAEncryptOnly {
			return identity.Material(pub)
		}
	case *ed25519.PublicKey:
		return identity.Material(stded25519.PublicKey(pub.Point))
	case *eddsa.PublicKey:
		if curve, err := pk.Curve(); err == nil && curve == packet.Curve25519 {
			return identity.Material(stded25519.PublicKey(pub.X))
		}
	case *pgpecdsa.PublicKey:
		curve, err := pk.Curve()
		if err != nil {
			break
		}
		curves := map[packet.Curve]elliptic.Curve{
			packet.CurveNistP256: elliptic.P256(), packet.CurveNistP384: elliptic.P384(), packet.CurveNistP521: elliptic.P521(),
		}
		if c := curves[curve]; c != nil {
			public, err := ecdsa.ParseUncompressedPublicKey(c, pub.MarshalPoint())
			if err != nil {
				return "", fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
			}
			return identity.Material(public)
		}
	}
	return "", fmt.Errorf("%w: OpenPGP key algorithm %d or its curve", identity.ErrKeyType, pk.PubKeyAlgo)
}

// checkUserID checks that the primary key certified itself under a user id.
func checkUserID(primary *packet.PublicKey, id, sig raw) (*packet.Signature, error) {
	s, err := selfSignature(primary, sig, certifications...)
	if err != nil {
		return nil, err
	}
	if err := primary.VerifyUserIdSignature(string(id.body), primary, s); err != nil {
		return nil, fmt.Errorf("%w: self-certification: %v", identity.ErrKeyFormat, err)
	}
	return s, nil
}

// checkDirect checks the signature of a primary key over itself.
func checkDirect(primary *packet.PublicKey, sig raw) (*packet.Signature, error) {
	s, err := selfSignature(primary, sig, packet.SigTypeDirectSignature)
	if err != nil {
		return nil, err
	}
	if err := primary.VerifyDirectKeySignature(s); err != nil {
		return nil, fmt.Errorf("%w: direct key signature: %v", identity.ErrKeyFormat, err)
	}
	return s, nil
}

// checkBinding checks that the primary key lets sub sign, and that sub agreed: without its agreement
// somebody could claim another's signing key, and with it the other's signatures.
func checkBinding(primary, sub *packet.PublicKey, sig raw) (*packet.Signature, error) {
	s, err := selfSignature(primary, sig, packet.SigTypeSubkeyBinding)
	if err != nil {
		return nil, err
	}
	if !sub.IsSubkey || sub.Version != primary.Version {
		return nil, fmt.Errorf("%w: subkey of version %d under a key of version %d", identity.ErrKeyFormat, sub.Version, primary.Version)
	}
	if !s.FlagSign || s.EmbeddedSignature == nil {
		return nil, fmt.Errorf("%w: subkey may not sign", identity.ErrKeyFormat)
	}
	if err := acceptSignature(s.EmbeddedSignature, packet.SigTypePrimaryKeyBinding); err != nil {
		return nil, err
	}
	// This also checks the embedded signature, by sub.
	if err := primary.VerifyKeySignature(sub, s); err != nil {
		return nil, fmt.Errorf("%w: subkey binding: %v", identity.ErrKeyFormat, err)
	}
	return s, nil
}

// selfSignature reads a signature that names the primary key as its issuer.
func selfSignature(primary *packet.PublicKey, p raw, types ...packet.SignatureType) (*packet.Signature, error) {
	s, err := parseSignature(p, types...)
	if err != nil {
		return nil, err
	}
	if s.Version != primary.Version || !s.CheckKeyIdOrFingerprint(primary) {
		return nil, fmt.Errorf("%w: not a self-signature", identity.ErrKeyFormat)
	}
	return s, nil
}
