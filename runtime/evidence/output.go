package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
)

const (
	// maxKept is how much of an output is kept beside the record, whole; of what is longer only what the statement has.
	maxKept = 4 << 20
	// beside is how much more than the statement has of a longer one is looked through: a secret that the cut goes through is seen whole.
	beside = redaction.Window
)

// keeper takes what a command writes, redacted: it remembers the beginning, the end and a digest, and all of it while that is
// not too much. What is no UTF-8 becomes U+FFFD before anything else, byte by byte: so a redactor is asked about the very text that is
// written.
type keeper struct {
	sum   hash.Hash
	n     uint64
	half  []byte // a character that has not ended yet
	lossy bool
	begin []byte // all of it, while that is not too much
	end   []byte // the last bytes, up to twice as many as are looked through
}

func newKeeper() *keeper { return &keeper{sum: sha256.New()} }

func (k *keeper) Write(p []byte) (int, error) {
	text := append(k.half, p...)
	n := len(text)
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if at := len(text) - i; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				n = at
			}
			break
		}
	}
	k.half = slices.Clone(text[n:])
	k.add(text[:n])
	return len(p), nil
}

// Close ends the output, perhaps within a character.
func (k *keeper) Close() error {
	k.add(k.half)
	k.half = nil
	return nil
}

func (k *keeper) add(p []byte) {
	if !utf8.Valid(p) {
		valid := make([]byte, 0, len(p)+64)
		for len(p) > 0 {
			r, n := utf8.DecodeRune(p)
			valid, p = utf8.AppendRune(valid, r), p[n:]
		}
		p, k.lossy = valid, true
	}
	k.sum.Write(p)
	if !k.long() {
		k.begin = append(k.begin, p...)
	}
	if k.n += uint64(len(p)); k.long() && len(k.begin) > evidence.MaxHead+beside {
		k.begin = []byte(first(string(k.begin), evidence.MaxHead+beside))
	}
	const most = evidence.MaxTail + beside
	if k.end = append(k.end, p[max(0, len(p)-most):]...); len(k.end) > 2*most {
		k.end = append(k.end[:0], k.end[len(k.end)-most:]...)
	}
}

// long reports whether there is too much of it to be kept.
func (k *keeper) long() bool { return k.n > maxKept }

// shown are the ends of one that is too long, with what is looked through beside them.
func (k *keeper) shown() (begin, end string) {
	return string(k.begin), last(string(k.end), evidence.MaxTail+beside)
}

// output is what a statement says of it.
func (k *keeper) output(hits []redaction.Hit) evidence.Output {
	out := evidence.Output{Bytes: k.n, Lossy: k.lossy, Redacted: uint64(len(hits)), SHA256: hex.EncodeToString(k.sum.Sum(nil))}
	if k.long() {
		out.Head, out.Tail = first(string(k.begin), evidence.MaxHead), last(string(k.end), evidence.MaxTail)
	} else {
		out.Head, out.Tail = ends(string(k.begin))
	}
	return out
}

// ends are the head and the tail of an output that is here.
func ends(text string) (head, tail string) {
	if len(text) <= evidence.MaxHead+evidence.MaxTail {
		return text, ""
	}
	return first(text, evidence.MaxHead), last(text, evidence.MaxTail)
}

// first is the beginning of a text, of whole characters that have so many bytes at most.
func first(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// last is the end of a text, likewise.
func last(text string, most int) string {
	at := max(0, len(text)-most)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}

// Texts are all that an outcome says in words, and what stands beside it where it was cut.
func (o *Outcome) Texts() []string {
	run := &o.Predicate.Run
	out := []string{string(o.Output), o.begin, o.end}
	out = append(out, run.Argv...)
	out = append(out, o.Predicate.FailedTests...)
	for _, p := range o.Predicate.Configuration {
		out = append(out, p.Name)
	}
	for _, t := range run.Tools {
		out = append(out, t.Command, t.Said)
	}
	return out
}

// Redact takes out of an outcome what a redactor finds in it once more: the run was redacted as it came, and somebody knows better now.
func (o *Outcome) Redact(x *redaction.Redactor) {
	out := &o.Predicate.Run.Output
	var hits []redaction.Hit
	if o.Output != nil {
		var text string
		text, hits = x.Redact(string(o.Output))
		o.Output = []byte(text)
		out.Bytes, out.SHA256 = uint64(len(text)), evidence.Sum(o.Output)
		out.Head, out.Tail = ends(text)
	} else {
		var more []redaction.Hit
		out.Head, hits = x.Part(o.begin, 0, len(first(o.begin, evidence.MaxHead)))
		out.Tail, more = x.Part(o.end, len(o.end)-len(last(o.end, evidence.MaxTail)), len(o.end))
		out.Head, out.Tail = first(out.Head, evidence.MaxHead), last(out.Tail, evidence.MaxTail) // marks can be longer than what they stand for
		hits = append(hits, more...)
	}
	o.Hits, out.Redacted = append(o.Hits, hits...), out.Redacted+uint64(len(hits))
	run, word := &o.Predicate.Run, func(text *string) {
		*text, _ = x.Redact(*text)
		*text = clean(*text, maxName)
	}
	for i := range run.Argv {
		run.Argv[i], _ = x.Redact(run.Argv[i])
	}
	for i := range o.Predicate.FailedTests {
		word(&o.Predicate.FailedTests[i])
	}
	slices.Sort(o.Predicate.FailedTests)
	o.Predicate.FailedTests = slices.Compact(o.Predicate.FailedTests)
	for i := range o.Predicate.Configuration {
		word(&o.Predicate.Configuration[i].Name)
	}
	for i := range run.Tools {
		word(&run.Tools[i].Command)
		word(&run.Tools[i].Said)
	}
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
