package git

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Ref is a ref and the object it points at; Kind is that object's.
type Ref struct {
	Name string
	ID   oid.ID
	Kind string
}

// Refs returns the refs whose full name is one of the prefixes, or lies below one taken as a
// directory, sorted by name; all refs without prefixes. Symbolic refs are resolved, and left out if
// they point nowhere. A ref whose file a crash left empty is an error. It costs one child. Every
// prefix begins with "refs/".
func (s *Session) Refs(prefixes ...string) ([]Ref, error) {
	refs, err := s.refs("%(objectname) %(objecttype) %(refname)", prefixes)
	var failed *CommandError
	if errors.As(err, &failed) {
		// A ref to a missing object has no type, and Git lists nothing then. Its
		// name and value are still true; whoever reads the object learns the rest.
		if refs, err = s.refs("%(objectname) unknown %(refname)", prefixes); err == nil {
			for i := range refs {
				refs[i].Kind = ""
				if o, oerr := s.Object(refs[i].ID.String(), 1<<20); oerr == nil {
					refs[i].Kind = o.Kind
				}
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list refs: %w", err)
	}
	return refs, nil
}

// Tips returns what [Session.Refs] does, without kinds, for at least one prefix. It costs no child where the refs are plain files.
func (s *Session) Tips(prefixes ...string) ([]Ref, error) {
	if refs, ok := s.repo.filed(prefixes); ok {
		return refs, nil
	}
	refs, err := s.refs("%(objectname) ref %(refname)", prefixes)
	if err != nil {
		return nil, fmt.Errorf("list refs: %w", err)
	}
	for i := range refs {
		refs[i].Kind = ""
	}
	return refs, nil
}

func (s *Session) refs(format string, prefixes []string) ([]Ref, error) {
	for _, p := range prefixes {
		if !strings.HasPrefix(p, "refs/") || strings.ContainsRune(p, 0) {
			return nil, fmt.Errorf("%q is no prefix of full ref names", clip(p))
		}
	}
	env, err := s.readEnv()
	if err != nil {
		return nil, err
	}
	p, err := s.repo.start(s.ctx, env, nil, append([]string{"for-each-ref", "--format=" + format}, prefixes...)...)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for {
		line, err := p.out.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			err := p.wait()
			if err == nil && p.errs.String() != "" {
				// Git complains of a ref it cannot read, and leaves it out.
				err = s.repo.checkLoose(prefixes)
			}
			return refs, err
		}
		if err != nil {
			return nil, p.failure(err)
		}
		f := strings.Split(string(line[:len(line)-1]), " ")
		if len(f) != 3 {
			return nil, p.failure(fmt.Errorf("unexpected answer %q", clip(string(line))))
		}
		id, ok := parseName(s.repo.format, f[0])
		if !ok {
			return nil, p.failure(fmt.Errorf("unexpected answer %q", clip(string(line))))
		}
		refs = append(refs, Ref{Name: f[2], ID: id, Kind: f[1]})
	}
}

// HeadRef returns the full name of the branch that HEAD points at, which need not exist yet; ""
// when HEAD is detached.
func (s *Session) HeadRef() (string, error) {
	line, err := readLine(filepath.Join(s.repo.gitDir, "HEAD"))
	if err == nil {
		if _, err := oid.Parse(line); err == nil {
			return "", nil
		}
		// Reftable repositories keep a HEAD file that points at refs/heads/.invalid.
		if name, ok := strings.CutPrefix(line, "ref: "); ok && checkRefName(strings.TrimSpace(name)) == nil {
			return s.repo.pointee(strings.TrimSpace(name)), nil
		}
	}
	out, err := s.repo.Run(s.ctx, nil, "symbolic-ref", "-q", "HEAD")
	var ce *CommandError
	if errors.As(err, &ce) && ce.Code == 1 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read HEAD: %w", err)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Abbreviated returns the objects whose names begin with a prefix of at least four hexadecimal digits.
func (s *Session) Abbreviated(prefix string) ([]oid.ID, error) {
	out, err := s.repo.Run(s.ctx, nil, "rev-parse", "--disambiguate="+prefix)
	if err != nil {
		return nil, err
	}
	var ids []oid.ID
	for name := range strings.FieldsSeq(string(out)) {
		id, err := oid.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("git rev-parse: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Head returns the name of what HEAD is at; zero where its branch does not exist yet. It costs no child where refs are plain files.
func (s *Session) Head() (oid.ID, error) {
	ref, err := s.HeadRef()
	if err != nil {
		return oid.ID{}, err
	}
	if ref != "" {
		refs, err := s.Tips(ref)
		for _, r := range refs {
			if r.Name == ref {
				return r.ID, nil
			}
		}
		return oid.ID{}, err
	}
	if line, err := readLine(filepath.Join(s.repo.gitDir, "HEAD")); err == nil {
		if id, ok := parseName(s.repo.format, line); ok {
			return id, nil
		}
	}
	c, err := s.Commit("HEAD")
	return c.ID, err
}

// Symbolic returns what a ref is another name of; "" where it is none.
func (s *Session) Symbolic(ref string) (string, error) {
	if v, ok := s.repo.config.Get("extensions.refStorage"); !ok || v == "files" {
		if to := s.repo.pointee(ref); to != ref {
			return to, nil
		}
		return "", nil
	}
	out, err := s.repo.Run(s.ctx, nil, "symbolic-ref", "-q", ref)
	var ce *CommandError
	if errors.As(err, &ce) && ce.Code == 1 {
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// pointee follows a ref that is symbolic itself to the one that moves when it is committed to.
func (r *Repo) pointee(name string) string {
	const most = 5 // as Git follows
	for range most {
		line, err := readLine(r.refPath(name))
		next, symbolic := strings.CutPrefix(line, "ref: ")
		if next = strings.TrimSpace(next); err != nil || !symbolic || checkRefName(next) != nil {
			break
		}
		name = next
	}
	return name
}

var errRefName = errors.New("not a full ref name")

// ValidRef reports whether a full ref name is one that Git takes.
func ValidRef(name string) bool { return checkRefName(name) == nil }

// checkRefName checks a full ref name by the rules of git-check-ref-format(1).
func checkRefName(name string) error {
	bad := !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") || len(name) > 4096 ||
		strings.Contains(name, "..") || strings.Contains(name, "@{")
	for i := 0; i < len(name) && !bad; i++ {
		bad = name[i] <= ' ' || name[i] == 0x7f || strings.IndexByte(`~^:?*[\`, name[i]) >= 0
	}
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return fmt.Errorf("%w: %q", errRefName, clip(name))
	}
	return nil
}
