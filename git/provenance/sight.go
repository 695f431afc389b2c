package provenance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// errForeign says that the hand's ledger is not as the hand left it.
var errForeign = errors.New("this ledger is not as its writer left it")

// seqOf reads the number of the hand's own newest entry.
func (k *Sealer) seqOf(name ledger.Name, _ oid.ID, e *envelope.Envelope) (uint64, error) {
	mine := k.Hand.Signer.Public()
	_, h, err := openEnvelope(e, k.Root.ID, func(id string) (envelope.Key, bool) { return mine, id == mine.ID() })
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errForeign, err)
	}
	if h.Ledger() != name.String() {
		return 0, fmt.Errorf("%w: its newest entry belongs to %s", errForeign, h.Ledger())
	}
	return h.Seq, nil
}

// sight is what a writer has seen of other ledgers: a local memory, so that an
// entry names only those that moved. Without it an entry names them all.
type sight struct {
	Tip   string              `json:"tip"`   // the writer's own newest entry when this was written
	TipID envelope.Digest     `json:"tipID"` // its identity
	Heads map[string]headSeen `json:"heads"` // by ledger
	Turn  uint64              `json:"turn"`  // how often it looked

	moved []envelope.Head
	own   oid.ID // the writer's newest entry as it was found
	tx    *ledger.Tx
}

type headSeen struct {
	Commit string          `json:"commit"`
	ID     envelope.Digest `json:"id"`
	Seq    uint64          `json:"seq"`
	Bad    string          `json:"bad,omitempty"` // a tip that can't be followed to what was seen before
	Turn   uint64          `json:"turn,omitzero"` // at which it was named last
}

// Limits of what one act looks at. What is left out is named by a later one.
const (
	maxMoved    = 64     // heads that one entry names
	maxHeads    = 4096   // heads that one entry names who looks at all, as many as a header has
	maxFollowed = 20_000 // entries read to link what moved to what was seen
	linked      = 64     // up to so many of them each signature is verified; of more, that of the last, which holds the others by their digests
	stepwise    = 16     // entries read one by one before a child lists them
)

// leftAt returns the commit of the newest entry that this clone itself wrote to a ledger of its own; "" where it does not remember.
func leftAt(r *git.Repo, name ledger.Name) string {
	v, _ := sightOf(r, name)
	return v.Tip
}

// sightOf reads what a writer of this clone had seen; false where nothing is remembered.
func sightOf(r *git.Repo, name ledger.Name) (v sight, ok bool) {
	b, err := os.ReadFile(filepath.Join(r.StateDir(), filepath.FromSlash(seenFile(name))))
	if err != nil || json.Unmarshal(b, &v) != nil {
		return sight{}, false
	}
	return v, true
}

// look compares the ledgers with what the writer saw last. A statement names only
// heads of chains that were followed from there: nobody can plant one that later
// looks rolled back.
func (k *Sealer) look(ctx context.Context, tx *ledger.Tx, name ledger.Name) (*sight, error) {
	v := &sight{Heads: map[string]headSeen{}, tx: tx}
	own := tx.Refs()[name.Ref()]
	v.own = own
	if old, ok := sightOf(k.Session.Repo(), name); ok {
		if err := k.mine(ctx, own, &old); err != nil {
			return nil, err
		}
		if old.Heads != nil {
			v.Heads = old.Heads
		}
		v.Turn = old.Turn
	}
	v.Turn++
	if _, err := tx.Tip(name); errors.Is(err, ledger.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	} else if err != nil {
		return nil, err
	}
	budget, most := maxFollowed, maxMoved
	if k.Far {
		budget, most = math.MaxInt, maxHeads
	}
	for _, n := range v.inTurn(name) {
		if len(v.moved) == most || budget <= 0 {
			break
		}
		commit, was := tx.Refs()[n.Ref()], v.Heads[n.String()]
		if err := k.knowAll(ctx, n); err != nil {
			return nil, err
		}
		now, err := k.follow(n, commit, was, &budget)
		if err != nil {
			was.Bad = commit.String()
			v.Heads[n.String()] = was
			continue
		}
		now.Turn = v.Turn
		v.Heads[n.String()] = now
		if now.Seq == was.Seq { // it stands in other commits than it did, and has nothing new
			continue
		}
		v.moved = append(v.moved, envelope.Head{Ledger: n.String(), Seq: now.Seq, ID: now.ID})
	}
	k.missed = nil
	for ref, commit := range tx.Refs() {
		if n, ok := ledger.ParseRef(ref); ok && n != name && v.Heads[n.String()].Bad == commit.String() && k.knows(n) {
			k.missed = append(k.missed, n.String())
		}
	}
	slices.Sort(k.missed)
	slices.SortFunc(v.moved, func(a, b envelope.Head) int { return cmp.Compare(a.Ledger, b.Ledger) })
	return v, nil
}

