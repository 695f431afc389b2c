package git

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// writeLoose writes objects as gitrepository-layout(5) describes: each a zlib stream of
// "<kind> SP <size> NUL <body>" under objects/xx/, made under a temporary name that "git prune"
// knows and renamed, so that nobody sees half an object.
func (r *Repo) writeLoose(queue []queued) error {
	const writers = 2 // most of the time goes to the file system
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		wg.Go(func() {
			errs[w] = r.writeEach(func() *queued {
				if i := int(next.Add(1)) - 1; i < len(queue) {
					return &queue[i]
				}
				return nil
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// block is how many bytes a file system is likely to give even to the smallest file. An object that fits is not made
// smaller: that would take time and save nothing, and Git compresses it when it packs it.
const block = 4096

func (r *Repo) writeEach(next func() *queued) error {
	dir, share, sync := r.objectDir(), r.sharing(), r.syncLoose()
	var buf bytes.Buffer
	var squeeze, store *zlib.Writer
	for q := next(); q != nil; q = next() {
		name := q.id.String()
		fan := filepath.Join(dir, name[:2])
		path := filepath.Join(fan, name[2:])
		if freshen(path) {
			continue
		}
		z, level := &squeeze, zlib.BestSpeed // Git's own default for loose objects
		if len(q.body) < block-64 {
			z, level = &store, zlib.NoCompression
		}
		buf.Reset()
		if *z == nil {
			var err error
			if *z, err = zlib.NewWriterLevel(&buf, level); err != nil {
				return err
			}
		}
		(*z).Reset(&buf)
		(*z).Write([]byte(q.kind + " " + strconv.Itoa(len(q.body)) + "\x00"))
		(*z).Write(q.body)
		if err := (*z).Close(); err != nil {
			return err
		}
		if err := writeObject(fan, path, buf.Bytes(), share, sync); err != nil {
			return fmt.Errorf("%s %s: %w", q.kind, name, err)
		}
	}
	return nil
}

// freshen reports whether the object is there, and renews its time so that a running prune, which
// removes old unreachable objects, keeps it. An empty file is what a power failure leaves.
func freshen(path string) bool {
	st, err := os.Stat(path)
	if err != nil || st.Size() == 0 {
		return false
	}
	now := time.Now()
	return os.Chtimes(path, now, now) == nil
}

func writeObject(fan, path string, data []byte, share sharing, sync bool) error {
	tmp := filepath.Join(fan, "tmp_obj_"+strconv.FormatUint(rand.Uint64(), 36))
	create := func() (*os.File, error) { return os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444) }
	f, err := create()
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(fan, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		} else if err == nil {
			if err := share.apply(fan); err != nil {
				return err
			}
		}
		f, err = create()
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = share.apply(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
		if err != nil && freshen(path) {
			// Some systems do not rename over a read-only file: another writer was faster.
			os.Remove(tmp)
			return nil
		}
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// syncLoose reports whether loose objects are to be flushed to disk before they are used
// (core.fsync and core.fsyncObjectFiles of git-config(1)). Git's default is not to.
func (r *Repo) syncLoose() bool {
	v, ok := r.config.Get("core.fsync")
	if !ok {
		return r.config.Bool("core.fsyncObjectFiles", false)
	}
	on := false
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		name, off := strings.CutPrefix(part, "-")
		switch name {
		case "loose-object", "objects", "committed", "added", "all":
			on = !off
		case "none":
			on = false
		}
	}
	return on
}
