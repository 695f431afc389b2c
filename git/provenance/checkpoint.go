package provenance

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// CheckpointAction is what a writer must be allowed whose checkpoints count as fresh.
const CheckpointAction = "audit.checkpoint"

// CheckpointWrong says that a checkpoint is not one of the entries that its writer names: a finding of the log.
const CheckpointWrong verdict.Code = "checkpoint.wrong"

// CheckpointStale says that the policy demands a checkpoint that is newer than there is: a warning for who only looks.
const CheckpointStale verdict.Code = "checkpoint.stale"

// Checkpoint is what a writer signed of all ledgers.
type Checkpoint struct {
	capability.Place
	event.Checkpoint
}

// A Signed checkpoint was held to the ledgers.
type Signed struct {
	Checkpoint
	Key       tlog.LogKey      // its log's
	Tree      tlog.Tree        // of the entries that its writer named by then, as far as they are here
	Note      *tlog.Checkpoint // what was signed; nil where it is none of the log's
	Witnessed []tlog.Witnessed // by the witnesses of the policy, cosignatures that came later included; in time order
	Err       error            // why it is not what the ledgers say
	Lacks     bool             // all that is wrong is that entries which it names are not here
}

// Covered is how far a writer's log reaches into each ledger.
type Covered map[string]envelope.Head

// Take adds the heads of one entry of the writer's ledger of checkpoints, and returns what the log gains by it: of each ledger, in
// their order, the numbers from the first to the last. A head that does not go on is no gain.
func (c Covered) Take(heads []envelope.Head) []Gain {
	var out []Gain
	for _, h := range heads {
		was := c[h.Ledger]
		if h.Seq > was.Seq {
			out = append(out, Gain{was, h})
			c[h.Ledger] = h
		}
	}
	return out
}

// Gain is what a log gains of one ledger: the entries after From, To included.
type Gain struct{ From, To envelope.Head }

