package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
)

// maxKept is how much of an output is kept beside the record, whole; of what is longer only what the statement has.
const maxKept = 4 << 20

// keeper takes what a command writes, redacted: it remembers the beginning, the end and a digest, and all of it while that is
// not too much.
type keeper struct {
	sum   hash.Hash
	n     uint64
	head  []byte
	tail  []byte // the last bytes, up to twice as many as are kept
	whole []byte // nil where it became too long
	long  bool
}

func newKeeper() *keeper { return &keeper{sum: sha256.New()} }

func (k *keeper) Write(p []byte) (int, error) {
	k.sum.Write(p)
	k.n += uint64(len(p))
	if room := evidence.MaxHead + evidence.MaxTail - len(k.head); room > 0 {
		k.head = append(k.head, p[:min(room, len(p))]...)
	}
	end := p
	if len(end) > evidence.MaxTail {
		end = end[len(end)-evidence.MaxTail:]
	}
	if k.tail = append(k.tail, end...); len(k.tail) > 2*evidence.MaxTail {
		k.tail = append(k.tail[:0], k.tail[len(k.tail)-evidence.MaxTail:]...)
	}
	if k.long = k.long || len(k.whole)+len(p) > maxKept; k.long {
		k.whole = nil
	} else {
		k.whole = append(k.whole, p...)
	}
	return len(p), nil
}

// output is what a statement says of it.
func (k *keeper) output(hits []redaction.Hit) evidence.Output {
	out := evidence.Output{Bytes: k.n, Redacted: uint64(len(hits)), SHA256: hex.EncodeToString(k.sum.Sum(nil))}
	head, tail := k.head, []byte(nil)
	if k.n > evidence.MaxHead+evidence.MaxTail {
		head, tail = k.head[:evidence.MaxHead], k.tail[len(k.tail)-evidence.MaxTail:]
		for range utf8.UTFMax - 1 {
			if r, n := utf8.DecodeLastRune(head); r == utf8.RuneError && n == 1 {
				head = head[:len(head)-1] // half a character
			}
		}
		for range utf8.UTFMax - 1 {
			if !utf8.RuneStart(tail[0]) {
				tail = tail[1:]
			}
		}
	}
	out.Lossy = !utf8.Valid(head) || !utf8.Valid(tail)
	out.Head, out.Tail = strings.ToValidUTF8(string(head), "?"), strings.ToValidUTF8(string(tail), "?")
	return out
}

// Texts are all that an outcome says in words.
func (o *Outcome) Texts() []string {
	run := &o.Predicate.Run
	out := []string{run.Output.Head, run.Output.Tail, string(o.Output)}
	out = append(out, run.Argv...)
	out = append(out, o.Predicate.FailedTests...)
	for _, t := range run.Tools {
		out = append(out, t.Command, t.Said)
	}
	return out
}

// Redact takes out of an outcome what a redactor finds in it once more: the run was redacted as it came, and somebody knows better now.
func (o *Outcome) Redact(x *redaction.Redactor) error {
	run := &o.Predicate.Run
	take := func(text *string, most int) {
		var hits []redaction.Hit
		if *text, hits = x.Redact(*text); len(*text) > most {
			*text = strings.ToValidUTF8((*text)[:most], "")
		}
		o.Hits = append(o.Hits, hits...)
		run.Output.Redacted += uint64(len(hits))
	}
	if text, hits := x.Redact(string(o.Output)); len(hits) > 0 {
		k, before := newKeeper(), run.Output.Redacted
		if _, err := k.Write([]byte(text)); err != nil {
			return err
		}
		o.Output, o.Hits = []byte(text), append(o.Hits, hits...)
		run.Output = k.output(hits)
		run.Output.Redacted += before
	} else if o.Output == nil {
		take(&run.Output.Head, evidence.MaxHead)
		take(&run.Output.Tail, evidence.MaxTail)
	}
	for _, list := range [][]string{run.Argv, o.Predicate.FailedTests} {
		for i := range list {
			list[i], _ = x.Redact(list[i])
		}
	}
	for i := range run.Tools {
		t := &run.Tools[i]
		t.Command, _ = x.Redact(t.Command)
		t.Said, _ = x.Redact(t.Said)
	}
	return nil
}

// outputs is where whole outputs are kept, beside the record, below the directory of our state; and how many of them.
const (
	outputs     = "output"
	keptOutputs = 64
)

// KeepOutput keeps an output under its digest. The oldest go when there are many.
func KeepOutput(r *git.Repo, sum string, text []byte) error {
	if err := r.WriteState(outputs+"/"+sum, text); err != nil {
		return err
	}
	dir := filepath.Join(r.StateDir(), outputs)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= keptOutputs {
		return err
	}
	age := func(e os.DirEntry) time.Time {
		if info, err := e.Info(); err == nil {
			return info.ModTime()
		}
		return time.Time{}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return age(a).Compare(age(b)) })
	for _, e := range entries[:len(entries)-keptOutputs] {
		_ = os.Remove(filepath.Join(dir, e.Name()))
	}
	return nil
}

// KeptOutput returns an output that was kept, where it is what its digest says; else false.
func KeptOutput(r *git.Repo, sum string) ([]byte, bool) {
	file := filepath.Join(r.StateDir(), outputs, filepath.Base(sum))
	if st, err := os.Lstat(file); err != nil || !st.Mode().IsRegular() || st.Size() > maxKept {
		return nil, false
	}
	b, err := os.ReadFile(file) //nolint:gosec // held to its digest
	return b, err == nil && evidence.Sum(b) == sum
}
