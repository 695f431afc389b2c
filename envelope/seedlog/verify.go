package seedlog

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Code says what kind of thing a finding is.
type Code string

// Findings of a log. Those of the second group are notes: the chain holds all the same.
const (
	Length   Code = "length"   // there are more events than anchors, or fewer
	Mismatch Code = "mismatch" // an anchor is not the one of its event
	Missing  Code = "missing"  // an event has no anchor
	Dangling Code = "dangling" // anchors have no event
	BadEvent Code = "event"    // a line of the log is no event
	BadChain Code = "anchor"   // a line of the sidecar is no anchor

	KindUnknown Code = "kind-unknown"
	KindOdd     Code = "odd"        // an event is not quite what the seed writes
	IDTwice     Code = "id-twice"   // two events have one id
	TimeBack    Code = "time-back"  // an event is said to be earlier than the one before it
	Form        Code = "form"       // an anchor says the right thing in other bytes
	EmptyLine   Code = "empty-line" // which the seed passes over
	NoNewline   Code = "no-newline" // at the end: the seed would write its next event into the same line
)

// Finding is one thing about a log that its reader should know.
type Finding struct {
	Code    Code
	Line    int    // of the file, from 1; 0: it is about all of it
	Sidecar bool   // the file is the sidecar
	Text    string // in the words of the seed where it has any
	Note    bool   // it does not break the log
	Follows bool   // it is nothing but a consequence of one before it: the anchors go on from one that does not match
}

// Report sums up.
type Report struct {
	Events, Anchors uint64
	Root            string // the chain's hash after the last event, as the log's lines have it
	First, Last     uint64 // the earliest and the latest time, in milliseconds
	Failures, Notes uint64
}

// Valid reports whether every event has its anchor, and nothing else has.
func (r *Report) Valid() bool { return r.Failures == 0 }

// Line is a line of a log that was read.
type Line struct {
	Text        []byte // without its line feed, valid until the next one is read; nil when it is longer than MaxLine
	Event       *Event // nil when it is none
	Hash        string
	Before      string // the chain's hash before it
	Chain       string // and after it
	End         int64  // bytes of the file to its end
	fileBefore  hash.Hash
	LineFeed    bool
	numberInLog int
}

// FileSHA256 returns the digest of the file to the line's end.
func (l *Line) FileSHA256() string { return hex.EncodeToString(l.fileBefore.Sum(nil)) }

// Lines reads the events of a log without a sidecar, and calls each for each line that is not empty. An error of each ends it, and is returned.
func Lines(log io.Reader, each func(*Line) error) error {
	return events(newLines(log, true), each, nil)
}

// events walks the lines of a log. empty is told of lines without anything, and of a last one without a line feed.
func events(in *lines, each func(*Line) error, empty func(Finding)) error {
	at := Genesis
	for {
		text, sum, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if in.size == 0 {
			if empty != nil {
				empty(Finding{Code: EmptyLine, Line: in.number, Text: fmt.Sprintf("line %d is empty", in.number), Note: true})
			}
			continue
		}
		if !in.feed && empty != nil {
			empty(Finding{Code: NoNewline, Line: in.number, Text: "the last line does not end with a line feed", Note: true})
		}
		l := Line{Text: text, Hash: hex.EncodeToString(sum), Before: at, End: in.offset, LineFeed: in.feed, fileBefore: in.file, numberInLog: in.number}
		at = Link(at, l.Hash)
		l.Chain = at
		if err := each(&l); err != nil {
			return err
		}
	}
}

// Verify reads a log and its sidecar to their ends, whatever it finds, and tells of each thing as it comes to it. It
// needs the same memory for logs of any length. The log is read a second time when an id may be in it twice. each, which may be nil, sees every line
// of the log; an error of it ends the reading. The error is of reading; what is wrong with the log is in the report.
func Verify(log io.ReadSeeker, sidecar io.Reader, tell func(Finding), each func(*Line) error) (*Report, error) {
	r := &Report{}
	say := func(f Finding) {
		if f.Note {
			r.Notes++
		} else {
			r.Failures++
		}
		if tell != nil {
			tell(f)
		}
	}
	v := &verifier{r: r, say: say, anchors: newLines(sidecar, false), last: Genesis}
	err := events(newLines(log, true), func(l *Line) error {
		if err := v.event(l); err != nil || each == nil {
			return err
		}
		return each(l)
	}, say)
	if err == nil {
		err = v.rest()
	}
	if err == nil && len(v.ids.suspects) > 0 {
		err = v.twice(log)
	}
	if r.Root = v.root; r.Root == "" {
		r.Root = Genesis
	}
	return r, err
}

