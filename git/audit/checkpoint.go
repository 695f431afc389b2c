package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Refusals of proofs.
var (
	ErrNoEntry   = errors.New("no entry that the newest checkpoint covers has this name")
	ErrAmbiguous = errors.New("more than one entry of the log begins so")
	ErrUncovered = errors.New("the newest checkpoint does not cover it")
	ErrDropped   = errors.New("what it said was dropped, and a proof carries that; one that was made before holds")
)

// Made is a checkpoint that was written.
type Made struct {
	ID     envelope.Digest // its entry
	Ledger string
	Seq    uint64
	Note   *tlog.Checkpoint
	Key    tlog.LogKey
	Missed []string // ledgers of known writers that it does not cover to their ends, since they can't be followed
}

// Checkpoint signs all that the ledgers say, as far as the hand's writer can follow them: its log grows by what it had not
// seen, and the new tree is signed, in an entry of its ledger of topic checkpoint. It is signed also when nothing is new:
// that it is recent is worth something. The hand's key is a plain ed25519 one; else the error wraps [tlog.ErrKeyType].
//
// A log that can't be computed from the ledgers any more, since one of them went another way, goes on as a new one: the clone becomes
// a new replica.
func Checkpoint(ctx context.Context, k *provenance.Sealer, cache *provenance.Cache) (*Made, error) {
	made, err := checkpoint(ctx, k, cache)
	if errors.Is(err, errOwnLog) {
		if err := provenance.RenewReplica(k.Session.Repo()); err != nil {
			return nil, err
		}
		made, err = checkpoint(ctx, k, cache)
	}
	return made, err
}

var errOwnLog = errors.New("the log of this clone can't be computed from the ledgers")

func checkpoint(ctx context.Context, k *provenance.Sealer, cache *provenance.Cache) (*Made, error) {
	k.Far = true
	var l *Tlog
	var note *tlog.Checkpoint
	made, err := k.Compose(ctx, event.CheckpointTopic, func(name ledger.Name, heads []envelope.Head) ([]provenance.Item, error) {
		refs, err := ledgers(k.Session)
		if err != nil {
			return nil, err
		}
		if l, err = OpenLog(k.Session, cache, k.Root.ID, k.Authority, name, refs); errors.Is(err, provenance.ErrRolledBack) || errors.Is(err, ledger.ErrDamaged) {
			return nil, fmt.Errorf("%w: %w", errOwnLog, err)
		} else if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", name, err)
		}
		err = l.take(heads)
		if err != nil && !l.anew {
			if err = l.again(); err == nil {
				err = l.take(heads)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", name, err)
		}
		if note, err = tlog.Sign(l.Key.Origin(), l.tree, k.Hand.Signer); err != nil {
			return nil, err
		}
		return []provenance.Item{{
			Type: event.Checkpointed, Body: event.Checkpoint{Note: string(note.Bytes()), Root: k.Root.Digest, Version: k.Root.Version},
			Subject: fmt.Sprintf("checkpoint.signed %d entries", l.tree.Size),
		}}, nil
	})
	if err != nil {
		return nil, err
	}
	a := made[0]
	l.at.Entry, l.at.EntryID = a.Commit.String(), a.ID
	l.Note, l.text, l.ID, l.at.ID = note, note.Bytes(), a.ID, a.ID
	_ = l.save() // it is derived: the next one makes it
	return &Made{ID: a.ID, Ledger: a.Ledger.String(), Seq: a.Seq, Note: note, Key: l.Key, Missed: k.Missed()}, nil
}

// ledgers returns where the ledgers are.
func ledgers(s *git.Session) (map[string]oid.ID, error) {
	list, err := s.Tips(ledger.Prefix)
	if err != nil {
		return nil, err
	}
	out := make(map[string]oid.ID, len(list))
	for _, r := range list {
		out[r.Name] = r.ID
	}
	return out, nil
}

