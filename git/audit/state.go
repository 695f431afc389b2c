package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// TlogPrefix is where the logs stand that writers keep of all ledgers, as trees of tiles: refs/covenant-tlog/<writer>. They are
// made from the ledgers of topic checkpoint, of this clone's writers and of others, and are not sent: who takes them away loses time.
// They are not believed: how far a log was made is remembered elsewhere, authenticated with a key of the user's outside the repository
// ([provenance.Cache]); without that memory, as in CI, it is made from the ledgers each time.
const TlogPrefix = "refs/covenant-tlog/"

// noteFile is the newest checkpoint in the tree of a log, beside the tiles, for who serves it.
const noteFile = "checkpoint"

// ErrNoCheckpoint says that nobody has checkpointed the ledgers.
var ErrNoCheckpoint = errors.New("there is no checkpoint here")

var errIndex = errors.New("the log and its index don't fit: run it again")

// state says how far a log was made.
type state struct {
	Entry   string          `json:"entry"`   // commit of the writer's newest entry that was taken in
	EntryID envelope.Digest `json:"entryID"` // its identity
	Text    string          `json:"text"`    // the newest checkpoint, with cosignatures
	ID      envelope.Digest `json:"id"`      // of the newest checkpoint among them
	Size    uint64          `json:"size"`
	Root    tlog.Hash       `json:"root"`
	Covered map[string]row  `json:"covered"` // by ledger
}

// row is an entry of a ledger.
type row struct {
	Seq    uint64          `json:"seq"`
	ID     envelope.Digest `json:"id"`
	Commit oid.ID          `json:"commit"`
}

// A Tlog is the log of one writer of checkpoints, as this clone makes it from the ledgers.
type Tlog struct {
	Key  tlog.LogKey
	Note *tlog.Checkpoint // the newest checkpoint, nil when there is none
	ID   envelope.Digest  // its entry

	s     *git.Session
	cache *provenance.Cache
	name  ledger.Name
	ring  envelope.Keyring
	tip   oid.ID // of the ledger, when it was opened
	was   oid.ID // of TlogPrefix, likewise; zero when there is none
	at    state
	tree  tlog.Tree
	text  []byte // the newest checkpoint, as it was found in its entry or in the log
	tiles map[string][]byte
	gone  []string
	rows  []byte          // what the index gains: 64 bytes for each entry
	first uint64          // its number
	anew  bool            // what was there is not believed
	had   envelope.Digest // the last entry that was taken in, as it is remembered
	met   bool            // it was met again since
	refs  map[string]oid.ID
}

// rowSize is what an entry has in the index: its identity, and the object id of its commit, filled up with zeros.
const rowSize = 64

