package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/seedlog"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Kinds of events that take the place of a log that was written elsewhere (docs/spec/seed-audit.md).
const (
	logImported = "log_imported"
	logRecord   = "log_record"
	seedFormat  = "seed-audit"
)

// Limits of an entry of an import.
const (
	maxRecords = 5000
	maxTexts   = 8 << 20
)

// Imported is an entry that took a log over, or more of one that was taken over before.
type Imported struct {
	ID        envelope.Digest
	Principal string // who did; "" for a key that nobody here has
	Root      string // of the log so far
	Previous  string // the root before the entry's records
	Events    uint64 // of the log so far
	Whole     bool   // every record of the entry is kept as it was, not its digest alone
}

// ErrBroken says that a log does not verify. Nothing of it was taken over.
var ErrBroken = errors.New("the log does not verify")

// ErrEmpty says that a log has no event.
var ErrEmpty = errors.New("the log has no event")

// ErrChanged says that a log was changed between its verification and its import. What was told as recorded is, and its
// digests are those of what was read.
var ErrChanged = errors.New("the log changed while it was read")

// An ImportedError says that all of a log was taken over before.
type ImportedError struct{ Imported }

func (e *ImportedError) Error() string {
	return fmt.Sprintf("its root %s is recorded already: by %s, in entry %s", e.Root, e.Principal, e.ID)
}

// SeedImports returns what was taken over of logs of the seed, by root. An entry counts only when the digests that it
// records lead from a root before them, which counts, to its own: so whoever claims a root has to have the log's.
func SeedImports(s *git.Session, f *provenance.Facts) (map[string]Imported, error) {
	out := map[string]Imported{}
	var in entry
	for r, err := range Log(s, f, Filter{Kinds: []string{logImported, logRecord}}) {
		if err != nil {
			return nil, err
		}
		if r.ID != in.id {
			in = entry{id: r.ID, whole: true}
		}
		in.add(&r, out)
	}
	return out, nil
}

// entry folds the events of one entry.
type entry struct {
	id      envelope.Digest
	hashes  []string
	whole   bool
	invalid bool
}

func (e *entry) add(r *Record, known map[string]Imported) {
	if r.Kind == logRecord {
		h, text := r.Get("record_sha256"), r.Get("record")
		e.hashes = append(e.hashes, h)
		e.whole = e.whole && text != ""
		e.invalid = e.invalid || (text != "" && seedlog.LineHash([]byte(text)) != h)
		return
	}
	from, before := seedlog.Genesis, uint64(0)
	if p := r.Get("previous"); p != "" {
		i, ok := known[p]
		if !ok {
			return
		}
		from, before = p, i.Events
	}
	at := from
	for _, h := range e.hashes {
		at = seedlog.Link(at, h)
	}
	n := uint64(len(e.hashes))
	if e.invalid || r.Err != nil || n == 0 || r.Index != r.Of || r.Of != len(e.hashes)+1 || r.Get("format") != seedFormat || at != r.Get("root") ||
		r.Get("events") != strconv.FormatUint(before+n, 10) || r.Get("records") != strconv.FormatUint(n, 10) {
		return
	}
	if have, ok := known[at]; ok && (have.Whole || !e.whole) {
		return
	}
	i := Imported{ID: r.ID, Root: at, Previous: from, Events: before + n, Whole: e.whole}
	if r.Principal != nil {
		i.Principal = r.Principal.Name
	}
	known[at] = i
}

// SeedImport is a log of the seed to take over.
type SeedImport struct {
	Log, Sidecar io.ReadSeeker
	Digests      bool                  // keep the digest of each record, and not what it says
	Tell         func(seedlog.Finding) // is told of what is wrong with the log, and of what is odd
	Done         func(Imported) error  // is told of each entry, once it is there
}

// Verify reads the log and its sidecar, and tells of all that is wrong. It also returns how many events of it known has.
func (i *SeedImport) Verify(known map[string]Imported) (r *seedlog.Report, there uint64, err error) {
	n := uint64(0)
	r, err = seedlog.Verify(i.Log, i.Sidecar, i.Tell, func(l *seedlog.Line) error {
		if n++; known[l.Chain].Events == n {
			there = n
		}
		return nil
	})
	switch {
	case err != nil:
		return r, there, err
	case !r.Valid():
		return r, there, ErrBroken
	case r.Events == 0:
		return r, there, ErrEmpty
	}
	return r, there, nil
}

