package identity

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/crypto/ssh"
)

// maxKeyFile is the longest private key file in bytes; RSA of 16384 bits takes 13 KiB.
const maxKeyFile = 64 << 10

// LoadFile returns the signer of a private key file: ed25519, RSA or ECDSA in OpenSSH's format
// (PROTOCOL.key) or as PEM (PKCS #1, PKCS #8, SEC 1). The file must be a regular one of at most
// 64 KiB that is no symbolic link, and on Unix neither its group nor others may have any access. ask is
// called once if the key is encrypted; it may be nil.
//
// The error wraps ErrNoKey, ErrSymlink, ErrMode, ErrPassphrase, ErrKeyType or ErrKeyFormat. A file
// made for a security key holds no private key and is ErrKeyType: an agent signs with it.
func LoadFile(path string, ask Passphrase) (Signer, error) {
	b, err := readKeyFile(path, maxKeyFile, 0o077)
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	defer clear(b)
	signer, err := decodePrivate(b, path, ask)
	if err != nil {
		return nil, fmt.Errorf("reading private key %s: %w", path, err)
	}
	return signer, nil
}

// PublicOfFile returns the public key of a private key file without asking for a passphrase: from the
// file if its format keeps the public key in the clear or it is not encrypted, else from path+".pub",
// which nothing binds to the private key. It demands of the file what LoadFile does and returns the
// same errors. The file of a security key is accepted.
func PublicOfFile(path string) (PublicKey, error) {
	b, err := readKeyFile(path, maxKeyFile, 0o077)
	if err != nil {
		return nil, fmt.Errorf("reading the public half of a private key: %w", err)
	}
	defer clear(b)
	key, err := publicOf(b)
	if err != nil && !errors.Is(err, ErrPassphrase) {
		return nil, fmt.Errorf("reading the public half of private key %s: %w", path, err)
	}
	if err == nil {
		return key, nil
	}
	b, err = readKeyFile(path+".pub", maxKeyText, 0)
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	public, err := ParsePublicKey(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s.pub: %w", path, err)
	}
	return public, nil
}

// publicOf returns the public half of a private key; ErrPassphrase if it is encrypted too.
func publicOf(b []byte) (PublicKey, error) {
	public, err := publicHalf(b)
	if err != nil {
		return nil, err
	}
	if public != nil {
		return public, nil
	}
	signer, err := decodePrivate(b, "", nil)
	if err != nil {
		return nil, err
	}
	return signer.Public(), nil
}

func decodePrivate(b []byte, path string, ask Passphrase) (Signer, error) {
	public, err := publicHalf(b)
	if err != nil {
		return nil, err
	}
	if public != nil && public.isSecurityKey() {
		return nil, fmt.Errorf("%w: %s is kept by a security key; sign through an ssh-agent", ErrKeyType, public.key.Type())
	}
	private, err := ssh.ParseRawPrivateKey(b)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		if private, err = decrypt(b, path, ask); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	signer, err := newSigner(private)
	if err != nil {
		return nil, err
	}
	if public != nil && public.ID() != signer.Public().ID() {
		return nil, fmt.Errorf("%w: its public half is of another key", ErrKeyFormat)
	}
	return signer, nil
}

// decrypt reads an encrypted private key after asking for its passphrase.
func decrypt(b []byte, path string, ask Passphrase) (any, error) {
	if ask == nil {
		return nil, fmt.Errorf("%w: nobody can be asked for it", ErrPassphrase)
	}
	pass, err := ask(path)
	if err != nil {
		if errors.Is(err, ErrPassphrase) {
			return nil, fmt.Errorf("nobody can be asked for its passphrase: %w", err)
		}
		return nil, fmt.Errorf("asking for the passphrase: %w", err)
	}
	defer clear(pass)
	private, err := ssh.ParseRawPrivateKeyWithPassphrase(b, pass)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError), err != nil && len(pass) == 0:
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	return private, nil
}

// publicHalf returns the public key that an OpenSSH private key file keeps in the clear, nil for other
// formats. It refuses formats that LoadFile cannot read.
func publicHalf(b []byte) (*sshKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block", ErrKeyFormat)
	}
	switch block.Type {
	case "OPENSSH PRIVATE KEY":
	case "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY":
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: %.64q", ErrKeyType, block.Type)
	}
	const magic = "openssh-key-v1\x00"
	var file struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public               []byte
		Rest                 []byte `ssh:"rest"`
	}
	if len(block.Bytes) < len(magic) || string(block.Bytes[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: not in OpenSSH's format", ErrKeyFormat)
	}
	if err := ssh.Unmarshal(block.Bytes[len(magic):], &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrKeyFormat, err)
	}
	if file.Keys != 1 {
		return nil, fmt.Errorf("%w: the file holds %d keys", ErrKeyFormat, file.Keys)
	}
	return parseWire(file.Public)
}

// readKeyFile returns the content of a regular file of at most limit bytes that is no symbolic link
// and has none of the permissions in refused.
func readKeyFile(path string, limit int64, refused fs.FileMode) ([]byte, error) {
	f, err := openNoFollow(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrKeyFormat)
	case modeCounts && info.Mode().Perm()&refused != 0:
		return nil, &ModeError{Path: path, Mode: info.Mode()}
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: %w: %d bytes, the limit is %d", path, ErrKeyFormat, info.Size(), limit)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// refuseLink returns ErrSymlink if path is a symbolic link, else otherwise.
func refuseLink(path string, otherwise error) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%s: %w", path, ErrSymlink)
	}
	return otherwise
}
