package git

import (
	"io/fs"
	"os"
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
