package openpgp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// maxExport is the longest export that Import reads, in bytes.
const maxExport = 4 << 20

// Import reduces what gpg --export writes, armored or not, for one key to the text that the package
// comment describes. Of several user ids it takes the one marked as primary, else the one certified
// last; revoked user ids and subkeys, and subkeys that may not sign or are of a kind that is not accepted,
// are left out. A revoked key wraps identity.ErrKeyType; several keys, or a private one, wrap
// identity.ErrKeyFormat. Whether the key has expired is not asked.
func Import(export []byte) (identity.PublicKey, error) {
	k, err := importKey(export)
	if err != nil {
		return nil, fmt.Errorf("importing an OpenPGP key: %w", err)
	}
	return k, nil
}

func importKey(export []byte) (*key, error) {
	if len(export) > maxExport {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", identity.ErrKeyFormat, len(export), maxExport)
	}
	if b := bytes.TrimLeft(export, " \t\r\n"); bytes.HasPrefix(b, []byte("-----")) {
		block, err := armor.Decode(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
		}
		if export, err = io.ReadAll(io.LimitReader(block.Body, maxExport)); err != nil {
			return nil, fmt.Errorf("%w: %v", identity.ErrKeyFormat, err)
		}
	}
	packets, err := split(export)
	if err != nil {
		return nil, err
	}
	packets, err = minimise(packets)
	if err != nil {
		return nil, err
	}
	return parseText(prefix + base64.StdEncoding.EncodeToString(join(packets)))
}

// minimise selects the packets of the smallest certificate from all those of a key.
func minimise(packets []raw) ([]raw, error) {
	if len(packets) == 0 {
		return nil, fmt.Errorf("%w: no packets", identity.ErrNoKey)
	}
	for i, p := range packets {
		switch {
		case p.tag == tagSecretKey || p.tag == tagSecretSubkey:
			return nil, fmt.Errorf("%w: this is a private key; export the public one", identity.ErrKeyFormat)
		case i == 0 && p.tag != tagPublicKey:
			return nil, fmt.Errorf("%w: the first packet is no public key", identity.ErrKeyFormat)
		case i > 0 && p.tag == tagPublicKey:
			return nil, fmt.Errorf("%w: several keys, name one", identity.ErrKeyFormat)
		}
	}
	primary, _, err := parseKey(packets[0])
	if err != nil {
		return nil, err
	}
	components := group(packets)
	if revokes(components[0], packet.SigTypeKeyRevocation, primary.VerifyRevocationSignature, primary) {
		return nil, fmt.Errorf("%w: the key is revoked", identity.ErrKeyType)
	}
	var out []raw
	if primary.Version == 6 {
		sig, _, err := newest(components[0], func(p raw) (*packet.Signature, error) { return checkDirect(primary, p) })
		if err != nil {
			return nil, err
		}
		out = []raw{packets[0], sig}
	} else {
		id, err := chooseUserID(primary, components[1:])
		if err != nil {
			return nil, err
		}
		out = append([]raw{packets[0]}, id...)
	}
	for _, c := range components[1:] {
		if c.head.tag != tagPublicSubkey {
			continue
		}
		sub, _, err := parseKey(c.head)
		if err != nil {
			continue
		}
		verify := func(s *packet.Signature) error { return primary.VerifySubkeyRevocationSignature(s, sub) }
		if revokes(c, packet.SigTypeSubkeyRevocation, verify, primary) {
			continue
		}
		if sig, _, err := newest(c, func(p raw) (*packet.Signature, error) { return checkBinding(primary, sub, p) }); err == nil {
			out = append(out, c.head, sig)
		}
	}
	return out, nil
}

// A component is a key, user id or attribute and the signatures on it.
type component struct {
	head raw
	sigs []raw
}

func group(packets []raw) []component {
	var components []component
	for _, p := range packets {
		switch p.tag {
		case tagPublicKey, tagPublicSubkey, tagUserID, tagUserAttribute:
			components = append(components, component{head: p})
		case tagSignature:
			last := &components[len(components)-1]
			last.sigs = append(last.sigs, p)
		}
	}
	return components
}

// chooseUserID returns the user id of a version 4 key and its newest self-certification.
func chooseUserID(primary *packet.PublicKey, components []component) ([]raw, error) {
	var out []raw
	var best *packet.Signature
	why := fmt.Errorf("%w: the key has no user id", identity.ErrKeyFormat)
	for _, c := range components {
		if c.head.tag != tagUserID {
			continue
		}
		sig, s, err := newest(c, func(p raw) (*packet.Signature, error) { return checkUserID(primary, c.head, p) })
		if err != nil {
			why = err
			continue
		}
		verify := func(r *packet.Signature) error {
			if r.CreationTime.Before(s.CreationTime) {
				return errors.New("certified again since")
			}
			return primary.VerifyUserIdSignature(string(c.head.body), primary, r)
		}
		if revokes(c, packet.SigTypeCertificationRevocation, verify, primary) {
			continue
		}
		if best == nil || (isPrimary(s) && !isPrimary(best)) || (isPrimary(s) == isPrimary(best) && s.CreationTime.After(best.CreationTime)) {
			out, best = []raw{c.head, sig}, s
		}
	}
	if best == nil {
		return nil, why
	}
	return out, nil
}

func isPrimary(s *packet.Signature) bool { return s.IsPrimaryId != nil && *s.IsPrimaryId }

// newest returns the signature of a component that passes check and was made last; if none does, why not.
func newest(c component, check func(raw) (*packet.Signature, error)) (raw, *packet.Signature, error) {
	var sig raw
	var best *packet.Signature
	why := fmt.Errorf("%w: no self-signature", identity.ErrKeyFormat)
	for _, p := range c.sigs {
		s, err := check(p)
		if err != nil {
			if errors.Is(err, identity.ErrKeyType) {
				why = err
			}
			continue
		}
		if best == nil || s.CreationTime.After(best.CreationTime) {
			sig, best = p, s
		}
	}
	if best == nil {
		return raw{}, nil, why
	}
	return sig, best, nil
}

// revokes reports whether a component carries a revocation by the primary key. Here any hash counts: a
// revocation is never ignored for being old.
func revokes(c component, kind packet.SignatureType, verify func(*packet.Signature) error, primary *packet.PublicKey) bool {
	for _, p := range c.sigs {
		parsed, err := packet.Read(bytes.NewReader(join([]raw{p})))
		if err != nil {
			continue
		}
		s, ok := parsed.(*packet.Signature)
		if ok && s.SigType == kind && s.CheckKeyIdOrFingerprint(primary) && verify(s) == nil {
			return true
		}
	}
	return false
}