// OpenLog opens the log of a writer of checkpoints, and takes in what it has gained. refs are the ledgers. A nil cache remembers nothing.
func OpenLog(s *git.Session, cache *provenance.Cache, repository envelope.Digest, a *capability.Authority, name ledger.Name, refs map[string]oid.ID) (*Tlog, error) {
	l := &Tlog{s: s, cache: cache, name: name, ring: a.Ring, tip: refs[name.Ref()], refs: refs}
	key, err := provenance.LogKey(repository, a, name.Writer)
	if err != nil {
		return nil, err
	}
	l.Key = key
	if err = l.load(); err == nil {
		err = l.catchUp()
	}
	if err != nil && !errors.Is(err, provenance.ErrRolledBack) { // what is derived may be damaged: once more, from the ledgers
		err = l.again()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Tlog) reset() {
	l.at = state{Covered: map[string]row{}}
	l.tree, l.Note, l.text, l.ID = tlog.Tree{}, nil, nil, ""
	l.tiles, l.gone, l.rows, l.first, l.anew = map[string][]byte{}, nil, nil, 0, true
}

// load reads what was made before.
func (l *Tlog) load() error {
	l.tiles = map[string][]byte{}
	at, ok := recallState(l.cache, l.name.Writer, l.Key)
	l.at, l.had = at, at.EntryID
	c, err := l.s.Commit(TlogPrefix + string(l.name.Writer))
	if err != nil {
		return err
	}
	if l.was = c.ID; !ok {
		return errors.New("nothing is remembered of it")
	}
	if l.at.Covered == nil {
		l.at.Covered = map[string]row{}
	}
	l.tree = tlog.Tree{Size: l.at.Size, Root: l.at.Root}
	sum := uint64(0)
	for _, r := range l.at.Covered {
		sum += r.Seq
	}
	if info, err := os.Stat(l.index()); err != nil || sum != l.at.Size || uint64(info.Size()) != l.at.Size*rowSize { //nolint:gosec // a size is no negative number
		return errIndex
	}
	if l.at.ID == "" {
		return nil
	}
	l.ID, l.text = l.at.ID, []byte(l.at.Text)
	l.Note, err = tlog.Open(l.text, l.Key)
	return err
}

// stateName names what is remembered of a writer's log.
func stateName(w ledger.Writer) string { return statePrefix + string(w) }

const statePrefix = "tlog-"

// recallState returns how far a log was made, as it was remembered under its key.
func recallState(c *provenance.Cache, w ledger.Writer, key tlog.LogKey) (at state, ok bool) {
	body := c.Recall(stateName(w), key.String())
	return at, body != nil && json.Unmarshal(body, &at) == nil
}

// index is the file that says where the entries of a log are.
func (l *Tlog) index() string {
	return filepath.Join(l.s.Repo().StateDir(), filepath.FromSlash(l.indexName()))
}

func (l *Tlog) indexName() string { return "tlog/" + string(l.name.Writer) }

// Tile implements [tlog.Tiles].
func (l *Tlog) Tile(path string) ([]byte, error) {
	if b, ok := l.tiles[path]; ok {
		return b, nil
	}
	if l.was.IsZero() || l.anew {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	o, err := l.s.Object(l.was.String()+":"+path, 64<<10)
	if errors.Is(err, git.ErrMissing) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return o.Data, err
}

// catchUp takes in the entries of the writer's ledger that came since.
func (l *Tlog) catchUp() error {
	if l.tip.IsZero() || l.at.Entry == l.tip.String() {
		return nil
	}
	q := git.LogQuery{Revs: []string{l.tip.String()}}
	if l.at.Entry != "" {
		q.Revs = append(q.Revs, "^"+l.at.Entry)
	}
	last := l.at.Entry
	var ids []oid.ID
	for c, err := range l.s.Log(q) {
		if err != nil {
			return err
		}
		if len(c.Parents) > 1 || (len(c.Parents) == 1) != (last != "") || (last != "" && c.Parents[0].String() != last) {
			return fmt.Errorf("%w: %s does not go on from %s", ledger.ErrDamaged, l.name, last)
		}
		ids, last = append(ids, c.ID), c.ID.String()
	}
	if len(ids) == 0 {
		return fmt.Errorf("%w: %s no longer has entry %s", provenance.ErrRolledBack, l.name, l.at.Entry)
	}
	for _, id := range ids {
		e, _, err := ledger.Read(l.s, id)
		if err != nil {
			return err
		}
		o, err := e.Open(envelope.TypeLedger, 1, l.ring)
		if err != nil {
			return fmt.Errorf("entry %s of %s: %w", id.Short(), l.name, err)
		}
		h, err := envelope.HeaderOf(o)
		if err != nil {
			return err
		}
		if err := l.take(h.Heads); err != nil {
			return fmt.Errorf("entry %d of %s: %w", h.Seq, l.name, err)
		}
		l.at.Entry, l.at.EntryID = id.String(), e.ID()
		l.met = l.met || e.ID() == l.had
		if c, err := event.ParseCheckpoint(o); err == nil {
			l.checkpoint(e.ID(), []byte(c.Body.Note))
		}
		if c, err := event.ParseCosigning(o); err == nil && c.Body.Checkpoint == l.ID {
			l.cosign([]byte(c.Body.Lines))
		}
	}
	return nil
}

// checkpoint takes in a checkpoint of exactly this tree. One of another is passed by: [provenance.Facts.Signed] tells of it.
func (l *Tlog) checkpoint(id envelope.Digest, note []byte) {
	if c, err := tlog.Open(note, l.Key); err == nil && c.Tree() == l.tree {
		l.Note, l.text, l.ID, l.at.ID = c, note, id, id
	}
}

// cosign adds lines to the newest checkpoint; what they prove is for whoever knows the witnesses.
func (l *Tlog) cosign(lines []byte) {
	text, err := tlog.Tidy(slices.Concat(l.text, lines))
	if err != nil {
		return
	}
	if c, err := tlog.Open(text, l.Key); err == nil {
		l.Note, l.text = c, text
	}
}

// take grows the log by what an entry named.
func (l *Tlog) take(heads []envelope.Head) error {
	if len(heads) == 0 {
		return nil
	}
	covered := provenance.Covered{}
	for _, h := range heads {
		if r, ok := l.at.Covered[h.Ledger]; ok {
			covered[h.Ledger] = envelope.Head{Ledger: h.Ledger, Seq: r.Seq, ID: r.ID}
		}
	}
	gains := covered.Take(heads)
	if len(l.rows) == 0 {
		l.first = l.tree.Size
	}
	mark := len(l.rows)
	ends := map[string]row{}
	g, err := tlog.Grow(l.tree, l, l.records(gains, ends), func(t tlog.Tile) error {
		l.tiles[t.Path] = bytes.Clone(t.Data)
		return nil
	})
	if err != nil {
		l.rows = l.rows[:mark]
		return err
	}
	l.gone = append(l.gone, g.Superseded...)
	l.tree = g.Tree
	l.at.Size, l.at.Root = g.Tree.Size, g.Tree.Root
	maps.Copy(l.at.Covered, ends)
	return nil
}

// records reads the identities of the entries that a log gains, and notes where they are.
func (l *Tlog) records(gains []provenance.Gain, ends map[string]row) iter.Seq2[tlog.Record, error] {
	return func(yield func(tlog.Record, error) bool) {
		for _, g := range gains {
			n := uint64(0)
			var last row
			for r, err := range l.entries(g) {
				if err == nil {
					n++
					last = r
				}
				var rec tlog.Record
				if err == nil {
					rec, err = tlog.RecordOf(r.ID)
				}
				if err == nil {
					l.rows = append(append(l.rows, rec[:]...), commitBytes(r.Commit)...)
				}
				if !yield(rec, err) || err != nil {
					return
				}
			}
			if last.ID != g.To.ID || n != g.To.Seq-g.From.Seq {
				yield(tlog.Record{}, fmt.Errorf("%w: entry %d of %s is not here as it was named", ledger.ErrDamaged, g.To.Seq, g.To.Ledger))
				return
			}
			ends[g.To.Ledger] = last
		}
	}
}

func commitBytes(id oid.ID) []byte {
	var b [rowSize - 32]byte
	copy(b[:], id.Bytes())
	return b[:]
}

// entries reads the entries of a gain, oldest first.
func (l *Tlog) entries(g provenance.Gain) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		tip, ok := l.refs[ledger.Prefix+g.To.Ledger]
		if !ok {
			yield(row{}, fmt.Errorf("%w: ledger %s is not here", ledger.ErrDamaged, g.To.Ledger))
			return
		}
		slots, err := l.slots(g, tip)
		if err != nil {
			yield(row{}, err)
			return
		}
		at := func(i int, id envelope.Digest) row { return row{g.From.Seq + uint64(i) + 1, id, slots[i].Commit} } //nolint:gosec // an index is no negative number
		i := 0
		dropped := func() bool {
			for ; i < len(slots) && slots[i].Dropped != ""; i++ {
				if !yield(at(i, slots[i].Dropped), nil) {
					return false
				}
			}
			return true
		}
		if !dropped() {
			return
		}
		for o, err := range l.s.Objects(func(yield func(string) bool) {
			for _, x := range slots {
				if x.Dropped == "" && !yield(x.Commit.String()+":"+ledger.File) {
					return
				}
			}
		}, envelope.MaxSize) {
			if i == len(slots) {
				return
			}
			var e *envelope.Envelope
			if err == nil {
				e, err = ledger.ParseBlob(o.Data)
			}
			if err != nil {
				yield(row{}, fmt.Errorf("%w: entry %d of %s: %w", ledger.ErrDamaged, at(i, "").Seq, g.To.Ledger, err))
				return
			}
			if !yield(at(i, e.ID()), nil) {
				return
			}
			if i++; !dropped() {
				return
			}
		}
	}
}

