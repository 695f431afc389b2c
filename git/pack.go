package git

import (
	"bufio"
	"compress/zlib"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// packKinds are the type numbers of gitformat-pack(5).
var packKinds = map[string]byte{"commit": 1, "tree": 2, "blob": 3, "tag": 4}

// writePack writes objects as one pack of whole objects through "git index-pack", which checks it,
// indexes it and moves it into place.
func (r *Repo) writePack(ctx context.Context, queue []queued) error {
	if len(queue) > math.MaxUint32 {
		return fmt.Errorf("too many for one pack")
	}
	// Started below the top of a work tree, index-pack returns to that directory and resolves the
	// relative ".git" it found from there: the pack ends up in a new directory of the work tree.
	// Absolute paths leave it no choice.
	env := withEnv(r.env, "GIT_DIR="+r.gitDir, "GIT_OBJECT_DIRECTORY="+r.objectDir(), "GIT_WORK_TREE")
	p, err := r.start(ctx, env, pipeInput, "index-pack", "--stdin")
	if err != nil {
		return err
	}
	if err := encodePack(p.w, r.format, queue); err != nil {
		return p.failure(err)
	}
	if err := p.in.Close(); err != nil {
		return p.failure(err)
	}
	out, err := p.readAll(headerLimit)
	if err != nil {
		return p.failure(err)
	}
	if err := p.wait(); err != nil {
		return err
	}
	_, name, _ := strings.Cut(strings.TrimSpace(string(out)), "\t")
	if _, err := os.Stat(filepath.Join(r.objectDir(), "pack", "pack-"+name+".idx")); err != nil {
		return fmt.Errorf("git index-pack: %w", err)
	}
	return nil
}

// encodePack writes a pack of version 2 and flushes w.
func encodePack(w *bufio.Writer, format oid.Format, queue []queued) error {
	sum := format.New()
	out := io.MultiWriter(w, sum)
	head := binary.BigEndian.AppendUint32([]byte("PACK"), 2)
	head = binary.BigEndian.AppendUint32(head, uint32(len(queue)))
	if _, err := out.Write(head); err != nil {
		return err
	}
	z := zlib.NewWriter(out)
	for _, q := range queue {
		if _, err := out.Write(packHeader(packKinds[q.kind], uint64(len(q.body)))); err != nil {
			return err
		}
		z.Reset(out)
		if _, err := z.Write(q.body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return w.Flush()
}

// packHeader encodes type and size: four bits of the size beside the type, then seven at a time,
// the lowest first, the top bit set on all bytes but the last.
func packHeader(kind byte, size uint64) []byte {
	b := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	return b
}
