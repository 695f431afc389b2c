package sync

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

const notesRef = notes.Ref

// maxDiffers bounds on how many objects two views may differ.
const maxDiffers = 200_000

// view decides about the remote's notes view, and returns what makes ours of it: theirs, with what ours has and theirs lacks, and
// what the adopted entries call for. Nothing is ever taken out, and what both have costs nothing. The function is
// called again when our view moved.
func (in *incoming) view() (func() (oid.ID, error), error) {
	theirs := in.there[trackedNotes]
	if theirs == in.tracked[trackedNotes] || theirs.IsZero() {
		theirs = oid.ID{}
	} else if err := in.small(theirs); err != nil {
		if in.ctx.Err() != nil {
			return nil, err
		}
		in.rep.warn(verdict.NoteJunk, notesRef, "ask who keeps "+in.shown+" to delete it there; who syncs next sends a good one", "the notes view of %s was not taken: %v", in.shown, err)
		in.noView, theirs = true, oid.ID{}
	} else {
		in.keep[trackedNotes] = theirs
	}
	in.theirView = theirs
	return func() (oid.ID, error) {
		tip, err := in.join(in.theirView)
		if err != nil && in.ctx.Err() == nil { // a view is never worth losing a ledger for
			in.rep.warn(verdict.NoteJunk, notesRef, "covenant doctor --fix", "the notes views could not be joined: %v", err)
			in.noView = true
			return oid.ID{}, nil
		}
		return tip, err
	}, nil
}

// unseen is how much a view may add without a look at how much it has become, and viewOfAll how many times what all ledgers
// take, beside viewAtLeast: it is made of what they hold.
const (
	unseen      = 256 << 10
	viewOfAll   = 4
	viewAtLeast = 2 << 20
)

// small reports why a fetched view is not taken: it may use a quarter of what a fetch may bring, with its history all of it, no
// more than comes of ledgers as large as those here and there, and has the shape of a view.
func (in *incoming) small(tip oid.ID) error {
	added, err := in.usageOf([]oid.ID{tip}, in.ours[notesRef], in.tracked[trackedNotes])
	if err != nil {
		return err
	}
	if added > in.o.Limits.Bytes/4 {
		return fmt.Errorf("%w: it would add more than %d MiB", ErrTooMuch, in.o.Limits.Bytes>>22)
	}
	if added > unseen { // each time a little is as much in the end
		if all, err := in.usageOf([]oid.ID{tip}); err != nil {
			return err
		} else if all > in.o.Limits.Bytes {
			return fmt.Errorf("%w: with its history it has more than %d MiB", ErrTooMuch, in.o.Limits.Bytes>>20)
		}
		record, err := in.usageOf(in.allLedgers())
		if err != nil {
			return err
		}
		if added > viewOfAll*record+viewAtLeast {
			return fmt.Errorf("%w: it would add %d KiB, and all ledgers have %d KiB", ErrTooMuch, added>>10, record>>10)
		}
	}
	return notes.Check(in.qs, tip.String())
}

// allLedgers are the tips of all ledgers, here and there.
func (in *incoming) allLedgers() []oid.ID {
	var out []oid.ID
	for name, id := range in.there {
		if strings.HasPrefix(name, trackedLedgers) {
			out = append(out, id)
		}
	}
	for ref, id := range in.ours {
		if _, is := isLedger(ref); is && in.there[under(ref)] != id {
			out = append(out, id)
		}
	}
	return out
}