// slots lists where the entries of a gain stand, oldest first.
func (l *Tlog) slots(g provenance.Gain, tip oid.ID) ([]ledger.Slot, error) {
	want := g.To.Seq - g.From.Seq
	if was, had := l.at.Covered[g.To.Ledger]; had {
		slots, err := l.since(was.Commit, tip, want)
		if slots != nil || err != nil {
			return slots, err
		}
	}
	commits, err := l.commits(git.LogQuery{Revs: []string{tip.String()}}, g.To.Seq)
	if err != nil {
		return nil, err
	}
	slots, err := ledger.Expand(l.s, commits)
	if err != nil || uint64(len(slots)) < g.To.Seq {
		return nil, errors.Join(err, fmt.Errorf("%w: %s has %d entries", ledger.ErrDamaged, g.To.Ledger, len(slots)))
	}
	if g.From.Seq > 0 { // it was taken in from other commits, and must be the same
		last := slots[g.From.Seq-1]
		if last.Dropped == "" {
			e, _, err := ledger.Read(l.s, last.Commit)
			if err != nil {
				return nil, err
			}
			last.Dropped = e.ID()
		}
		if last.Dropped != g.From.ID {
			return nil, fmt.Errorf("%w: entry %d of %s is not as it was named", ledger.ErrDamaged, g.From.Seq, g.To.Ledger)
		}
	}
	return slots[g.From.Seq:g.To.Seq], nil
}

