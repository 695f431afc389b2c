package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// Output returns the path of a file that a person names to be written. Whoever wrote what is checked out must not choose which file that
// is: a name that is a symbolic link, or leads through one in a work tree, is refused. Links of the system are followed, such as /dev/stdout.
func (e *Env) Output(name string) (string, error) {
	path := e.Path(name)
	if path == "" {
		return "", Usage("an empty name is no file")
	}
	path = filepath.Clean(path)
	if dir, _ := filepath.Split(path); path == "/dev/stdout" || path == "/dev/stderr" || dir == "/dev/fd/" || dir == "/proc/self/fd/" {
		if to, err := filepath.EvalSymlinks(path); err == nil {
			path = to
		}
		return path, nil
	}
	look := []string{path}
	checked := 0 // of look, those below a work tree, or the name itself
	for at := path; ; {
		up := filepath.Dir(at)
		if up == at {
			break
		}
		if _, err := os.Lstat(filepath.Join(up, ".git")); err == nil {
			checked = len(look)
		}
		look, at = append(look, up), up
	}
	for _, at := range slices.Backward(look[:max(1, checked)]) {
		st, err := os.Lstat(at)
		if err != nil || st.Mode()&(os.ModeSymlink|os.ModeIrregular) == 0 {
			continue // what is not there yet is no link
		}
		if at == path {
			return "", Hint(fmt.Errorf("%s is a symbolic link: what it points to is not written to", say.Name(name)), "name the file itself, or remove the link")
		}
		return "", Hint(fmt.Errorf("%s is not written: %s is a symbolic link in a work tree", say.Name(name), say.Name(at)), "name a file outside of the checkout")
	}
	return path, nil
}