// Import verifies the log, and then records what known has not of it in the hand's ledger: entries of up to 5,000 records, each
// followed by the event that says how far the log goes with them. One that is cut short has taken over the events before;
// the next one goes on from there, and so does that of a log that was taken over and has grown.
func (i *SeedImport) Import(ctx context.Context, hand *provenance.Sealer, known map[string]Imported) (*seedlog.Report, error) {
	r, there, err := i.Verify(known)
	if err != nil {
		return r, err
	}
	if there == r.Events {
		return r, &ImportedError{known[r.Root]}
	}
	if _, err := i.Log.Seek(0, io.SeekStart); err != nil {
		return r, err
	}
	b, n, end := importBatch{SeedImport: i, hand: hand}, uint64(0), ""
	err = seedlog.Lines(i.Log, func(l *seedlog.Line) error {
		if n++; n > r.Events {
			return errEnd // the seed has written more since
		}
		end = l.Chain
		if n <= there {
			return nil
		}
		return b.add(ctx, l, n)
	})
	if errors.Is(err, errEnd) {
		err = nil
	}
	if err == nil && end != r.Root {
		return r, ErrChanged
	}
	if err == nil {
		err = b.flush(ctx)
	}
	return r, err
}

var errEnd = errors.New("the end")

// importBatch collects what becomes one entry.
type importBatch struct {
	*SeedImport
	hand        *provenance.Sealer
	events      []event.Event
	size        int
	whole       bool
	before      string // the chain's hash
	root, file  string // the chain's hash and the digest of the file, so far
	bytes       int64  // of the file, so far
	n           uint64 // events of the log, so far
	first, last time.Time
}

func (b *importBatch) add(ctx context.Context, l *seedlog.Line, n uint64) error {
	if l.Text == nil {
		return ErrChanged
	}
	parsed, err := seedlog.Parse(l.Text)
	if err != nil {
		return ErrChanged
	}
	if len(b.events) > 0 && (len(b.events) == maxRecords || b.size+len(l.Text) > maxTexts) {
		if err := b.flush(ctx); err != nil {
			return err
		}
	}
	if len(b.events) == 0 {
		b.before, b.whole, b.size, b.first, b.last = l.Before, true, 0, time.Time{}, time.Time{}
	}
	e := event.Event{Kind: logRecord, Data: map[string]any{"record_sha256": l.Hash}}
	at := time.UnixMilli(int64(min(parsed.Millis, 1<<62))).UTC() //nolint:gosec // bounded
	if stamp := envelope.Timestamp(at); envelope.CheckTime(stamp) == nil {
		e.At = stamp
		if b.first.IsZero() || at.Before(b.first) {
			b.first = at
		}
		if at.After(b.last) {
			b.last = at
		}
	}
	for name, s := range map[string]string{"original": parsed.Kind, "by": parsed.Issuer.Display} {
		if len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			e.Data[name] = s
		}
	}
	if len(l.Text) <= event.MaxText && utf8.Valid(l.Text) && !b.Digests {
		e.Data["record"] = string(l.Text)
	} else {
		b.whole = false
	}
	b.events, b.size = append(b.events, e), b.size+len(l.Text)
	b.n, b.root, b.bytes, b.file = n, l.Chain, l.End, l.FileSHA256()
	return nil
}

func (b *importBatch) flush(ctx context.Context) error {
	data := map[string]any{
		"format": seedFormat, "root": b.root, "events": int(b.n), "records": len(b.events), //nolint:gosec // of a file
		"file_sha256": b.file, "file_bytes": int(b.bytes),
	}
	if b.before != seedlog.Genesis {
		data["previous"] = b.before
	}
	if !b.first.IsZero() {
		data["first"], data["last"] = envelope.Timestamp(b.first), envelope.Timestamp(b.last)
	}
	places, err := Append(ctx, b.hand, true, append(b.events, event.Event{Kind: logImported, Data: data})...)
	if err != nil {
		return err
	}
	done := Imported{ID: places[0].ID, Principal: b.hand.Hand.Principal.Name, Root: b.root, Previous: b.before, Events: b.n, Whole: b.whole}
	b.events = b.events[:0]
	if b.Done == nil {
		return nil
	}
	return b.Done(done)
}