// inTurn returns the ledgers, other than the writer's own, that moved: one of each key, then another of each, and so on; first the
// keys of which the writer named none for longest. Whoever moves many ledgers does not keep it from naming others'.
func (v *sight) inTurn(own ledger.Name) []ledger.Name {
	last := map[string]uint64{} // key → when one of its ledgers was named last
	for name, h := range v.Heads {
		last[writerKey(name)] = max(last[writerKey(name)], h.Turn)
	}
	of := map[string][]ledger.Name{}
	for ref, commit := range v.tx.Refs() {
		n, ok := ledger.ParseRef(ref)
		if was := v.Heads[n.String()]; ok && n != own && was.Commit != commit.String() && was.Bad != commit.String() {
			of[writerKey(n.String())] = append(of[writerKey(n.String())], n)
		}
	}
	keys := slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(cmp.Compare(last[a], last[b]), cmp.Compare(a, b)) })
	for _, k := range keys {
		slices.SortFunc(of[k], func(a, b ledger.Name) int {
			return cmp.Or(cmp.Compare(v.Heads[a.String()].Turn, v.Heads[b.String()].Turn), cmp.Compare(a.String(), b.String()))
		})
	}
	var out []ledger.Name
	for more := true; more; {
		more = false
		for _, k := range keys {
			if list := of[k]; len(list) > 0 {
				out, of[k], more = append(out, list[0]), list[1:], true
			}
		}
	}
	return out
}

// mine holds the hand's own tip to the one it left: it is that, or follows it, in whatever commits.
func (k *Sealer) mine(ctx context.Context, own oid.ID, left *sight) error {
	id, err := oid.Parse(left.Tip)
	if err != nil || id == own {
		return nil //nolint:nilerr // there was none
	}
	if own.IsZero() {
		return fmt.Errorf("%w: it is gone", errForeign)
	}
	if _, err := k.Session.Repo().Run(ctx, nil, "merge-base", "--is-ancestor", left.Tip, own.String()); err == nil {
		return nil
	}
	slots, err := ledger.Chain(k.Session, own)
	for i := len(slots) - 1; i >= 0 && err == nil && left.TipID != ""; i-- {
		if slots[i].Dropped == left.TipID {
			return nil
		}
		if slots[i].Dropped == "" {
			if e, _, err := ledger.Read(k.Session, slots[i].Commit); err == nil && e.ID() == left.TipID {
				return nil // others have pruned it
			}
		}
	}
	return fmt.Errorf("%w: it no longer has entry %s", errForeign, id.Short())
}

// knowAll makes sure that the writers of a ledger that moved are known: an
// operator's authority is the trust root alone until somebody else's ledger matters.
func (k *Sealer) knowAll(ctx context.Context, n ledger.Name) error {
	if k.all || k.knows(n) {
		return nil
	}
	return k.knowEverybody(ctx)
}

// knowEverybody reads who holds what of the ledgers, once.
func (k *Sealer) knowEverybody(ctx context.Context) error {
	f, err := loadTopics(ctx, k.Session, k.Root, CapabilityTopic+"/")
	if err != nil {
		return err
	}
	k.Authority, k.all = f.Authority, true
	return nil
}

// knows reports whether a ledger's writer is known by its name.
func (k *Sealer) knows(n ledger.Name) bool {
	_, _, ok := WriterKey(k.Authority, n.Writer)
	return ok
}

// follow links a ledger's tip, entry by entry, to the one seen before. Of what was dropped there are identities, and the entry behind it is signed.
func (k *Sealer) follow(n ledger.Name, tip oid.ID, was headSeen, budget *int) (headSeen, error) {
	slots, err := k.fresh(tip, was, budget)
	if err != nil {
		return was, err
	}
	if len(slots) == 0 {
		return headSeen{Commit: tip.String(), ID: was.ID, Seq: was.Seq}, nil
	}
	seq, prev := was.Seq, was.ID
	i := 0
	skip := func() {
		for ; i < len(slots) && slots[i].Dropped != ""; i++ {
			seq, prev = seq+1, slots[i].Dropped
		}
	}
	skip()
	for o, err := range k.Session.Objects(func(yield func(string) bool) {
		for _, x := range slots {
			if x.Dropped == "" && !yield(x.Commit.String()+":"+ledger.File) {
				return
			}
		}
	}, envelope.MaxSize) {
		if i == len(slots) {
			break
		}
		if err != nil {
			return was, err
		}
		i++
		e, err := ledger.ParseBlob(o.Data)
		if err != nil {
			return was, err
		}
		var h envelope.Header
		key, known := PublicKey(k.Authority, e.KeyIDs()[0])
		if k.Far || len(slots) <= linked || i == len(slots) {
			_, h, err = openEnvelope(e, k.Root.ID, k.Authority.Ring)
		} else if o, oerr := e.OpenPinned(e.PayloadType(), e.ID()); oerr == nil { // the one after it holds its digest, and the last one is signed
			h, err = envelope.HeaderOf(o)
		} else {
			err = oerr
		}
		switch {
		case err != nil:
			return was, err
		case !known || !n.Writer.OfKey(key.Digest()), h.Ledger() != n.String(), h.Seq != seq+1, h.Prev != prev:
			return was, fmt.Errorf("%w: entry %d of %s", ledger.ErrDamaged, seq+1, n)
		}
		seq, prev = h.Seq, e.ID()
		skip()
	}
	if i < len(slots) || slots[i-1].Dropped != "" {
		return was, fmt.Errorf("%w: %s", ledger.ErrDamaged, n)
	}
	return headSeen{Commit: slots[i-1].Commit.String(), ID: prev, Seq: seq}, nil
}

