package git

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sharing is core.sharedRepository (git-config(1)): the permission bits that files get beyond, or
// instead of, what the umask leaves. Git applies them to every file it writes; so do we.
type sharing struct {
	bits    fs.FileMode // 0: the umask decides
	replace bool        // bits are the permissions, not additions
}

func (r *Repo) sharing() sharing {
	s, ok := r.config.last("core.sharedRepository")
	if !ok {
		return sharing{}
	}
	if s.bare {
		return sharing{bits: 0o660}
	}
	switch strings.ToLower(s.value) {
	case "umask", "0":
		return sharing{}
	case "group", "1":
		return sharing{bits: 0o660}
	case "all", "world", "everybody", "2":
		return sharing{bits: 0o664}
	}
	if n, err := strconv.ParseUint(s.value, 8, 16); err == nil {
		if n&0o600 != 0o600 {
			return sharing{} // Git refuses to run
		}
		return sharing{bits: fs.FileMode(n & 0o666), replace: true}
	}
	if parseBool(s.value, false) {
		return sharing{bits: 0o660}
	}
	return sharing{}
}

// mode returns the mode a file or directory of mode m is to have.
func (s sharing) mode(m fs.FileMode) fs.FileMode {
	if s.bits == 0 {
		return m
	}
	tweak := s.bits
	if m&0o200 == 0 {
		tweak &^= 0o222
	}
	if m&0o100 != 0 {
		tweak |= tweak & 0o444 >> 2 // who may read may enter
	}
	perm := m.Perm() | tweak
	if s.replace {
		perm = tweak
	}
	m = m&^fs.ModePerm | perm
	if m.IsDir() && perm&0o060 != 0 {
		m |= fs.ModeSetgid // so that new files belong to the group that shares
	}
	return m
}

// apply gives a file or directory its mode.
func (s sharing) apply(path string) error {
	if s.bits == 0 {
		return nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if want := s.mode(st.Mode()); want != st.Mode() {
		return os.Chmod(path, want)
	}
	return nil
}

// WriteState writes a file below [Repo.StateDir], of these parts, whole or not at all, with the permissions that
// Git would give one of its own.
func (r *Repo) WriteState(name string, data ...[]byte) error {
	share := r.sharing()
	file := filepath.Join(r.StateDir(), filepath.FromSlash(name))
	dir := filepath.Dir(file)
	if _, err := os.Stat(dir); err != nil {
		if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // as Git makes its own; umask applies
			return fmt.Errorf("state: %w", err)
		}
		if err := share.apply(dir); err != nil {
			return fmt.Errorf("state: %w", err)
		}
	}
	tmp := file + ".tmp-" + rand.Text()
	defer func() { _ = os.Remove(tmp) }()
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // likewise
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for _, part := range data {
		if _, err = f.Write(part); err != nil {
			break
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = share.apply(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, file)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}
