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
	"strconv"
	"strings"

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
	indexTitle = "covenant-intents/v1"
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

// Row is what the index has of an intent.
type Row struct {
	ID       intent.ID
	Name     string
	State    intent.State
	Priority intent.Priority
	Role     intent.Role
	Title    string
	Next     string
	Parent   intent.ID
	Needs    []intent.ID
	Opened   string // when, and by whom
	Opener   string
	Moved    string // when it was moved last, and by whom; "" where it was not
	Mover    string
	Lost     int    // statements that do not count
	Void     string // why it is none
	Trail    Trail  // the moves that count

	unseen bool // a statement by who is no operator was seen by none
	judged bool // a statement by who is no operator
	at     place
}

// place is where the line of an intent stands.
type place struct {
	off int64
	len int
	sum string // first 16 bytes of the SHA-256, hexadecimal
}

const columns = 21

func (r *Row) encode(b *bytes.Buffer) {
	needs := make([]string, len(r.Needs))
	for i, n := range r.Needs {
		needs[i] = string(n)
	}
	flags := ""
	if r.unseen {
		flags += "u"
	}
	if r.judged {
		flags += "j"
	}
	for i, s := range []string{
		string(r.ID), r.Name, string(r.State), string(r.Priority), string(r.Role), r.Title, r.Next, string(r.Parent), strings.Join(needs, " "), r.Opened, r.Opener, r.Moved, r.Mover,
		strconv.Itoa(r.Lost), r.Void, string(r.Trail), flags, strconv.FormatInt(r.at.off, 10), strconv.Itoa(r.at.len), r.at.sum, "",
	} {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(strings.Map(func(c rune) rune {
			if c == '\t' || c == '\n' {
				return ' '
			}
			return c
		}, s))
	}
	b.WriteByte('\n')
}

func decodeRow(line string) (Row, bool) {
	var f [columns]string
	for i := range columns {
		var more bool
		if f[i], line, more = strings.Cut(line, "\t"); more != (i < columns-1) {
			return Row{}, false
		}
	}
	r := Row{
		ID: intent.ID(f[0]), Name: f[1], State: intent.State(f[2]), Priority: intent.Priority(f[3]), Role: intent.Role(f[4]), Title: f[5], Next: f[6], Parent: intent.ID(f[7]),
		Opened: f[9], Opener: f[10], Moved: f[11], Mover: f[12], Void: f[14], Trail: Trail(f[15]),
		unseen: strings.Contains(f[16], "u"), judged: strings.Contains(f[16], "j"), at: place{sum: f[19]},
	}
	if f[8] != "" {
		for n := range strings.SplitSeq(f[8], " ") {
			r.Needs = append(r.Needs, intent.ID(n))
		}
	}
	var err1, err2, err3 error
	r.Lost, err1 = strconv.Atoi(f[13])
	r.at.off, err2 = strconv.ParseInt(f[17], 10, 64)
	r.at.len, err3 = strconv.Atoi(f[18])
	return r, errors.Join(err1, err2, err3) == nil && r.at.off >= 0 && r.at.len > 0 && r.at.len <= maxLine
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
	rows := make([]Row, 0, b.head.Rows)
	text := string(rest)
	for len(text) > 0 {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		r, ok := decodeRow(line)
		if !ok {
			return false
		}
		rows = append(rows, r)
	}
	if len(rows) != b.head.Rows {
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
	at := map[intent.ID]place{}
	for i := range b.rows {
		r := &b.rows[i]
		s, ok := fresh[r.ID]
		if !ok {
			continue
		}
		text, err := json.Marshal(s)
		if err != nil || len(text) > maxLine {
			return
		}
		sum := sha256.Sum256(text)
		at[r.ID] = place{int64(lines.Len()), len(text), hex.EncodeToString(sum[:16])}
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
	for i := range b.rows {
		if p, ok := at[b.rows[i].ID]; ok {
			if !all {
				b.head.Garbage += int64(b.rows[i].at.len)
			}
			p.off += start
			b.rows[i].at = p
		}
	}
	b.head.Rows = len(b.rows)
	first, err := json.Marshal(b.head)
	if err != nil {
		return
	}
	var out bytes.Buffer
	out.Grow(len(first) + 512*len(b.rows))
	out.Write(first)
	out.WriteByte('\n')
	for i := range b.rows {
		b.rows[i].encode(&out)
	}
	b.cache.Keep(indexName, indexTitle, out.Bytes())
}

// file is the path of the lines.
func (b *Book) file() string {
	return filepath.Join(b.s.Repo().StateDir(), "cache", linesName)
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
