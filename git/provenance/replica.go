package provenance

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// Replica is this clone: it makes a key's ledger one writer's only. It is bound
// to the place it was made at, so that a copy of a clone (cp -r, a snapshot, a
// restored cache) opens ledgers of its own instead of forking ours.
type Replica struct {
	ID    string `json:"id"`    // 8 hexadecimal digits
	Host  string `json:"host"`  // machine id, or host name
	Path  string `json:"path"`  // of the git directory shared by worktrees
	Inode string `json:"inode"` // of that directory, where the system has such
}

// OpenReplica reads the replica's id, and makes one when there is none or when it was made at another place.
// The caller holds the repository's lock.
func OpenReplica(r *git.Repo) ([4]byte, error) {
	here, err := place(r.CommonDir())
	if err != nil {
		return [4]byte{}, err
	}
	if id, ok, err := readReplica(r, here); err != nil || ok {
		return id, err
	}
	return newReplica(r, here)
}

// Own reports whether a ledger is one that this clone writes.
func Own(r *git.Repo, n ledger.Name) (bool, error) {
	here, err := place(r.CommonDir())
	if err != nil {
		return false, err
	}
	id, ok, err := readReplica(r, here)
	return ok && strings.HasSuffix(string(n.Writer), "-"+hex.EncodeToString(id[:])), err
}

// readReplica reads the id that was made here, if one was.
func readReplica(r *git.Repo, here Replica) (id [4]byte, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(r.StateDir(), "replica"))
	if errors.Is(err, fs.ErrNotExist) {
		return id, false, nil
	}
	if err != nil {
		return id, false, fmt.Errorf("replica: %w", err)
	}
	var known Replica
	if json.Unmarshal(b, &known) == nil && known.Host == here.Host && known.Path == here.Path && known.Inode == here.Inode {
		if n, err := hex.Decode(id[:], []byte(known.ID)); err == nil && n == len(id) && len(known.ID) == 8 {
			return id, true, nil
		}
	}
	return id, false, nil
}

// RenewReplica makes this clone a new replica: its keys go on in ledgers of their
// own, and leave those that somebody else has written into, or taken entries from, as
// they are. The caller holds the repository's lock.
func RenewReplica(r *git.Repo) error {
	here, err := place(r.CommonDir())
	if err == nil {
		_, err = newReplica(r, here)
	}
	return err
}

func newReplica(r *git.Repo, here Replica) (id [4]byte, err error) {
	if _, err := rand.Read(id[:]); err != nil {
		return id, fmt.Errorf("replica: %w", err)
	}
	here.ID = hex.EncodeToString(id[:])
	b, err := json.Marshal(here)
	if err != nil {
		return id, fmt.Errorf("replica: %w", err)
	}
	return id, r.WriteState("replica", append(b, '\n'))
}

func place(dir string) (Replica, error) {
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Replica{}, fmt.Errorf("replica: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Replica{}, fmt.Errorf("replica: %w", err)
	}
	host := ""
	if b, err := os.ReadFile("/etc/machine-id"); err == nil {
		host = strings.TrimSpace(string(b))
	}
	if host == "" {
		host, _ = os.Hostname()
	}
	return Replica{Host: host, Path: path, Inode: inode(info)}, nil
}