type verifier struct {
	r       *Report
	say     func(Finding)
	anchors *lines
	done    bool // the sidecar is at its end
	ids     ids
	root    string
	last    string // chain_hash_hex of the anchor before, whatever it should have been
	millis  uint64
}

func (v *verifier) event(l *Line) error {
	index, number := v.r.Events, l.numberInLog
	v.r.Events++
	v.root = l.Chain
	note := func(code Code, format string, a ...any) {
		v.say(Finding{Code: code, Line: number, Text: fmt.Sprintf("line %d: ", number) + fmt.Sprintf(format, a...), Note: true})
	}
	var bad error
	if l.Text == nil {
		bad = syntax("it is longer than %d bytes", MaxLine)
	} else {
		l.Event, bad = Parse(l.Text)
	}
	if bad != nil {
		v.say(Finding{Code: BadEvent, Line: number, Text: fmt.Sprintf("event line %d parse error: %v", index, bad)})
	} else {
		e := l.Event
		if e.Unknown {
			note(KindUnknown, "kind %.80q is none that is known here", e.Kind)
		}
		for _, odd := range e.Odd {
			note(KindOdd, "%s", odd)
		}
		if e.Millis < v.millis {
			note(TimeBack, "its time is %d ms before that of the event before it", v.millis-e.Millis)
		}
		if v.millis = e.Millis; v.r.First == 0 || e.Millis < v.r.First {
			v.r.First = e.Millis
		}
		v.r.Last = max(v.r.Last, e.Millis)
		if at, twice := v.ids.add(e.ID, number); twice {
			v.say(Finding{Code: IDTwice, Line: number, Text: fmt.Sprintf("line %d: its id %s is that of line %d", number, e.ID, at), Note: true})
		}
	}
	return v.anchor(l, index)
}

// anchor compares the next anchor with what it must be.
func (v *verifier) anchor(l *Line, index uint64) error {
	text, err := v.next()
	if err != nil {
		return err
	}
	if v.done {
		v.say(Finding{Code: Missing, Line: l.numberInLog, Text: fmt.Sprintf("chain entry %d missing", index)})
		return nil
	}
	e := l.Event
	if e != nil && bytes.Equal(text, anchor(index, e.ID, e.Millis, l.Hash, l.Before, l.Chain)) {
		v.last = l.Chain
		return nil
	}
	a, odd, err := parseAnchor(text)
	if err != nil {
		v.last = ""
		v.say(Finding{Code: BadChain, Line: v.anchors.number, Sidecar: true, Text: fmt.Sprintf("chain line %d parse error: %v", index, err)})
		return nil
	}
	wrong := ""
	differs := func(name string, differ bool) bool {
		if differ {
			wrong += ", " + name
		}
		return differ
	}
	own := differs("index", a.index != index)
	if e != nil { // of a line that is no event the seed compares the rest only
		own = differs("event_id", a.id != e.ID) || own
		own = differs("timestamp_ms", a.millis != e.Millis) || own
	}
	own = differs("event_hash_hex", a.event != l.Hash) || own
	differs("previous_hash_hex", a.previous != l.Before)
	differs("chain_hash_hex", a.chain != l.Chain)
	follows := !own && a.previous == v.last && a.chain == Link(a.previous, a.event)
	v.last = a.chain
	switch {
	case wrong != "":
		v.say(Finding{Code: Mismatch, Line: v.anchors.number, Sidecar: true, Follows: follows, Text: fmt.Sprintf("chain entry %d mismatch: %s", index, wrong[2:])})
	case odd != "" || e != nil:
		v.say(Finding{Code: Form, Line: v.anchors.number, Sidecar: true, Note: true, Text: fmt.Sprintf("line %d of the chain says it in other bytes than the seed%s", v.anchors.number, odd)})
	}
	return nil
}

// next returns the next line of the sidecar that is not empty.
func (v *verifier) next() ([]byte, error) {
	for !v.done {
		text, _, err := v.anchors.next()
		switch {
		case errors.Is(err, io.EOF):
			v.done = true
		case err != nil:
			return nil, err
		case v.anchors.size == 0:
			v.say(Finding{Code: EmptyLine, Line: v.anchors.number, Sidecar: true, Text: fmt.Sprintf("line %d of the chain is empty", v.anchors.number), Note: true})
		default:
			if v.r.Anchors++; !v.anchors.feed {
				v.say(Finding{Code: NoNewline, Line: v.anchors.number, Sidecar: true, Text: "the last line of the chain does not end with a line feed", Note: true})
			}
			return text, nil
		}
	}
	return nil, nil
}