// fresh lists the entries after the one seen before, oldest first; of more than the budget, those that come first. None: it has what was
// seen and no more, in other commits.
func (k *Sealer) fresh(tip oid.ID, was headSeen, budget *int) ([]ledger.Slot, error) {
	var list []git.Commit
	id := tip
	for range stepwise {
		c, err := k.Session.Commit(id.String())
		if err != nil {
			return nil, err
		}
		list = append(list, c)
		end := "" // of the chain: what was seen before, or its beginning
		switch len(c.Parents) {
		case 0:
		case 1:
			id = c.Parents[0]
			end = id.String()
		default:
			return nil, ledger.ErrDamaged
		}
		if end == was.Commit {
			slices.Reverse(list)
			*budget -= len(list)
			return ledger.Expand(k.Session, list)
		}
		if end == "" {
			return k.rewrapped(tip, was, budget) // it does not have that commit
		}
	}
	q := git.LogQuery{Revs: []string{tip.String()}}
	if was.Commit != "" {
		q.Revs = append(q.Revs, "^"+was.Commit)
	}
	list = list[:0]
	last := was.Commit
	for c, err := range k.Session.Log(q) {
		if errors.Is(err, git.ErrMissing) && was.Commit != "" { // it was collected
			return k.rewrapped(tip, was, budget)
		}
		if err != nil {
			return nil, err
		}
		if len(list) > 0 && *budget <= 0 && !ledger.Gapped(list[len(list)-1:]) {
			break // the rest is for another time
		}
		*budget--
		if len(c.Parents) > 1 || (len(c.Parents) == 1) != (last != "") || (last != "" && c.Parents[0].String() != last) {
			if was.Commit == "" {
				return nil, ledger.ErrDamaged
			}
			return k.rewrapped(tip, was, budget)
		}
		list = append(list, c)
		last = c.ID.String()
	}
	if len(list) == 0 {
		return k.rewrapped(tip, was, budget)
	}
	return ledger.Expand(k.Session, list)
}

// rewrapped is fresh of a ledger whose entries stand in other commits than they did: what was seen is found by its number and identity.
func (k *Sealer) rewrapped(tip oid.ID, was headSeen, budget *int) ([]ledger.Slot, error) {
	if was.Seq == 0 {
		return nil, ledger.ErrDamaged
	}
	all, err := ledger.Chain(k.Session, tip)
	if err != nil {
		return nil, err
	}
	if was.Seq > uint64(len(all)) {
		return nil, ledger.ErrDamaged // it does not have what was seen
	}
	id := all[was.Seq-1].Dropped
	if id == "" {
		if e, _, err := ledger.Read(k.Session, all[was.Seq-1].Commit); err == nil {
			id = e.ID()
		}
	}
	if id != was.ID {
		return nil, fmt.Errorf("%w: entry %d is another one than was seen", ledger.ErrDamaged, was.Seq)
	}
	rest := all[was.Seq:]
	n := min(len(rest), max(1, *budget))
	for n > 0 && n < len(rest) && rest[n-1].Dropped != "" {
		n++
	}
	*budget -= n
	return rest[:n], nil
}

// remember stores what was seen. It is a memory only: failing to write it costs some bytes later.
func (v *sight) remember(r *git.Repo, name ledger.Name) {
	tip, err := v.tx.Tip(name)
	if err != nil {
		return
	}
	v.Tip, v.TipID = tip.Commit.String(), tip.ID
	v.keep(r, name)
}

func (v *sight) keep(r *git.Repo, name ledger.Name) {
	if b, err := json.Marshal(v); err == nil {
		_ = r.WriteState(seenFile(name), append(b, '\n'))
	}
}

func seenFile(n ledger.Name) string {
	return path.Join("seen", strings.Join([]string{n.Topic, string(n.Writer)}, "-")+".json")
}
