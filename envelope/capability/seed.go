package capability

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// The system that this one re-creates, the seed, signed capabilities as messages of
// another form (docs/spec/capability.md). They are read so that what was granted there can be
// granted here; they allow nothing by themselves: their signatures have no domain, no
// serial and no repository.

// ErrSeed says that a capability of the seed is malformed, or not signed by its trust root.
var ErrSeed = errors.New("not a valid capability of the seed")

type seedAgent struct {
	Display string `json:"display"`
	Pubkey  string `json:"pubkey"` // base58 of 32 bytes
}

type seedSigned struct {
	Capability struct {
		Action    string          `json:"action"`
		ExpiresAt *uint64         `json:"expires_at"` // milliseconds since 1970; null: never
		GrantedBy seedAgent       `json:"granted_by"`
		Scope     json.RawMessage `json:"scope"`
		Subject   seedAgent       `json:"subject"`
	} `json:"capability"`
	Signature string `json:"signature"` // base58 of 64 bytes
}

var seedDisplay = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$`) })

// ReadSeed reads a capability that the seed's trust root signed, and returns the grant
// that says the same here: action, scope, expiry, and the subject's key, with no accountable
// human and no serial yet. root is the seed's trust root in base58. A scope that this
// program does not know is refused, where the seed passed over it.
func ReadSeed(text []byte, root string, now time.Time) (Grant, error) {
	bad := func(format string, a ...any) (Grant, error) {
		return Grant{}, fmt.Errorf("%w: %w", ErrSeed, fmt.Errorf(format, a...))
	}
	doc, err := canonical.Of(text)
	if err != nil {
		return bad("%w", err)
	}
	var s seedSigned
	if err := canonical.Unmarshal(doc, &s); err != nil {
		return bad("%w", err)
	}
	c := &s.Capability
	subject, err1 := base58(c.Subject.Pubkey, ed25519.PublicKeySize)
	by, err2 := base58(c.GrantedBy.Pubkey, ed25519.PublicKeySize)
	sig, err3 := base58(s.Signature, ed25519.SignatureSize)
	if err := errors.Join(err1, err2, err3); err != nil {
		return bad("%w", err)
	}
	for _, a := range []seedAgent{c.Subject, c.GrantedBy} {
		if !seedDisplay().MatchString(a.Display) {
			return bad("display %.80q is not NAME@HOST", a.Display)
		}
	}
	if c.GrantedBy.Pubkey != root {
		return bad("granted by %s, which is not the trust root %s", c.GrantedBy.Pubkey, root)
	}
	if !ed25519.Verify(by, seedMessage(subject, c.Action, c.Scope, by, c.ExpiresAt), sig) {
		return bad("the signature does not verify")
	}
	g := Grant{Action: c.Action}
	if c.ExpiresAt != nil {
		if *c.ExpiresAt > 1<<52 {
			return bad("expires_at %d", *c.ExpiresAt)
		}
		end := time.UnixMilli(int64(*c.ExpiresAt)) //nolint:gosec // bounded above
		if now.After(end) {
			return bad("it expired at %s", envelope.Timestamp(end))
		}
		g.Expires = envelope.Timestamp(end)
	}
	if !validAction(g.Action) {
		if prefix, peer, ok := seedPeer(g.Action); ok {
			return bad("action %.80q names a peer, %s, in its last word, and actions here name nobody: %s is granted with the peer's key, peer_pubkey_b58, in its scope", g.Action, peer, prefix)
		}
		return bad("action %.80q has no name here", g.Action)
	}
	if g.Scope, err = seedScope(c.Scope); err != nil {
		return bad("%w", err)
	}
	if err := g.Scope.Validate(g.Action); err != nil {
		return bad("%w", err)
	}
	name, _, _ := strings.Cut(strings.ToLower(c.Subject.Display), "@")
	key, err := identity.ParsePublicKey(sshKey(subject))
	if err != nil {
		return bad("subject: %w", err)
	}
	g.Subject = Subject{Key: key.String(), Kind: "agent", Name: name}
	return g, nil
}

// seedPeer splits an action of a2a into what is done and with whom: a display, or a key in base58.
func seedPeer(action string) (prefix, peer string, ok bool) {
	words := strings.SplitN(action, ".", 3)
	if len(words) < 3 || words[0] != "a2a" {
		return "", "", false
	}
	_, err := base58(words[2], ed25519.PublicKeySize)
	return words[0] + "." + words[1], words[2], err == nil || seedDisplay().MatchString(words[2])
}

// seedScope reads a scope of the seed, in which null says nothing, and neither does {}.
func seedScope(raw json.RawMessage) (Scope, error) {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return Scope{}, fmt.Errorf("%w: the scope is no JSON object", ErrInvalid)
	}
	if _, ok := fields["version"]; !ok && len(fields) > 0 {
		return Scope{}, fmt.Errorf("%w: a scope without version", ErrInvalid)
	}
	for k, v := range fields {
		if v == nil {
			delete(fields, k)
		}
	}
	if r, ok := fields["duplicate_risk"].(string); ok {
		fields["duplicate_risk"] = strings.ReplaceAll(r, "_", "-")
	}
	b, err := canonical.Marshal(fields)
	if err != nil {
		return Scope{}, err
	}
	return ParseScope(b)
}

// seedMessage is what the seed signs:
//
//	subject[32] || u32be(len(action)) || action || u32be(len(scope)) || JCS(scope) ||
//	granted_by[32] || 1 if it expires, else 0 || u64be(expires_at, or 0)
func seedMessage(subject []byte, action string, scope []byte, by []byte, expires *uint64) []byte {
	var b []byte
	b = append(b, subject...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(action))) //nolint:gosec // of a message that was read within limits
	b = append(b, action...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(scope))) //nolint:gosec // likewise
	b = append(b, scope...)
	b = append(b, by...)
	if expires == nil {
		return append(b, make([]byte, 9)...)
	}
	b = append(b, 1)
	return binary.BigEndian.AppendUint64(b, *expires)
}

// sshKey writes an ed25519 key as OpenSSH does (RFC 8709).
func sshKey(key []byte) string {
	const kind = "ssh-ed25519"
	b := binary.BigEndian.AppendUint32(nil, uint32(len(kind)))
	b = append(b, kind...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(key))) //nolint:gosec // 32
	return kind + " " + base64.StdEncoding.EncodeToString(append(b, key...))
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 decodes exactly size bytes, in the one form they have.
func base58(s string, size int) ([]byte, error) {
	n, zeros := new(big.Int), 0
	for zeros < len(s) && s[zeros] == '1' {
		zeros++
	}
	if len(s) > 2*size {
		return nil, fmt.Errorf("base58 of %d digits", len(s))
	}
	for _, c := range []byte(s) {
		d := strings.IndexByte(base58Digits, c)
		if d < 0 {
			return nil, fmt.Errorf("%.100q is not base58", s)
		}
		n.Mul(n, big.NewInt(58)).Add(n, big.NewInt(int64(d)))
	}
	b := append(make([]byte, zeros), n.Bytes()...)
	if len(b) != size {
		return nil, fmt.Errorf("%.100q has %d bytes, not %d", s, len(b), size)
	}
	return b, nil
}
