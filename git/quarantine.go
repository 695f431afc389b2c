package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git/oid"
)

// ErrQuarantineFull says that what came into a quarantine exceeds the limit. Nothing of it is in the repository.
var ErrQuarantineFull = errors.New("more came than is taken at once")

// ErrUnsound says that git-fsck would refuse an object. Nothing was brought into the repository.
var ErrUnsound = errors.New("an object that Git refuses")

// QuarantineRefs is where the refs of a quarantine are: no other reader of the repository sees them.
const QuarantineRefs = "refs/worktree/"

// A Quarantine holds objects and refs that came from elsewhere and are not believed yet. The
// repository does not have them, and a crash leaves a directory behind that nothing refers to; the next
// quarantine removes it.
//
// As a [Repo] it is the repository it was made of, with what is in quarantine besides: its
// children write objects to the quarantine, and see and write refs under [QuarantineRefs] that are its own.
type Quarantine struct {
	*Repo
	home *Repo
	dir  string

	// Common, unless it is nil, are the commits of which a fetch in a partial clone says that they are here: none else of its commits
	// is here with all that it leads to, and Git sends differences to what a clone has that says so.
	Common []oid.ID
}

const (
	quarantinePrefix = "incoming-"
	quarantineStale  = 24 * time.Hour
	smallPack        = 100 // objects; as git-fetch unpacks what is smaller (fetch.unpackLimit)
)

// Quarantine makes an empty one. The caller removes it.
func (r *Repo) Quarantine(ctx context.Context) (*Quarantine, error) {
	if _, err := r.lockFile(lockName); err != nil { // makes the state directory with the right mode
		return nil, fmt.Errorf("make a quarantine: %w", err)
	}
	r.sweep()
	dir, err := os.MkdirTemp(r.StateDir(), quarantinePrefix)
	if err != nil {
		return nil, fmt.Errorf("make a quarantine: %w", err)
	}
	q := &Quarantine{home: r, dir: dir}
	// A git directory of a worktree that is not registered: configuration and refs are the repository's, and HEAD says what it says there.
	for name, text := range map[string]string{"HEAD": r.headText(), "commondir": r.commonDir + "\n"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, name := range []string{"objects", "refs", "out", "reftable"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a quarantine: %w", err), q.Remove())
	}
	others := r.objectDir()
	if v, _ := lookupEnv(r.base, "GIT_ALTERNATE_OBJECT_DIRECTORIES"); v != "" {
		others += string(filepath.ListSeparator) + v
	}
	env := withEnv(r.base, "GIT_DIR="+dir, "GIT_OBJECT_DIRECTORY="+filepath.Join(dir, "objects"), "GIT_ALTERNATE_OBJECT_DIRECTORIES="+others,
		"GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_REFLOG_ACTION")
	at := r.workTree
	if at == "" {
		at = r.commonDir
	}
	if q.Repo, err = Open(ctx, Options{Dir: at, Env: env}); err != nil {
		return nil, errors.Join(fmt.Errorf("make a quarantine: %w", err), q.Remove())
	}
	return q, nil
}

// headText is what HEAD of a git directory is to say that stands for this one.
func (r *Repo) headText() string {
	line, err := readLine(filepath.Join(r.gitDir, "HEAD"))
	if err != nil || line == "" {
		line = "ref: refs/heads/.invalid" // it is kept elsewhere
	}
	return line + "\n"
}

// sweep removes what processes that died left.
func (r *Repo) sweep() {
	old, err := filepath.Glob(filepath.Join(r.StateDir(), quarantinePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if st, err := os.Stat(dir); err == nil && time.Since(st.ModTime()) > quarantineStale {
			_ = os.RemoveAll(dir) // the next one tries again
		}
	}
}

// Remove takes away the quarantine and all that was not kept.
func (q *Quarantine) Remove() error {
	if err := os.RemoveAll(q.dir); err != nil {
		return fmt.Errorf("remove a quarantine: %w", err)
	}
	return nil
}

// Fetch runs git-fetch with args into the quarantine, and stops it with [ErrQuarantineFull] when that holds more than so many
// bytes or files. Tags, submodules, filters, FETCH_HEAD and maintenance are left out.
func (q *Quarantine) Fetch(ctx context.Context, bytes int64, files int, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if q.exceeds(bytes, files) {
				cancel(ErrQuarantineFull)
			}
		}
	}()
	var all []string
	if q.promisor() && q.Common != nil && len(q.Common) == 0 {
		all = append(all, "-c", "fetch.negotiationAlgorithm=noop")
	}
	all = append(
		all, "-c", "core.hooksPath="+os.DevNull, "-c", "fetch.fsckObjects=false", // what is kept is checked: one bad object must not stop all
		"-c", "fetch.recurseSubmodules=false", "-c", "fetch.writeCommitGraph=false",
		"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-prune", "--refmap=", "--no-show-forced-updates",
	)
	if q.promisor() {
		all = append(all, "--no-filter")
		for _, id := range q.Common {
			all = append(all, "--negotiation-tip="+id.String())
		}
	}
	_, err := q.Run(ctx, nil, append(all, args...)...)
	cause := context.Cause(ctx)
	cancel(nil)
	<-done
	if errors.Is(cause, ErrQuarantineFull) || err == nil && q.exceeds(bytes, files) {
		return ErrQuarantineFull
	}
	return err
}

