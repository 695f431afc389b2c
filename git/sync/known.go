package sync

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
)

// knownDir, in the state directory, has a file for each remote that was found to have taken something back.
const knownDir = "known"

// known is such a file.
type known struct {
	Remote   string            `json:"remote"`
	Findings []verdict.Finding `json:"findings"`
}

// knownFile names the file of the remote whose tracking refs have a prefix.
func knownFile(at string) string {
	return fmt.Sprintf("%s/%x.json", knownDir, sha256.Sum256([]byte(at)))
}

// maxKnown bounds the findings that are written down of one remote.
const maxKnown = 100

// TakenBack lists what remotes are known to have taken back, until a sync finds it there again.
func TakenBack(r *git.Repo) []verdict.Finding {
	files, err := filepath.Glob(filepath.Join(r.StateDir(), knownDir, "*.json"))
	if err != nil {
		return nil
	}
	var out []verdict.Finding
	for _, file := range files {
		b, err := os.ReadFile(file)
		var k known
		if err != nil || json.Unmarshal(b, &k) != nil {
			continue // the next sync writes it anew
		}
		out = append(out, k.Findings...)
	}
	return out
}

// remember writes down what the remote was found to have taken back, or that it has it all.
func (r *run) remember() error {
	list := slices.DeleteFunc(slices.Clone(r.rep.Refused), func(f verdict.Finding) bool { return f.Code != verdict.LedgerRolledBack && f.Code != RootRolledBack })
	name := knownFile(r.at)
	if len(list) == 0 {
		err := os.Remove(filepath.Join(r.s.Repo().StateDir(), filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	b, err := json.Marshal(known{r.shown, list[:min(len(list), maxKnown)]})
	if err != nil {
		return err
	}
	return r.s.Repo().WriteState(name, append(b, '\n'))
}