// Logs opens the logs of all writers of checkpoints that are known here, the largest first; a writer's name, or
// the beginning of one, picks. What can't be opened is in the errors.
func Logs(s *git.Session, cache *provenance.Cache, repository envelope.Digest, a *capability.Authority, writer string) ([]*Tlog, []error) {
	refs, err := ledgers(s)
	if err != nil {
		return nil, []error{err}
	}
	var out []*Tlog
	var errs []error
	for ref := range refs {
		name, ok := ledger.ParseRef(ref)
		if !ok || name.Topic != event.CheckpointTopic || !strings.HasPrefix(string(name.Writer), writer) {
			continue
		}
		l, err := OpenLog(s, cache, repository, a, name, refs)
		if err != nil {
			errs = append(errs, fmt.Errorf("the log of %s: %w", name, err))
			continue
		}
		_ = l.save() // it is derived
		if l.Note != nil {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(x, y *Tlog) int {
		return cmp.Or(cmp.Compare(y.Note.Tree().Size, x.Note.Tree().Size), cmp.Compare(x.name.Writer, y.name.Writer))
	})
	return out, errs
}

// Writer returns whose log it is.
func (l *Tlog) Writer() ledger.Writer { return l.name.Writer }

// Text returns the newest checkpoint with the cosignatures that came with it or later.
func (l *Tlog) Text() []byte { return l.text }

// Read has f read the log as the newest checkpoint has it. Where a tile turns out to be damaged the log is made anew, from the ledgers,
// and f is called once more.
func (l *Tlog) Read(f func(*tlog.View) error) error {
	read := func() error {
		v, err := tlog.At(l.Note.Tree(), l)
		if err != nil {
			return err
		}
		return f(v)
	}
	err := read()
	var damaged *tlog.TileError
	if l.anew || !errors.As(err, &damaged) {
		return err
	}
	if err := l.again(); err != nil {
		return err
	}
	_ = l.save() // it is derived
	return read()
}

// Where says at which place a log has an entry, and which commit holds it.
type Where struct {
	Index  uint64
	ID     envelope.Digest
	Commit oid.ID
}

// Find finds an entry by its identity, or by at least four digits that it begins with.
func (l *Tlog) Find(text string) (Where, error) {
	want := strings.TrimPrefix(text, "sha256:")
	whole, half := want[:len(want)&^1], ""
	if len(want)%2 == 1 {
		half = want[len(want)-1:]
	}
	prefix, err := hex.DecodeString(whole)
	if err != nil || len(want) < 4 || len(prefix) > 32 {
		return Where{}, fmt.Errorf("%w: %.80q", ErrNoEntry, text)
	}
	found, n := Where{Index: ^uint64(0)}, uint64(0)
	for rows, err := range l.indexed() {
		if err != nil {
			return Where{}, err
		}
		for ; len(rows) > 0; rows, n = rows[rowSize:], n+1 {
			r := rows[:rowSize]
			if !bytes.HasPrefix(r, prefix) || half != "" && !strings.HasPrefix(hex.EncodeToString(r[len(prefix):len(prefix)+1]), half) {
				continue
			}
			if found.Index != ^uint64(0) {
				return Where{}, fmt.Errorf("%w: %s", ErrAmbiguous, text)
			}
			found = Where{n, envelope.Digest("sha256:" + hex.EncodeToString(r[:32])), l.s.Repo().Format().FromBytes(r[32 : 32+l.s.Repo().Format().Size()])}
		}
	}
	if found.Index == ^uint64(0) {
		return Where{}, fmt.Errorf("%w: %s", ErrNoEntry, text)
	}
	if found.Index >= l.Note.Tree().Size {
		return found, ErrUncovered
	}
	return found, nil
}

// indexed gives the rows of the index, some at a time: as they are on disk, then what was gained since that was read. They are good
// until the next are asked for.
func (l *Tlog) indexed() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if !l.anew {
			n := l.tree.Size
			if len(l.rows) > 0 {
				n = l.first
			}
			f, err := os.Open(l.index())
			if err != nil {
				yield(nil, err)
				return
			}
			defer f.Close()
			buf := make([]byte, 4096*rowSize)
			for n > 0 {
				part := buf[:min(uint64(len(buf)), n*rowSize)]
				if _, err := io.ReadFull(f, part); err != nil {
					yield(nil, errors.Join(errIndex, err)) // it was cut since it was opened
					return
				}
				if !yield(part, nil) {
					return
				}
				n -= uint64(len(part)) / rowSize
			}
		}
		if len(l.rows) > 0 {
			yield(l.rows, nil)
		}
	}
}