func (q *Quarantine) exceeds(bytes int64, files int) bool {
	err := filepath.WalkDir(q.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // Git moves and removes files meanwhile
		}
		if info, err := d.Info(); err == nil {
			bytes -= info.Size()
		}
		if files--; files < 0 || bytes < 0 {
			return ErrQuarantineFull
		}
		return nil
	})
	return err != nil
}

// Keep brings what tips reach and except does not into the repository, when git-fsck finds nothing wrong with it; else the
// error wraps ErrUnsound. Refs do not move.
func (q *Quarantine) Keep(ctx context.Context, tips, except []oid.ID) error {
	packs, err := q.pack(ctx, tips, except)
	if err != nil {
		return err
	}
	for _, pack := range packs {
		if err := q.bring(ctx, pack); err != nil {
			return fmt.Errorf("keep what was fetched: %w", err)
		}
	}
	return nil
}

// Sound reports whether [Quarantine.Keep] would take what tips reach: the error wraps ErrUnsound where it would not.
func (q *Quarantine) Sound(ctx context.Context, tips, except []oid.ID) error {
	_, err := q.pack(ctx, tips, except)
	return err
}

// pack packs what tips reach and except does not, and lets git-fsck look at it.
func (q *Quarantine) pack(ctx context.Context, tips, except []oid.ID) ([]string, error) {
	if len(tips) == 0 {
		return nil, nil
	}
	var in strings.Builder
	for _, id := range tips {
		fmt.Fprintln(&in, id)
	}
	fmt.Fprintln(&in, "--not")
	for _, id := range except {
		fmt.Fprintln(&in, id)
	}
	out, err := q.Run(ctx, strings.NewReader(in.String()), "-c", "pack.packSizeLimit=0", "pack-objects", "-q", "--revs", "--non-empty", "--delta-base-offset", filepath.Join(q.dir, "out", "pack"))
	if err != nil {
		return nil, fmt.Errorf("keep what was fetched: %w", err)
	}
	var packs []string
	for name := range strings.FieldsSeq(string(out)) {
		pack := filepath.Join(q.dir, "out", "pack-"+name+".pack")
		_, err := q.Run(ctx, nil, "index-pack", "--fsck-objects", "-o", filepath.Join(q.dir, "out", "checked-"+name+".idx"), pack)
		var failed *CommandError
		if errors.As(err, &failed) && failed.finds() {
			return nil, fmt.Errorf("keep what was fetched: %w: %w", ErrUnsound, err)
		}
		if err != nil {
			return nil, fmt.Errorf("keep what was fetched: %w", err)
		}
		packs = append(packs, pack)
	}
	return packs, nil
}

// finds reports whether git-index-pack failed for what an object is, and not for want of room or since it was killed.
func (e *CommandError) finds() bool {
	return e.Code > 0 && slices.ContainsFunc([]string{"fsck error", "invalid ", "Error in object", "COLLISION"}, func(s string) bool { return strings.Contains(e.Stderr, s) })
}

// bring adds a pack to the repository: its objects one by one when they are few, as Git does.
func (q *Quarantine) bring(ctx context.Context, pack string) error {
	f, err := os.Open(pack) //nolint:gosec // Git has just written it
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 12) // "PACK", version, number of objects
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	args := []string{"unpack-objects", "-q"}
	if n := uint32(head[8])<<24 | uint32(head[9])<<16 | uint32(head[10])<<8 | uint32(head[11]); n >= smallPack {
		args = []string{"index-pack", "--stdin"}
	}
	_, err = q.home.Run(ctx, f, args...)
	return err
}
