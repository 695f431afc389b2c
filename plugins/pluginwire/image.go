package pluginwire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxImage bounds the size of a plugin, in bytes.
const maxImage = 1 << 30

// errDigest says that a program is not the one that was pinned.
var errDigest = errors.New("it is not the program that was pinned")

// image is a program that cannot change any more: our own executable, or a copy of the bytes
// that were hashed, in memory or in a private directory.
type image struct {
	path  string     // what is executed
	name  string     // what it is told it is called
	files []*os.File // what stays open for it, from descriptor 3
	dir   string     // the private directory
	pin   string
}

// open makes an image of a program, in dir when it cannot be in memory. The file is opened once.
func open(p Program, dir string) (*image, error) {
	if p.Self {
		exe, err := ownExecutable()
		return &image{path: exe, name: "covenant-gate"}, err
	}
	if !strings.HasPrefix(p.Digest, "sha256:") || len(p.Digest) != len("sha256:")+2*sha256.Size {
		return nil, fmt.Errorf("%w: the pin %.80q is no digest", errDigest, p.Digest)
	}
	if !filepath.IsAbs(p.Path) {
		return nil, fmt.Errorf("%.200q: %w", p.Path, os.ErrNotExist)
	}
	f, err := openFile(p.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxImage {
		return nil, fmt.Errorf("%w: %s is no program", errDigest, p.Path)
	}
	im := &image{name: p.Path, dir: dir, pin: p.Digest}
	mem, err := inMemory(filepath.Base(p.Path))
	if err != nil {
		return im, im.onDisk(f)
	}
	// Sealed first and hashed then: until it is sealed, others of this user could reach it through /proc.
	if _, err = io.CopyBuffer(mem, io.LimitReader(f, maxImage), make([]byte, 256<<10)); err == nil {
		err = seal(mem)
	}
	if err == nil {
		err = copyHashed(io.Discard, io.NewSectionReader(mem, 0, maxImage+1), p.Digest)
	}
	if err != nil {
		mem.Close()
		return nil, err
	}
	im.path, im.files = memoryPath, []*os.File{mem}
	return im, nil
}

// onDisk makes the copy a file of the private directory.
func (im *image) onDisk(r io.Reader) error {
	im.path = filepath.Join(im.dir, "program"+filepath.Ext(im.name))
	f, err := os.OpenFile(im.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o500)
	if err != nil {
		return err
	}
	if err := copyHashed(f, r, im.pin); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// fallback answers the error of a start. Some machines execute nothing that is only in memory:
// there the same bytes go to the private directory, once.
func (im *image) fallback(err error) bool {
	if len(im.files) == 0 || !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) {
		return false
	}
	mem := im.files[0]
	im.files = nil
	defer mem.Close()
	return im.onDisk(io.NewSectionReader(mem, 0, maxImage)) == nil
}

func (im *image) close() {
	for _, f := range im.files {
		f.Close()
	}
}

// copyHashed copies a file and compares the digest of what it copied.
func copyHashed(w io.Writer, r io.Reader, pin string) error {
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, h), io.LimitReader(r, maxImage+1), make([]byte, 256<<10))
	if err != nil {
		return err
	}
	if n > maxImage {
		return fmt.Errorf("%w: more than %d bytes", errDigest, maxImage)
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != pin {
		return fmt.Errorf("%w: %s, not %s", errDigest, got, pin)
	}
	return nil
}