// since lists the places that follow a commit; nil where it is not in the chain any more, or stands for more than one entry.
func (l *Tlog) since(was, tip oid.ID, want uint64) ([]ledger.Slot, error) {
	c, err := l.s.Commit(was.String())
	if errors.Is(err, git.ErrMissing) || err == nil && ledger.Gapped([]git.Commit{c}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	commits, err := l.commits(git.LogQuery{Revs: []string{tip.String(), "^" + was.String()}}, want)
	if err != nil || len(commits) == 0 || !slices.Contains(commits[0].Parents, was) {
		return nil, err
	}
	slots, err := ledger.Expand(l.s, commits)
	return slots[:min(uint64(len(slots)), want)], err
}

// commits lists what a query selects, oldest first; so many at most.
func (l *Tlog) commits(q git.LogQuery, most uint64) ([]git.Commit, error) {
	out := make([]git.Commit, 0, min(most, 1<<20))
	for c, err := range l.s.Log(q) {
		if err != nil {
			return nil, err
		}
		if uint64(len(out)) == most {
			break
		}
		out = append(out, c)
	}
	return out, nil
}

// again makes the log anew, from the ledgers: what was there is damaged. What is remembered to have been the last entry must be among
// those of the ledger, in whatever commit.
func (l *Tlog) again() error {
	l.reset()
	if err := l.catchUp(); err != nil {
		return err
	}
	if l.had != "" && !l.met {
		return fmt.Errorf("%w: %s no longer has entry %s", provenance.ErrRolledBack, l.name, l.had.Short())
	}
	return nil
}

// save writes what the log gained, if anything. What is derived need not be written: an error costs time, the next time. Where nothing
// is remembered nothing is written.
func (l *Tlog) save() error {
	l.at.Text = string(l.text)
	if l.cache == nil || !l.anew && len(l.tiles) == 0 && !l.was.IsZero() && l.unchanged() {
		return nil
	}
	base := oid.ID{}
	if !l.anew && !l.was.IsZero() {
		c, err := l.s.Commit(l.was.String())
		if err != nil {
			return err
		}
		base = c.Tree
	}
	set := map[string]oid.ID{}
	for _, path := range l.gone {
		set[path] = oid.ID{}
	}
	for path, b := range l.tiles {
		set[path] = l.s.Put("blob", b)
	}
	text, err := json.Marshal(l.at)
	if err != nil {
		return err
	}
	if l.text != nil {
		set[noteFile] = l.s.Put("blob", l.text)
	}
	tree, err := edit(l.s, base, set)
	if err != nil {
		return err
	}
	who := git.Ident{Name: "covenant", Email: string(l.name.Writer) + "@covenant"}
	commit := l.s.Put("commit", git.EncodeCommit(tree, nil, who, who, fmt.Sprintf("log of %d entries\n", l.at.Size)))
	if err := l.s.Update("covenant", git.RefUpdate{Name: TlogPrefix + string(l.name.Writer), New: commit, Old: l.was}); err != nil {
		return err
	}
	if err := l.extend(); err != nil { // only who moved the ref
		return err
	}
	l.cache.Keep(stateName(l.name.Writer), l.Key.String(), text)
	return nil
}

// unchanged reports whether what was made before is what there is.
func (l *Tlog) unchanged() bool {
	text, err := json.Marshal(l.at)
	return err == nil && bytes.Equal(l.cache.Recall(stateName(l.name.Writer), l.Key.String()), text)
}

// extend writes what the index gains. Where it does not fit what is remembered, since somebody died or was overtaken here, the log is made anew.
func (l *Tlog) extend() error {
	if l.anew {
		return l.s.Repo().WriteState(l.indexName(), l.rows)
	}
	if len(l.rows) == 0 {
		return nil
	}
	f, err := os.OpenFile(l.index(), os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(l.rows, int64(l.first)*rowSize) //nolint:gosec // below 2^53 entries
	if err == nil {
		err = f.Truncate(int64(l.first)*rowSize + int64(len(l.rows))) //nolint:gosec // likewise
	}
	return errors.Join(err, f.Close())
}

// edit returns a tree with blobs put at paths, or, where they are zero, taken away.
func edit(s *git.Session, base oid.ID, set map[string]oid.ID) (oid.ID, error) {
	var entries []git.TreeEntry
	if !base.IsZero() {
		o, err := s.Object(base.String(), 16<<20)
		if err != nil {
			return oid.ID{}, err
		}
		if entries, err = git.ParseTree(s.Repo().Format(), o.Data); err != nil {
			return oid.ID{}, err
		}
	}
	put := func(name string, mode git.Mode, id oid.ID) {
		entries = slices.DeleteFunc(entries, func(e git.TreeEntry) bool { return e.Name == name })
		if !id.IsZero() {
			entries = append(entries, git.TreeEntry{Mode: mode, Name: name, ID: id})
		}
	}
	below := map[string]map[string]oid.ID{}
	for path, id := range set {
		dir, rest, deep := strings.Cut(path, "/")
		if !deep {
			put(path, git.ModeFile, id)
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]oid.ID{}
		}
		below[dir][rest] = id
	}
	for dir, inner := range below {
		old := oid.ID{}
		if i := slices.IndexFunc(entries, func(e git.TreeEntry) bool { return e.Name == dir && e.Mode == git.ModeTree }); i >= 0 {
			old = entries[i].ID
		}
		id, err := edit(s, old, inner)
		if err != nil {
			return oid.ID{}, err
		}
		put(dir, git.ModeTree, id)
	}
	if len(entries) == 0 {
		return oid.ID{}, nil
	}
	b, err := git.EncodeTree(entries)
	if err != nil {
		return oid.ID{}, err
	}
	return s.Put("tree", b), nil
}
