package gogit

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Refs returns the refs whose full name is one of the prefixes, or lies below one taken as a
// directory, sorted by name; all refs without prefixes.
func (s *Store) Refs(prefixes ...string) ([]git.Ref, error) {
	for _, p := range prefixes {
		if !strings.HasPrefix(p, "refs/") {
			return nil, fmt.Errorf("list refs: %q is no prefix of full ref names", p)
		}
	}
	all, err := s.refs(func(name string) bool { return under(name, prefixes) })
	if err != nil {
		return nil, fmt.Errorf("list refs: %w", err)
	}
	var refs []git.Ref
	for name, id := range all {
		o, err := s.encoded(id)
		if err != nil {
			return nil, fmt.Errorf("list refs: %s: %w", name, err)
		}
		refs = append(refs, git.Ref{Name: name, ID: id, Kind: o.Type().String()})
	}
	slices.SortFunc(refs, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

func under(name string, prefixes []string) bool {
	for _, p := range prefixes {
		p = strings.TrimSuffix(p, "/")
		if rest, ok := strings.CutPrefix(name, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return len(prefixes) == 0
}

// refs returns the refs that match, symbolic ones resolved, those that point nowhere left out. Loose
// refs are read before packed ones: packing writes the packed file before it removes the loose one.
func (s *Store) refs(match func(name string) bool) (map[string]oid.ID, error) {
	values, broken := map[string]string{}, map[string]error{}
	root := filepath.Join(s.commonDir, "refs")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we walked
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.commonDir, path)
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		name := filepath.ToSlash(rel)
		value, err := readValue(path)
		switch {
		case err == nil:
			values[name] = value
		case !errors.Is(err, fs.ErrNotExist):
			values[name], broken[name] = "", err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	packed, err := s.packed()
	if err != nil {
		return nil, err
	}
	for name, value := range packed {
		if _, loose := values[name]; !loose {
			values[name] = value
		}
	}
	refs := map[string]oid.ID{}
	for name := range values {
		if !match(name) {
			continue
		}
		id, err := follow(name, values, broken)
		if err != nil {
			return nil, err
		}
		if !id.IsZero() {
			refs[name] = id
		}
	}
	return refs, nil
}

// follow returns what a ref points at in the end, the zero name for a branch that is not born.
func follow(name string, values map[string]string, broken map[string]error) (oid.ID, error) {
	for range 5 {
		if err := broken[name]; err != nil {
			return oid.ID{}, err
		}
		value, ok := values[name]
		if !ok {
			return oid.ID{}, nil
		}
		target, symbolic := strings.CutPrefix(value, "ref: ")
		if !symbolic {
			id, err := oid.Parse(value)
			if err != nil {
				return oid.ID{}, fmt.Errorf("%s: %w", name, err)
			}
			return id, nil
		}
		name = strings.TrimSpace(target)
	}
	return oid.ID{}, fmt.Errorf("%s: too many symbolic refs", name)
}

// ref resolves one ref; the zero name when it does not exist.
func (s *Store) ref(name string) (oid.ID, error) {
	for range 5 {
		dir := s.commonDir
		if name == "HEAD" {
			dir = s.gitDir
		} else if !validName(name) {
			return oid.ID{}, fmt.Errorf("%w: %q", git.ErrMissing, name)
		}
		value, err := readValue(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) || isDirectory(filepath.Join(dir, filepath.FromSlash(name))) {
			packed, err := s.packed()
			if err != nil {
				return oid.ID{}, err
			}
			if value = packed[name]; value == "" {
				return oid.ID{}, nil
			}
		} else if err != nil {
			return oid.ID{}, err
		}
		target, symbolic := strings.CutPrefix(value, "ref: ")
		if !symbolic {
			id, err := oid.Parse(value)
			if err != nil {
				return oid.ID{}, fmt.Errorf("%s: %w", name, err)
			}
			return id, nil
		}
		name = strings.TrimSpace(target)
	}
	return oid.ID{}, fmt.Errorf("%s: too many symbolic refs", name)
}

func isDirectory(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// validName keeps names inside the refs directory.
func validName(name string) bool {
	return strings.HasPrefix(name, "refs/") && !strings.Contains(name, "..") && !strings.ContainsAny(name, "\x00\\ ~^:?*[") &&
		!strings.HasSuffix(name, ".lock")
}

// readValue reads a ref file: an object name, or "ref: " and a name. An empty one, which a crash
// can leave, is an error.
func readValue(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(b))
	if value == "" {
		return "", fmt.Errorf("%s: empty", path)
	}
	return value, nil
}

// packed reads packed-refs: "<name of object> SP <ref>", comments, and "^" lines with peeled tags.
func (s *Store) packed() (map[string]string, error) {
	f, err := os.Open(filepath.Join(s.commonDir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' || line[0] == '^' {
			continue
		}
		value, name, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("packed-refs: bad line %.80q", line)
		}
		m[name] = value
	}
	return m, lines.Err()
}