// usageOf is how many bytes some commits and all that they lead to take, without what others lead to.
func (in *incoming) usageOf(tips []oid.ID, without ...oid.ID) (int64, error) {
	var revs strings.Builder
	for _, id := range tips {
		fmt.Fprintln(&revs, id)
	}
	for _, id := range without {
		if !id.IsZero() {
			fmt.Fprintln(&revs, "^"+id.String())
		}
	}
	out, err := in.q.Run(in.ctx, strings.NewReader(revs.String()), "rev-list", "--disk-usage", "--objects", "--stdin")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// join returns the commit of the joined view; zero when nothing is to change.
func (in *incoming) join(theirs oid.ID) (oid.ID, error) {
	ours := in.ours[notesRef]
	var adds []notes.Add
	if in.facts != nil {
		from := map[string]int{} // ledger → index of the first adopted entry
		for ref := range in.moves {
			n, ok := isLedger(ref)
			if c := in.facts.Chains[n.String()]; ok && c != nil {
				at := slices.IndexFunc(c.Entries, func(e verdict.Entry) bool { return e.Commit == in.from[ref] })
				from[n.String()] = at + 1
			}
		}
		var err error
		if adds, err = in.facts.NotesOf(in.s, func(ledger string, index int) bool { at, ok := from[ledger]; return ok && index >= at }); err != nil {
			return oid.ID{}, err
		}
	}
	base := ours
	theirsToo := !theirs.IsZero() && theirs != ours
	if theirsToo && !ours.IsZero() {
		below, err := provenance.Forward(in.ctx, in.s, theirs, ours)
		if err != nil {
			return oid.ID{}, err
		}
		theirsToo = !below
	}
	if theirsToo {
		base = theirs
		lacking, err := in.lacking(theirs, ours)
		if err != nil {
			return oid.ID{}, err
		}
		adds = append(lacking, adds...)
	}
	if base.IsZero() && len(adds) == 0 {
		return oid.ID{}, nil
	}
	full := map[oid.ID]bool{}
	adds = slices.DeleteFunc(adds, func(a notes.Add) bool { return a.Hint && in.full(base, a.Object, full) })
	tip, err := notes.Edit(in.s, base, notes.Ident(in.o.Now), "joined with "+in.shown, adds)
	if err != nil || !theirsToo || ours.IsZero() {
		return tip, err
	}
	on, err := provenance.Forward(in.ctx, in.s, ours, theirs)
	if err != nil || on {
		return tip, err
	}
	// Whoever has ours must be able to go on from there: another remote does.
	return notes.Join(in.s, tip, ours, notes.Ident(in.o.Now), "joined with "+in.shown)
}

// full reports whether an object has as many pointers as are kept: then ours were evicted, and are not put back.
func (in *incoming) full(base, object oid.ID, known map[oid.ID]bool) bool {
	if base.IsZero() {
		return false
	}
	full, ok := known[object]
	if !ok {
		n := 0
		list, err := notes.Of(in.s, base.String(), object)
		for _, data := range list {
			n += len(envelope.Lines(data))
		}
		full = err == nil && n >= notes.MaxPointers
		known[object] = full
	}
	return full
}

// lacking returns the lines of our view that theirs has not.
func (in *incoming) lacking(theirs, ours oid.ID) ([]notes.Add, error) {
	if ours.IsZero() {
		return nil, nil
	}
	a, err := in.s.Commit(theirs.String())
	if err != nil {
		return nil, err
	}
	b, err := in.s.Commit(ours.String())
	if errors.Is(err, git.ErrMissing) {
		return nil, nil // ours is damaged: doctor rebuilds it
	}
	if err != nil || a.Tree == b.Tree {
		return nil, err
	}
	if notes.Check(in.s, ours.String()) != nil {
		return nil, nil // likewise
	}
	diff, err := in.s.Diff(a.Tree, b.Tree)
	if err != nil {
		return nil, err
	}
	if len(diff) > maxDiffers {
		return nil, fmt.Errorf("they differ on %d objects", len(diff))
	}
	var adds []notes.Add
	lost := 0
	for i := range diff {
		c := &diff[i]
		object, err := oid.Parse(strings.ReplaceAll(c.Path, "/", ""))
		if c.Status == 'D' || err != nil || !c.NewMode.IsRegular() {
			continue // they have more
		}
		o, err := in.s.Object(c.New.String(), envelope.MaxSize)
		if err != nil {
			return nil, err
		}
		there, err := notes.Of(in.s, theirs.String(), object)
		if err != nil {
			return nil, err
		}
		have := map[string]bool{}
		for _, data := range there {
			for _, l := range envelope.Lines(data) {
				have[string(l)] = true
			}
		}
		lines := envelope.Lines(o.Data)
		for _, l := range lines {
			if have[string(l)] {
				continue
			}
			add := notes.Add{Object: object, Line: bytes.Clone(l)}
			if _, err := notes.ParsePointer(l); err == nil {
				add.Hint = true
			}
			if len(lines) == 1 {
				add.Blob = c.New
			}
			adds = append(adds, add)
		}
		if len(there) == 0 {
			lost++
		}
	}
	if was := in.tracked[trackedNotes]; lost > 0 && was == ours {
		in.rep.warn(verdict.NoteMissing, notesRef, "", "%s has taken the notes on %d objects out of the view; they stay here, and are sent again", in.shown, lost)
	}
	return adds, nil
}