// records returns the records that a gain stands for.
func (f *Facts) records(gains []Gain) iter.Seq2[tlog.Record, error] {
	return func(yield func(tlog.Record, error) bool) {
		for _, g := range gains {
			entries := f.wayTo(g.To)
			if entries == nil || g.From.Seq > 0 && entries[g.From.Seq-1].ID != g.From.ID {
				yield(tlog.Record{}, fmt.Errorf("%w: entry %d of %s is not here as it was named", errNotHere, g.To.Seq, g.To.Ledger))
				return
			}
			for i := range entries[g.From.Seq:g.To.Seq] {
				r, err := tlog.RecordOf(entries[g.From.Seq+uint64(i)].ID) //nolint:gosec // an index is no negative number
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

var errNotHere = errors.New("an entry of the log is missing")

// wayTo returns the entries of a ledger up to a head, as they stand here or in evidence of the other way that it went; nil where that entry is in
// neither.
func (f *Facts) wayTo(h envelope.Head) []verdict.Entry {
	ours := entriesOf(f.Chains[h.Ledger])
	has := func(list []verdict.Entry) bool { return uint64(len(list)) >= h.Seq && list[h.Seq-1].ID == h.ID }
	if has(ours) {
		return ours
	}
	for _, x := range f.forks {
		if x.chain.Name != h.Ledger || len(x.chain.Entries) == 0 {
			continue
		}
		first := x.chain.Entries[0].Header.Seq
		if first == 0 || first-1 > uint64(len(ours)) {
			continue
		}
		if list := slices.Concat(ours[:first-1], x.chain.Entries); has(list) {
			return list
		}
	}
	return nil
}

// edgeTiles keeps what a log needs to grow: its partial tiles.
type edgeTiles map[string][]byte

func (t edgeTiles) Tile(path string) ([]byte, error) {
	if b, ok := t[path]; ok {
		return b, nil
	}
	return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
}

func (t edgeTiles) put(tile tlog.Tile) error {
	if strings.Contains(tile.Path, ".p/") {
		t[tile.Path] = slices.Clone(tile.Data)
	}
	return nil
}

// Signed holds all checkpoints to the ledgers: each is computed again from the entries that its writer named. They come by
// ledger, oldest first.
//
// Cosignatures by clocks that are ahead of now count for nothing.
func (f *Facts) Signed(now time.Time) ([]Signed, error) {
	return f.signed(now, func(ledger.Writer) bool { return true })
}

// signed is Signed of the writers that are wanted.
func (f *Facts) signed(now time.Time, want func(ledger.Writer) bool) ([]Signed, error) {
	policy, err := witnesses(f.Root.Policy)
	if err != nil {
		return nil, err
	}
	policy = policy.Until(now.Add(verdict.Ahead))
	at := map[string]map[uint64]int{} // ledger → number → which of Checkpoints
	for i, c := range f.Checkpoints {
		if at[c.Ledger] == nil {
			at[c.Ledger] = map[uint64]int{}
		}
		at[c.Ledger][c.Seq] = i
	}
	var out []Signed
	for _, name := range slices.Sorted(maps.Keys(at)) {
		writer := ledger.Writer(writerOf(name))
		if !want(writer) {
			continue
		}
		key, kerr := LogKey(f.Root.ID, f.Authority, writer)
		tree, tiles, covered := tlog.Tree{}, edgeTiles{}, Covered{}
		for i := range f.Chains[name].Entries {
			e := &f.Chains[name].Entries[i]
			if e.Err != nil || !f.Chains[name].Whole(i) {
				break
			}
			var g tlog.Growth
			gerr := kerr
			if gerr == nil {
				if g, gerr = tlog.Grow(tree, tiles, f.records(covered.Take(e.Header.Heads)), tiles.put); gerr == nil {
					tree = g.Tree
					for _, path := range g.Superseded {
						delete(tiles, path)
					}
				}
				kerr = gerr // what follows can't be computed either
			}
			n, ok := at[name][e.Header.Seq]
			if !ok {
				continue
			}
			s := Signed{Checkpoint: f.Checkpoints[n], Key: key, Tree: tree, Err: gerr}
			note, err := tlog.Open([]byte(s.Checkpoint.Note), key)
			s.Note, s.Lacks = note, err == nil && errors.Is(gerr, errNotHere)
			if s.Err == nil {
				s.Err = err
			}
			if s.Err == nil && s.Note.Tree() != tree {
				s.Err = fmt.Errorf("%w: it says %d entries with root %s, and the ledgers make %d with root %s", tlog.ErrProof, s.Note.Tree().Size, s.Note.Tree().Root, tree.Size, tree.Root)
			}
			if s.Err == nil || s.Lacks {
				s.Witnessed = f.cosignatures(&s, policy)
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// witnesses reads the policy's witnesses. How many are needed is for who asks.
func witnesses(p *trust.Policy) (tlog.Policy, error) {
	if p == nil {
		return tlog.NewPolicy(0)
	}
	keys := make([]tlog.WitnessKey, 0, len(p.Witnesses))
	for _, text := range p.Witnesses {
		k, err := tlog.ParseWitnessKey(text)
		if err != nil {
			return tlog.Policy{}, fmt.Errorf("witness %.80q of the policy: %w", text, err)
		}
		keys = append(keys, k)
	}
	return tlog.NewPolicy(0, keys...)
}

// cosignatures are those of the policy's witnesses on a checkpoint, whoever brought them.
func (f *Facts) cosignatures(s *Signed, p tlog.Policy) []tlog.Witnessed {
	note := s.Note
	for _, c := range f.cosigned {
		if c.Checkpoint != s.ID {
			continue
		}
		if more, err := p.Join(note, []byte(c.Lines)); err == nil {
			note = more
		}
	}
	s.Note = note
	seen, err := p.Check(note)
	if err != nil {
		return nil
	}
	slices.SortFunc(seen, func(a, b tlog.Witnessed) int { return a.Time.Compare(b.Time) })
	return seen
}

// freshness is the newest checkpoint that counts.
type freshness struct {
	At     time.Time     `json:"at"`
	Writer ledger.Writer `json:"writer"`
}

// freshest returns the newest checkpoint by a writer who may, that the ledgers agree with, that the quorum of the policy's witnesses
// cosigned, and that was signed under no later version of the trust root than the one here. Its time is what its signer claims, or, where
// the policy names witnesses, when the last one that is needed saw it.
func (f *Facts) freshest(now time.Time) (freshness, error) {
	all, err := f.signed(now, func(w ledger.Writer) bool { return MayCheckpoint(f.Authority, w, now) })
	if err != nil {
		return freshness{}, fmt.Errorf("%w: %w", ErrFreshness, err)
	}
	need := 0
	if f.Root.Policy != nil {
		need = f.Root.Policy.WitnessQuorum
	}
	var best freshness
	why := errors.New("none is here")
	if len(f.Checkpoints) > 0 {
		why = fmt.Errorf("who made those that are here may not: it needs %s", CheckpointAction)
	}
	for i := range all {
		s := &all[i]
		at := s.Time
		switch {
		// What an agent took out of its own ledger is told as that, and makes nothing older; what is gone from a ledger of the trust root's keys condemns everything.
		case s.Err != nil && !s.Lacks:
			why = s.Err
			continue
		case !f.knowsRoot(s.Version, s.Root):
			why = fmt.Errorf("one was made under version %d of the trust root, %s, which is not here", s.Version, s.Root.Short())
			continue
		case need > 0:
			if len(s.Witnessed) < need {
				why = fmt.Errorf("too few witnesses saw one: %d of %d", len(s.Witnessed), need)
				continue
			}
			at = s.Witnessed[len(s.Witnessed)-need].Time // as many saw it then or later
		}
		if at.After(now.Add(verdict.Ahead)) {
			why = fmt.Errorf("one says to be of %s, which is to come", envelope.Timestamp(at))
			continue
		}
		if at.After(best.At) {
			best = freshness{At: at, Writer: ledger.Writer(writerOf(s.Ledger))}
		}
	}
	if best.Writer == "" {
		return best, fmt.Errorf("%w: %w", ErrFreshness, why)
	}
	return best, nil
}

// knowsRoot reports whether a version of the trust root is this one, or one that it follows.
func (f *Facts) knowsRoot(version int, id envelope.Digest) bool {
	if version > f.Root.Version {
		return false
	}
	for _, v := range f.Root.Versions {
		if v.Version == version {
			return v.ID == id
		}
	}
	return true // older than the pinned one, whose history is not read
}

// MayCheckpoint reports whether checkpoints of a writer count at a moment: whose key it is may make them.
func MayCheckpoint(a *capability.Authority, w ledger.Writer, now time.Time) bool {
	_, k, ok := WriterKey(a, w)
	return ok && a.Decide(capability.Query{KeyID: k.ID(), Action: CheckpointAction, At: now}).Allowed
}

// recent holds the newest checkpoint to the age that the policy allows.
func (f *Facts) recent(best freshness, now time.Time) error {
	age, demanded := f.Root.Policy.CheckpointAge()
	if !demanded {
		return nil
	}
	if !MayCheckpoint(f.Authority, best.Writer, now) {
		return fmt.Errorf("%w: who made the newest one may not: it needs %s", ErrFreshness, CheckpointAction)
	}
	if old := now.Sub(best.At); old > age {
		return fmt.Errorf("%w: the newest is of %s, and it may be %s old", ErrFreshness, envelope.Timestamp(best.At), age)
	}
	return nil
}

// freshEnough is nil where the policy demands no checkpoint, or there is one that is new enough.
func (f *Facts) freshEnough(now time.Time) (freshness, error) {
	if _, demanded := f.Root.Policy.CheckpointAge(); !demanded {
		return freshness{}, nil
	}
	best, err := f.freshest(now)
	if err != nil {
		return best, err
	}
	return best, f.recent(best, now)
}

// Fresh is nil where the policy demands no checkpoint, or one is new enough at that moment; else it wraps [ErrFreshness].
func (f *Facts) Fresh(now time.Time) error {
	_, err := f.freshEnough(now)
	return err
}