// Prove makes a proof that the log has an entry, as the newest checkpoint has it, in the format of C2SP tlog-proof: it carries the
// entry's envelope, and needs nothing of this repository to be checked.
func (l *Tlog) Prove(at Where) (*tlog.Proof, error) {
	var hashes []tlog.Hash
	err := l.Read(func(v *tlog.View) (err error) {
		hashes, err = v.Inclusion(at.Index)
		return err
	})
	if err != nil {
		return nil, err
	}
	e, _, err := ledger.Read(l.s, at.Commit)
	if err != nil && !l.anew { // it stands in another commit since the ledger was pruned
		if err := l.again(); err != nil {
			return nil, err
		}
		_ = l.save() // it is derived
		if at, err = l.Find(string(at.ID)); err != nil {
			return nil, err
		}
		e, _, err = ledger.Read(l.s, at.Commit)
	}
	if err != nil {
		if c, cerr := l.s.Commit(at.Commit.String()); cerr == nil && ledger.Gapped([]git.Commit{c}) {
			return nil, ErrDropped
		}
		return nil, err
	}
	if e.ID() != at.ID {
		return nil, fmt.Errorf("%w: %s", ledger.ErrDamaged, at.Commit.Short())
	}
	r, err := tlog.RecordOf(e.ID())
	if err != nil {
		return nil, err
	}
	if err := l.Note.Tree().CheckInclusion(hashes, at.Index, r); err != nil {
		return nil, err // the index was wrong, or a tile
	}
	extra, err := e.Bytes()
	if err != nil {
		return nil, err
	}
	return &tlog.Proof{Extra: extra, Index: at.Index, Hashes: hashes, Checkpoint: l.text}, nil
}

// RecordOfEnvelope computes what a log has of the envelope that a proof carries.
func RecordOfEnvelope(extra []byte) (tlog.Record, error) {
	e, err := envelope.Parse(extra)
	if err != nil {
		return tlog.Record{}, err
	}
	return tlog.RecordOf(e.ID())
}

// LogKey finds the key of the log that an origin names, among the writers who are known.
func LogKey(repository envelope.Digest, a *capability.Authority, origin string) (tlog.LogKey, error) {
	i := strings.LastIndexByte(origin, '/')
	k, err := provenance.LogKey(repository, a, ledger.Writer(origin[i+1:]))
	if err == nil && string(k.Origin()) != origin {
		err = fmt.Errorf("%w: %.100q is of another repository", tlog.ErrOrigin, origin)
	}
	return k, err
}

// Wrong is what is wrong with checkpoints: those that the ledgers disagree with, and ledgers of them that were rolled back since this
// clone made a log of them.
//
// A nil cache remembers nothing.
func Wrong(f *provenance.Facts, cache *provenance.Cache, now time.Time) ([]verdict.Finding, error) {
	out := remembered(f, cache)
	signed, err := f.Signed(now)
	if err != nil {
		return out, err
	}
	for i := range signed {
		if x := &signed[i]; x.Err != nil {
			out = append(out, verdict.Finding{
				Code: provenance.CheckpointWrong, Object: string(x.ID), Message: fmt.Sprintf("checkpoint %d of %s: %v", x.Seq, x.Ledger, x.Err),
				Hint: "what is missing may come with: covenant sync; the checkpoint is the evidence: covenant audit checkpoints --json",
			})
		}
	}
	return out, nil
}

// remembered tells of ledgers of checkpoints that lack what this clone has made a log of: it remembers more than is there.
func remembered(f *provenance.Facts, cache *provenance.Cache) []verdict.Finding {
	var out []verdict.Finding
	for _, file := range cache.Names(statePrefix) {
		name := ledger.Name{Topic: event.CheckpointTopic, Writer: ledger.Writer(strings.TrimPrefix(file, statePrefix))}
		key, err := provenance.LogKey(f.Root.ID, f.Authority, name.Writer)
		if err != nil {
			continue // of somebody who is not known any more
		}
		at, ok := recallState(cache, name.Writer, key)
		if !ok || at.EntryID == "" {
			continue
		}
		c := f.Chains[name.String()]
		if c == nil || !slices.ContainsFunc(c.Entries, func(e verdict.Entry) bool { return e.ID == at.EntryID }) {
			out = append(out, verdict.Finding{
				Code: verdict.LedgerRolledBack, Object: name.String(), Message: fmt.Sprintf("this clone has made a log of %d entries from it, and it lacks the last of its own (%s)", at.Size, at.EntryID.Short()),
				Hint: "fetch it from who has it: covenant sync; to forget what was seen: rm .git/covenant/cache/" + file,
			})
		}
	}
	return out
}
