package identity

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Generate makes an ed25519 key: the private half at path in OpenSSH's format with mode 0600,
// encrypted if pass is not empty, and the public half at path+".pub" with mode 0644. Missing folders are
// made with mode 0700. A file that exists is never written to: then the error wraps ErrExists, and
// neither file is made. The comment is one line; it is stored in both files.
func Generate(path, comment string, pass []byte) (Signer, error) {
	signer, err := generate(path, comment, pass)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", path, err)
	}
	return signer, nil
}

func generate(path, comment string, pass []byte) (Signer, error) {
	if strings.ContainsFunc(comment, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%w: the comment has control characters", ErrKeyFormat)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner(private)
	if err != nil {
		return nil, err
	}
	var block *pem.Block
	if len(pass) > 0 {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, pass)
	} else {
		block, err = ssh.MarshalPrivateKey(private, comment)
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// The public half first: who finds a private key finds its public half too.
	line := strings.TrimSuffix(signer.Public().String()+" "+comment, " ") + "\n"
	if err := createFile(path+".pub", []byte(line), 0o644); err != nil {
		return nil, err
	}
	if err := createFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, errors.Join(err, os.Remove(path+".pub"))
	}
	return signer, nil
}

// createFile writes a new file through to the disk; what exists is ErrExists.
func createFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
