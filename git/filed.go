package git

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/git/oid"
)

// packedLimit is how many bytes of packed-refs are read in this process. Git, which looks for a prefix and does not read the
// rest, lists what is longer.
const packedLimit = 8 << 20

// filed lists refs as the files of gitrepository-layout(5) say, without a child. ok is false where anything is not as
// plain as refs of ours are: another way of storing refs, symbolic or broken ones, names that Git
// might spell otherwise. Then Git lists them, and says what is wrong.
//
// Files of refs are read before packed-refs: Git writes that one first, and then takes the files away.
func (r *Repo) filed(prefixes []string) (refs []Ref, ok bool) {
	if v, set := r.config.Get("extensions.refStorage"); set && v != "files" || len(prefixes) == 0 {
		return nil, false
	}
	at := map[string]oid.ID{}
	for _, p := range prefixes {
		if !r.plain(p) || !r.looseRefs(strings.TrimSuffix(p, "/"), strings.HasSuffix(p, "/"), at) {
			return nil, false
		}
	}
	if !r.packedRefs(prefixes, at) {
		return nil, false
	}
	for name, id := range at {
		refs = append(refs, Ref{Name: name, ID: id})
	}
	slices.SortFunc(refs, func(a, b Ref) int { return cmp.Compare(a.Name, b.Name) })
	return refs, true
}

// plain reports whether the refs under a prefix are shared by all worktrees, and spelled in files as everywhere.
func (r *Repo) plain(prefix string) bool {
	name := strings.TrimSuffix(prefix, "/")
	return checkRefName(name) == nil && isASCII(name) && filepath.Dir(r.refPath(name+"/x")) == filepath.Join(r.commonDir, filepath.FromSlash(name))
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) // what is no UTF-8 is U+FFFD there
}

// looseRefs adds what the file of a ref says, and the files below it; only those where below is set.
func (r *Repo) looseRefs(name string, below bool, at map[string]oid.ID) bool {
	path := r.refPath(name)
	st, err := os.Lstat(path)
	switch {
	case missingFile(path, err):
		return true
	case err != nil:
		return false
	case !st.IsDir():
		return below || st.Mode().IsRegular() && r.looseRef(name, at)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	for _, e := range entries {
		if base := e.Name(); strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".lock") {
			continue // as Git does
		}
		sub := name + "/" + e.Name()
		if checkRefName(sub) != nil || !isASCII(sub) {
			return false
		}
		switch {
		case e.IsDir():
			if !r.looseRefs(sub, true, at) {
				return false
			}
		case !e.Type().IsRegular() || !r.looseRef(sub, at):
			return false
		}
	}
	return true
}

// looseRef adds what the file of a ref says. One that went away meanwhile was packed or deleted.
func (r *Repo) looseRef(name string, at map[string]oid.ID) bool {
	path := r.refPath(name)
	b, err := readFile(path, headerLimit)
	if err != nil {
		return missingFile(path, err)
	}
	id, ok := parseName(r.format, strings.TrimRight(string(b), " \t\r\n"))
	if ok = ok && !id.IsZero(); ok {
		at[name] = id
	}
	return ok
}

// packedRefs adds the refs of packed-refs that have no file, whose lines are "<name of object> SP <ref>"; lines that begin
// with "#" or "^" are about others.
func (r *Repo) packedRefs(prefixes []string, at map[string]oid.ID) bool {
	b, err := readFile(filepath.Join(r.commonDir, "packed-refs"), packedLimit)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	digits := 2 * r.format.Size()
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if b = rest; len(line) > 0 && (line[0] == '#' || line[0] == '^') {
			continue
		}
		if !whole || len(line) < digits+2 || line[digits] != ' ' {
			return false
		}
		name := line[digits+1:]
		if !slices.ContainsFunc(prefixes, func(p string) bool { return under(name, p) }) {
			continue
		}
		id, ok := parseName(r.format, string(line[:digits]))
		full := string(name)
		if !ok || id.IsZero() || checkRefName(full) != nil {
			return false
		}
		if _, loose := at[full]; !loose {
			at[full] = id
		}
	}
	return true
}

// under reports whether a ref is the one a prefix names, or lies below it.
func under(name []byte, prefix string) bool {
	if len(name) < len(prefix) || string(name[:len(prefix)]) != prefix {
		return false
	}
	return len(name) == len(prefix) || strings.HasSuffix(prefix, "/") || name[len(prefix)] == '/'
}
