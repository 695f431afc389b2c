// Package identity holds the keys that sign and are checked: SSH keys of every current kind, in
// files, in an ssh-agent or on a security key, and kinds that other packages register (OpenPGP).
//
// A key says who holds it, never who may do what: that is the trust root's and the grants' to say.
//
// # Keys
//
// A public key is one line of text, "<type> <base64 of the SSH wire encoding>", as RFC 4253 section
// 6.6, RFC 5656, RFC 8709 and OpenSSH's PROTOCOL.u2f define it: ssh-ed25519, ssh-rsa of 2048 to
// 16384 bits, ecdsa-sha2-nistp256, -384, -521, sk-ssh-ed25519@openssh.com and
// sk-ecdsa-sha2-nistp256@openssh.com. Certificates, DSA, short RSA and ed25519 points of small order
// or in a second encoding are refused wherever a key is read, and so before any signature is checked.
//
// # Signatures
//
// A plain ed25519 key signs the message itself (RFC 8032): 64 bytes. Every other SSH key signs in
// the SSHSIG format (OpenSSH's PROTOCOL.sshsig), as its binary blob without armor, with namespace
// [Namespace], an empty reserved field and hash sha512; RSA uses rsa-sha2-512. A security key's
// signature counts only when its holder touched it. Each signature has one encoding: bytes that a
// lenient reader would skip make it invalid.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

// Namespace is the namespace of SSHSIG signatures: a signature that the same key made for Git
// (namespace "git"), a file or a login is worth nothing here.
const Namespace = "covenant"

// maxKeyText is the longest text of a public key, in bytes, comment included. The longest SSH key
// accepted takes 2.8 KiB; an OpenPGP key of RSA 4096 with a few subkeys takes 8.
const maxKeyText = 16 << 10

var (
	// ErrNoKey says that a file, an agent or a key ring has no such key.
	ErrNoKey = errors.New("no such key")
	// ErrPassphrase says that a key needs a passphrase that was not given, or that it was wrong.
	ErrPassphrase = errors.New("passphrase missing or wrong")
	// ErrMode says that others may read a private key; the error is a [*ModeError].
	ErrMode = errors.New("private key is accessible to others")
	// ErrSymlink says that the path of a key is a symbolic link.
	ErrSymlink = errors.New("key file is a symbolic link")
	// ErrSignature says that a signature is not one of this message by this key.
	ErrSignature = errors.New("signature does not verify")
	// ErrKeyType says that a key is of a kind or strength that is not accepted.
	ErrKeyType = errors.New("kind of key not accepted")
	// ErrKeyFormat says that something is not a key, or not in the one form it must have.
	ErrKeyFormat = errors.New("not a key")
	// ErrExists says that a file is there already and was left alone.
	ErrExists = errors.New("file exists")
	// ErrNoAgent says that no ssh-agent answers.
	ErrNoAgent = errors.New("no ssh-agent")
	// ErrRefused says that whoever keeps the private key would not sign: the agent's user declined,
	// the security key was not touched, the agent is locked.
	ErrRefused = errors.New("refused to sign")
)

// A ModeError names a private key file that its group or others may read or write. It is ErrMode.
type ModeError struct {
	Path string
	Mode fs.FileMode
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("%s has mode %#o: %v", e.Path, e.Mode.Perm(), ErrMode)
}

// Is reports whether target is ErrMode.
func (e *ModeError) Is(target error) bool { return target == ErrMode }

// A PublicKey is a key that was read and found acceptable. Two values are the same key exactly if
// their IDs are equal. Implementations are immutable.
type PublicKey interface {
	// ID names the key: "SHA256:" and the unpadded base64 of Digest, as ssh-keygen -l prints it,
	// or "openpgp:" and the fingerprint in upper case hexadecimal.
	ID() string
	// String returns the one line that ParsePublicKey reads back to an equal key, without
	// comment.
	String() string
	// Verify returns nil if sig is a signature of msg by this key, else an error that wraps
	// ErrSignature.
	Verify(msg, sig []byte) error
	// Material names what the holder has in hand, whatever it is wrapped in: the SSH and the
	// OpenPGP form of one ed25519 key have equal material. A security key's material includes
	// its application.
	Material() string
	// Digest returns the SHA-256 of the SSH wire encoding, for OpenPGP of the fingerprint's
	// bytes.
	Digest() [32]byte
}

// Materials returns the material of every key that may sign as pk: an OpenPGP key signs with its primary
// key and its subkeys. The first is pk.Material, also when that key itself does not sign. Material that
// two keys share belongs to one holder.
func Materials(pk PublicKey) []string {
	if many, ok := pk.(interface{ Materials() []string }); ok {
		return many.Materials()
	}
	return []string{pk.Material()}
}

// A Signer signs with one private key. It may ask its user for presence, and so take its time.
type Signer interface {
	// Public returns the key that verifies what Sign returns.
	Public() PublicKey
	// Sign returns a signature of msg in the form of Public's kind. It refuses a msg that could
	// pass for a message of SSH itself.
	Sign(msg []byte) ([]byte, error)
}

// A Passphrase asks for the passphrase of what, for people to read: the path of a key file. The
// bytes are overwritten after use. An error ends the attempt and is returned.
type Passphrase func(what string) ([]byte, error)

var registry struct {
	sync.RWMutex
	parsers map[string]func(string) (PublicKey, error)
}

// Register makes ParsePublicKey hand every text that begins with prefix to parse. The prefix ends in
// ':' and belongs to one package, else Register panics.
func Register(prefix string, parse func(string) (PublicKey, error)) {
	registry.Lock()
	defer registry.Unlock()
	if !strings.HasSuffix(prefix, ":") || parse == nil || registry.parsers[prefix] != nil {
		panic(fmt.Sprintf("identity: prefix %q cannot be registered", prefix))
	}
	if registry.parsers == nil {
		registry.parsers = make(map[string]func(string) (PublicKey, error))
	}
	registry.parsers[prefix] = parse
}

// ParsePublicKey reads the text of a public key: one line of at most 16 KiB, with or without its line
// end. A comment behind an SSH key is dropped; anything before it, such as the options of an
// authorized_keys line, is refused. The error wraps ErrKeyType or ErrKeyFormat.
func ParsePublicKey(s string) (PublicKey, error) {
	if len(s) > maxKeyText {
		return nil, fmt.Errorf("reading a public key: %w: %d bytes, the limit is %d", ErrKeyFormat, len(s), maxKeyText)
	}
	s = strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	if i := strings.IndexFunc(s, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }); i >= 0 {
		return nil, fmt.Errorf("reading a public key: %w: control character at byte %d", ErrKeyFormat, i)
	}
	if prefix, _, ok := strings.Cut(s, ":"); ok {
		registry.RLock()
		parse := registry.parsers[prefix+":"]
		registry.RUnlock()
		if parse != nil {
			return parse(s)
		}
	}
	key, err := parseLine(s)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	return key, nil
}
