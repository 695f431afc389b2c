package intents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What the ledgers come to is remembered in two files of the cache. The index, authenticated as all that is there, is a line of JSON with
// how far each ledger was followed, and a line for each intent: fields with tabs between them. The other file has the intents
// whole, a line each, where the index says, and held to the digest that the index has of it; lines are only added, so who reads
// while another writes finds what it looks for.
const (
	indexName  = "intents"
	linesName  = "intents-lines"
	indexTitle = "covenant-intents/v2"
)

// head is the first line of the index.
type head struct {
	Authority string                     `json:"authority"` // what the authority depends on
	Forks     string                     `json:"forks"`     // other ways that ledgers of intents went
	Ledgers   map[string]*mark           `json:"ledgers"`
	Latest    string                     `json:"latest,omitempty"`  // the newest word of an operator
	Awaited   map[string]uint64          `json:"awaited,omitempty"` // entries that were named, and are not here
	Sights    map[string][]sighting      `json:"sights,omitempty"`  // of ledgers of grants, in the order of their times
	Problems  map[string]verdict.Finding `json:"problems,omitempty"`
	Rows      int                        `json:"rows"`
	Garbage   int64                      `json:"garbage,omitempty"` // bytes of lines that nothing refers to
}

// mark says how far a ledger was followed, and how far operators saw it.
type mark struct {
	provenance.Followed
	Saw      map[string]uint64 `json:"saw,omitempty"`  // ledgers of intents, as far as its writer had seen them
	Time     string            `json:"time,omitempty"` // of its last entry, never earlier than of one before it
	SeenSeq  uint64            `json:"seenSeq,omitempty"`
	SeenTime string            `json:"seenTime,omitempty"`
	SeenBy   string            `json:"seenBy,omitempty"`
}

// sighting says that an operator saw a ledger up to an entry at a time, and in which entry it was said.
type sighting struct {
	Seq   uint64 `json:"seq"`
	Time  string `json:"time"`
	By    string `json:"by,omitempty"`
	BySeq uint64 `json:"bySeq,omitempty"`
}

// maxLine is how long the line of an intent may be; a longer one is not remembered, and nothing of this repository is.
const maxLine = 512 << 20

// recall reads the index; false where there is none that fits the trust root.
func (b *Book) recall() bool {
	body := b.cache.Recall(indexName, indexTitle)
	first, rest, ok := bytes.Cut(body, []byte("\n"))
	if !ok || json.Unmarshal(first, &b.head) != nil || b.head.Ledgers == nil {
		b.head = head{}
		return false
	}
	rows, ok := newShelf(string(rest), b.head.Rows)
	if !ok {
		return false
	}
	b.rows = rows
	return true
}

// keep writes down what was read: what is remembered need not be written, an error costs time, the next time.
func (b *Book) keep(fresh map[intent.ID]*intent.Intent, all bool) {
	if b.cache == nil {
		return
	}
	var lines bytes.Buffer
	at := map[int]place{} // by row
	for i := range b.rows.len() {
		if !all && !b.rows.changed(i) {
			continue
		}
		s, ok := fresh[b.rows.id(i)]
		if !ok {
			continue
		}
		text, err := json.Marshal(s)
		if err != nil || len(text) > maxLine {
			return
		}
		sum := sha256.Sum256(text)
		at[i] = place{int64(lines.Len()), len(text), hex.EncodeToString(sum[:16])}
		lines.Write(text)
		lines.WriteByte('\n')
	}
	start, err := b.add(lines.Bytes(), all)
	if err != nil {
		return
	}
	if all {
		b.head.Garbage = 0
	}
	for i, p := range at {
		r := *b.rows.at(i)
		if !all {
			b.head.Garbage += int64(r.at.len)
		}
		p.off += start
		r.at = p
		b.rows.put(i, r)
	}
	b.head.Rows = b.rows.len()
	first, err := json.Marshal(b.head)
	if err != nil {
		return
	}
	var out bytes.Buffer
	out.Grow(len(first) + 1 + b.rows.size())
	out.Write(first)
	out.WriteByte('\n')
	b.rows.encode(&out)
	b.wait()
	kept := make(chan struct{})
	b.kept = kept
	go func() { // while what is asked for goes on
		defer close(kept)
		b.cache.Keep(indexName, indexTitle, out.Bytes())
	}()
}

// wait returns when what was to be written down is.
func (b *Book) wait() {
	if b.kept != nil {
		<-b.kept
		b.kept = nil
	}
}

// file is the path of the lines.
func (b *Book) file() string {
	return filepath.Join(b.s.Repo().StateDir(), "cache", linesName)
}

// size is that of the file, in bytes; 0 where there is none.
func (b *Book) size() int64 {
	st, err := os.Stat(b.file())
	if err != nil {
		return 0
	}
	return st.Size()
}

// add writes lines to the end of the file, or a new one, and returns where they begin.
func (b *Book) add(lines []byte, all bool) (int64, error) {
	if all {
		return 0, b.s.Repo().WriteState("cache/"+linesName, lines)
	}
	f, err := os.OpenFile(b.file(), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(lines)
	end, serr := f.Seek(0, io.SeekCurrent) // where our write ended, whoever else adds
	return end - int64(len(lines)), errors.Join(err, serr, f.Close())
}

// read returns an intent whole, as the index has it.
func (b *Book) read(r *Row) (*intent.Intent, error) {
	if b.lines == nil {
		f, err := os.Open(b.file())
		if err != nil {
			return nil, err
		}
		b.lines = f
	}
	text := make([]byte, r.at.len)
	if _, err := b.lines.ReadAt(text, r.at.off); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:16]) != r.at.sum {
		return nil, fmt.Errorf("%s is not what was written", linesName)
	}
	var s intent.Intent
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return &s, nil
}