// rest counts the anchors that nothing belongs to.
func (v *verifier) rest() error {
	over := uint64(0)
	for {
		text, err := v.next()
		if err != nil {
			return err
		}
		if v.done {
			break
		}
		over++
		if _, _, err := parseAnchor(text); err != nil {
			v.say(Finding{Code: BadChain, Line: v.anchors.number, Sidecar: true, Text: fmt.Sprintf("chain line %d parse error: %v", v.r.Anchors-1, err)})
		}
	}
	if v.r.Events != v.r.Anchors {
		v.say(Finding{Code: Length, Text: fmt.Sprintf("chain length mismatch: %d event(s), %d anchor(s)", v.r.Events, v.r.Anchors)})
	}
	if over > 0 {
		v.say(Finding{Code: Dangling, Sidecar: true, Text: fmt.Sprintf("%d dangling chain anchor(s)", over)})
	}
	return nil
}

// twice reads the log again, for the ids that may be in it twice.
func (v *verifier) twice(log io.ReadSeeker) error {
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if v.ids.over {
		v.say(Finding{Code: IDTwice, Text: fmt.Sprintf("more than %d ids may be in it twice; only these were looked for", maxSuspects), Note: true})
	}
	in := newLines(log, false)
	return events(in, func(l *Line) error {
		if l.Text == nil {
			return nil
		}
		e, err := Parse(l.Text)
		if err != nil {
			return nil //nolint:nilerr // it was told
		}
		at, suspect := v.ids.suspects[e.ID]
		switch {
		case !suspect:
		case at == 0:
			v.ids.suspects[e.ID] = l.numberInLog
		default:
			v.say(Finding{Code: IDTwice, Line: l.numberInLog, Text: fmt.Sprintf("line %d: its id %s is that of line %d", l.numberInLog, e.ID, at), Note: true})
		}
		return nil
	}, nil)
}

type anchored struct {
	index, millis              uint64
	id, event, previous, chain string
}

func parseAnchor(text []byte) (a anchored, odd string, err error) {
	if text == nil {
		return a, "", syntax("it is longer than %d bytes", MaxLine)
	}
	list, err := object(text)
	if err != nil {
		return a, "", err
	}
	more, err := take(list, slot{"index", &a.index}, slot{"event_id", &a.id}, slot{"timestamp_ms", &a.millis},
		slot{"event_hash_hex", &a.event}, slot{"previous_hash_hex", &a.previous}, slot{"chain_hash_hex", &a.chain})
	if err == nil && !ValidUUID(a.id) {
		err = syntax("event_id %.80q is no UUID in lower case", a.id)
	}
	for _, name := range more {
		odd += fmt.Sprintf("; it has no %.80q", name)
	}
	return a, odd, err
}

// lines reads lines of any length, and holds no more than [MaxLine] of one.
type lines struct {
	in     *bufio.Reader
	buf    []byte
	line   hash.Hash
	file   hash.Hash // of all that was read; nil when nobody asks
	sum    [sha256.Size]byte
	number int   // of the line that was read last, from 1
	size   int64 // its bytes
	offset int64 // bytes of the file to its end
	feed   bool  // it ended with a line feed
}

func newLines(r io.Reader, file bool) *lines {
	l := &lines{in: bufio.NewReaderSize(r, 16<<10), line: sha256.New()}
	if file {
		l.file = sha256.New()
	}
	return l
}

// next returns a line, nil when it is too long, and its SHA-256; at the end io.EOF.
func (l *lines) next() ([]byte, []byte, error) {
	l.buf, l.size, l.feed = l.buf[:0], 0, false
	l.line.Reset()
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		if len(part) > 0 {
			l.offset += int64(len(part))
			if l.file != nil {
				l.file.Write(part)
			}
			if l.feed = part[len(part)-1] == '\n'; l.feed {
				part = part[:len(part)-1]
			}
			l.size += int64(len(part))
			l.line.Write(part)
			if long = long || l.size > MaxLine; !long {
				l.buf = append(l.buf, part...)
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && l.size == 0 && !l.feed:
			return nil, nil, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, nil, err
		}
		l.number++
		if long {
			return nil, l.line.Sum(l.sum[:0]), nil
		}
		return l.buf, l.line.Sum(l.sum[:0]), nil
	}
}
