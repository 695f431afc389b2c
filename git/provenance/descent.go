package provenance

import (
	"cmp"
	"slices"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// maxEnter bounds where work that is not in the history may have left it, and maxAway the commits between.
const (
	maxEnter = 64
	maxAway  = 100_000
)

// An origin names a commit that is not in the history, as it is told to who made work on top of it: by the key that sealed that work, and, where
// this key did not seal the commit itself, by the seal of that work, whose writer had seen what others said then.
type origin struct {
	commit oid.ID
	keyID  string
	under  *verdict.Candidate // nil: its own
}

// under is the origin of a parent of what a seal is about, or of something below that which others sealed.
func (d *deriver) under(c *verdict.Candidate, parent oid.ID) origin {
	at := origin{parent, c.KeyID, nil}
	own, known := d.own[at]
	if !known {
		d.h.take(len(d.f.seals[parent]))
		own = slices.ContainsFunc(d.f.SealsOf(parent), func(x verdict.Candidate) bool { return x.KeyID == c.KeyID && d.told(&x) })
		d.own[at] = own
	}
	if !own {
		at.under = c
	}
	return at
}

// told reports whether a seal can be asked for the parents of its commit.
func (d *deriver) told(x *verdict.Candidate) bool { return x.Err == nil && x.Seal != nil && !d.lies(x) }

// An entry tells where work left the history; not ok where that is in too many places, or too far away.
type entry struct {
	at []int
	ok bool
}

// enters returns where the work that a seal's commit goes on from left the history; false where there is too much of it. It
// follows the parents that the seal names, through the seals of commits that are not in the history.
func (d *deriver) enters(c *verdict.Candidate) ([]int, bool) {
	e, known := d.enteredBy[c]
	if known {
		return e.at, e.ok
	}
	if !d.h.take(len(c.Seal.Predicate.Parents)) {
		return nil, false
	}
	e.at, e.ok = d.entersAt(c.Seal.Predicate.Parents, c, 0)
	if !d.h.spent() { // else another commit may have more
		d.enteredBy[c] = e
	}
	return e.at, e.ok
}

func (d *deriver) entersAt(parents []oid.ID, c *verdict.Candidate, deep int) ([]int, bool) {
	var out []int
	for _, p := range parents {
		if d.h.spent() {
			return nil, false
		}
		if place, in := d.h.index[p]; in {
			if !slices.Contains(out, place) {
				out = append(out, place)
			}
			continue
		}
		at := d.under(c, p)
		e, known := d.entered[at]
		if !known {
			var looked bool
			if e, looked = d.entry(at, deep+1); !looked {
				return nil, false
			}
		}
		if !e.ok {
			return nil, false
		}
		for _, place := range e.at {
			if !slices.Contains(out, place) {
				out = append(out, place)
			}
		}
		if len(out) > maxEnter {
			return nil, false
		}
	}
	return out, len(out) <= maxEnter
}

// entry finds where the work at an origin left the history, and remembers it; false where there are no steps left for that,
// and nothing is remembered: another commit may have more.
func (d *deriver) entry(at origin, deep int) (entry, bool) {
	if !d.h.take(1) {
		return entry{}, false
	}
	if deep > maxAway {
		return entry{}, true
	}
	d.entered[at] = entry{ok: true} // who names itself among its ancestors goes on from nothing
	parents, c := d.parents(at)
	list, ok := d.entersAt(parents, c, deep)
	if !d.h.take(0) {
		delete(d.entered, at)
		return entry{}, false
	}
	d.entered[at] = entry{list, ok}
	return d.entered[at], true
}

// parents returns those of a commit that is not in the history, and the seal by which what is below them is told: as the key whose line
// it is sealed it, else as all say who sealed it, might bring it to this ref, and are believed: persons and automation of the trust root, and who
// had said it when that key sealed work on top. Anybody else names what it likes, also of a commit on which others built and which nobody
// had sealed.
func (d *deriver) parents(at origin) ([]oid.ID, *verdict.Candidate) {
	var out []oid.ID
	by, found := at.under, false
	if !d.h.take(len(d.f.seals[at.commit])) {
		return nil, by
	}
	seals := d.f.SealsOf(at.commit)
	for i := range seals {
		x := &seals[i]
		if !d.told(x) {
			continue
		}
		if at.under == nil {
			if x.KeyID != at.keyID {
				continue
			}
			by = cmp.Or(by, x)
		} else if !d.good(x) || !d.rooted(x) && d.saw(at.under.Ledger, at.under.Index, x.Ledger) <= uint64(x.Index) { //nolint:gosec // an index is no negative number
			continue
		}
		if !d.h.take(len(out)) || found && !slices.Equal(out, x.Seal.Predicate.Parents) {
			return nil, by
		}
		out, found = x.Seal.Predicate.Parents, true
	}
	return out, by
}

// saw returns up to which entry the writer of a ledger had seen another one, as it stands here, at an index of its own.
func (d *deriver) saw(ledger string, index int, other string) uint64 {
	return d.sights.upTo(d.f, ledger, index, other, d.h.take)
}

// rooted reports whether a seal is of a person or an automation of the trust root.
func (d *deriver) rooted(c *verdict.Candidate) bool {
	p, ok := d.f.Authority.ByKey(c.KeyID)
	return ok && p.Accountable == p.Name && p.Kind != "agent"
}

// knows reports whether the commit of a seal goes on from the commit at a place, and so its signer knew what it did.
func (d *deriver) knows(c *verdict.Candidate, place int) bool {
	list, ok := d.enters(c)
	return ok && slices.ContainsFunc(list, func(at int) bool { return d.h.reaches(at, place) })
}

// informed reports whether the signer of an offer knew all who had left what it leads to, or what stands there now.
func (d *deriver) informed(path string, x verdict.Offer, now verdict.Node, counts func(place int) bool) bool {
	p := d.h.paths[path]
	for _, n := range []verdict.Node{x.To, now} {
		left := p.left[n]
		for i := len(left) - 1; i >= 0; i-- { // what was done last is nearest
			if !d.h.take(1) || counts(left[i]) && !d.knows(x.Seal, left[i]) && !d.made(path, x.Seal, left[i]) {
				return false
			}
		}
	}
	return true
}

// made reports whether the commit at a place can be made of nothing, at a path, but work from which a seal's commit goes on:
// nothing else that anybody sealed has what it brought, and the history did not have it before.
func (d *deriver) made(path string, c *verdict.Candidate, place int) bool {
	p := d.h.paths[path]
	if len(p.moves[place]) == 0 || len(d.f.seals[d.h.order[place]]) > 0 {
		return false
	}
	to := p.moves[place][0].To
	if to == (verdict.Node{}) {
		return false
	}
	for _, k := range p.moved {
		for _, m := range p.moves[k] {
			if !d.h.take(1) || !d.h.reaches(k, place) && (m.To == to || m.From == to) {
				return false
			}
		}
	}
	found := false
	var behind map[oid.ID]bool
	for z := range d.offers.All(path) {
		if !d.h.take(1) {
			return false
		}
		if z.To != to || z.Seal.Seal.Commit() == c.Seal.Commit() {
			continue
		}
		if behind == nil {
			behind = d.behind(c)
		}
		if found = behind[z.Seal.Seal.Commit()]; !found {
			return false
		}
	}
	return found
}

// maxBehind bounds the commits that are not in the history from which one goes on.
const maxBehind = 10_000

// behind returns the commits that are not in the history from which a seal's commit goes on, with those that its signer recorded
// to have amended or rebased into one of them, or into itself.
func (d *deriver) behind(c *verdict.Candidate) map[oid.ID]bool {
	if d.behindOf == c {
		return d.lastBehind
	}
	out := map[oid.ID]bool{}
	replaced := func(id oid.ID) []oid.ID {
		var old []oid.ID
		d.h.take(len(d.f.Rewritten[id]))
		for _, o := range d.f.Rewritten[id] {
			if o.By == c.KeyID && prov.Replaces(o.Command) {
				old = append(old, o.Commit)
			}
		}
		return old
	}
	var todo []origin
	below := func(parents []oid.ID, by *verdict.Candidate) {
		for _, p := range parents {
			todo = append(todo, d.under(by, p))
		}
	}
	below(c.Seal.Predicate.Parents, c)
	olds := replaced(c.Seal.Commit())
	for len(todo)+len(olds) > 0 && len(out) < maxBehind && d.h.take(1) {
		var at origin
		follow := len(todo) > 0
		if follow {
			at, todo = todo[0], todo[1:]
		} else {
			at, olds = origin{commit: olds[0]}, olds[1:]
		}
		if _, in := d.h.index[at.commit]; in || out[at.commit] || at.commit == c.Seal.Commit() {
			continue
		}
		out[at.commit] = true
		olds = append(olds, replaced(at.commit)...)
		if follow {
			below(d.parents(at))
		}
	}
	d.behindOf, d.lastBehind = c, out
	return out
}

// brought reports whether a step back came to the history as well: a later commit on the way to every tip that has the one at
// a place leads the path there, and that step may cover it.
func (d *deriver) brought(path string, y verdict.Offer, place int) bool {
	p := d.h.paths[path]
	for _, k := range p.moved {
		if !d.h.take(1) || k <= place || !d.h.reaches(k, place) || !slices.ContainsFunc(p.moves[k], func(m verdict.Move) bool { return m.To == y.To }) {
			continue
		}
		onAll := true
		for _, tip := range d.span.Tips {
			at, in := d.h.index[tip]
			onAll = onAll && (!in || !d.h.reaches(at, place) || d.h.reaches(at, k))
		}
		if onAll && !d.refused(y.Seal) && d.informed(path, y, p.moves[k][0].From, func(j int) bool { return j < k && d.h.reaches(k, j) }) {
			return true
		}
	}
	return false
}

// good reports whether the signer of a seal might bring all that it changed, and it changed something, to the ref under review.
func (d *deriver) good(c *verdict.Candidate) bool {
	ok, known := d.goods[c]
	if !known {
		var all []prov.Raw
		for _, list := range c.Seal.Predicate.Changes {
			for i := range list {
				all = append(all, verdict.RawOf(&list[i]))
			}
		}
		ok = len(all) > 0 && d.asked(c, prov.Touched([][]prov.Raw{all}))
		d.goods[c] = ok
	}
	return ok
}

// may reports whether the signer of a seal might bring what it changed at a path to the ref under review: now, or when it
// was sealed. Others' seals make no difference to the commits there.
func (d *deriver) may(c *verdict.Candidate, path string) bool {
	key := sealedPath{c, path}
	ok, known := d.allowed[key]
	if !known {
		ok = d.asked(c, prov.Touched([][]prov.Raw{d.sealedAt(c, path)}))
		d.allowed[key] = ok
	}
	return ok
}

// mayNow reports whether the signer of a seal may bring a path to the ref under review now, as the built-in checker has it.
func (d *deriver) mayNow(c *verdict.Candidate, path string) bool {
	key := sealedPath{c, path}
	ok, known := d.allowedNow[key]
	if !known {
		d.h.take(16)
		changes := prov.Touched([][]prov.Raw{d.sealedAt(c, path)})
		ok = d.named && d.ever(c, changes) || !d.named && d.w.Authority.Decide(d.query(c, changes)).Allowed
		d.allowedNow[key] = ok
	}
	return ok
}

// stands is mayNow, or reports whether the signer might when somebody else, who is accountable, had first seen the seal: a time that the
// signer claims is worth nothing where its grant has ended since.
func (d *deriver) stands(c *verdict.Candidate, path string) bool {
	if d.mayNow(c, path) {
		return true
	}
	seen, ok := d.f.seenBy(c.Ledger, c.Index)
	then, err := time.Parse(time.RFC3339, seen.Time)
	if !ok || err != nil || !d.h.take(16) {
		return false
	}
	q := d.query(c, prov.Touched([][]prov.Raw{d.sealedAt(c, path)}))
	q.At, q.EndedBy, q.Past = then, then, true
	return d.w.Authority.Decide(q).Allowed
}

// sealedAt returns what a seal says that its commit changed at a path, against each parent. A long list is read over once.
func (d *deriver) sealedAt(c *verdict.Candidate, path string) []prov.Raw {
	n := 0
	for _, list := range c.Seal.Predicate.Changes {
		n += len(list)
	}
	only := path
	if n > maxScanned {
		only = ""
	}
	at, known := d.wide[c]
	if !known {
		at = map[string][]prov.Raw{}
		for _, list := range c.Seal.Predicate.Changes {
			for i := range list {
				if p := list[i].PathBytes(); only == "" || p == only {
					at[p] = append(at[p], verdict.RawOf(&list[i]))
				}
			}
		}
		if only == "" {
			d.wide[c] = at
		}
	}
	return at[path]
}

// maxScanned is how many changes of a seal are read over for each path that is asked for.
const maxScanned = 64

// query asks whether the signer of a seal may make changes on the ref under review now.
func (d *deriver) query(c *verdict.Candidate, changes []pluginapi.Change) capability.Query {
	q := capability.Query{KeyID: c.KeyID, Action: capability.Commit, At: d.now, Ref: d.ref, Intent: c.Seal.Predicate.Intent, Changes: changes}
	if c.Seal.Predicate.Mode == prov.Vouching {
		q.Action = capability.Vouch
	}
	return q
}

// ever reports whether the signer of a seal could make changes anywhere, at any time. Which ref a seal names is a claim, and what became of grants changes nothing of who
// made something.
func (d *deriver) ever(c *verdict.Candidate, changes []pluginapi.Change) bool {
	q := d.query(c, changes)
	q.Ref, q.Anywhere = "", true
	return d.f.Authority.MightEver(q)
}

type sealedPath struct {
	seal *verdict.Candidate
	path string
}

func (d *deriver) asked(c *verdict.Candidate, changes []pluginapi.Change) bool {
	d.h.take(16)
	if d.named {
		return d.ever(c, changes)
	}
	q := d.query(c, changes)
	if d.w.Authority.Decide(q).Allowed {
		return true
	}
	then, err := time.Parse(time.RFC3339, c.Header.Time)
	if err != nil {
		return false
	}
	q.At, q.EndedBy, q.Past = then, then, true
	return d.w.Authority.Decide(q).Allowed
}

// takenBack reports whether the signer of an offer took it back: whether in work that went on from it the same principal led
// the path to what stood there before it, or before the commit that it may cover, which is at a place. What was made on
// top of that commit, or was seen to be made after it, takes nothing back.
func (d *deriver) takenBack(path string, x verdict.Offer, place int, from verdict.Node, past func(int) bool) bool {
	who, _ := d.w.Principal(x.Seal.KeyID)
	var stood map[verdict.Node]bool
	var line map[oid.ID]bool
	for y := range d.offers.All(path) {
		if !d.h.take(1) {
			return true
		}
		if y.Seal == x.Seal || y.To == x.To {
			continue
		}
		if by, _ := d.w.Principal(y.Seal.KeyID); by.Name != who.Name || !d.may(y.Seal, path) {
			continue
		}
		if stood == nil {
			stood = d.stood(path, past)
			stood[x.From], stood[from] = true, true
		}
		if !stood[y.To] {
			continue
		}
		if line == nil {
			line = d.line(x.Seal)
		}
		if line[y.Seal.Seal.Commit()] && !d.knows(y.Seal, place) && !d.between(x.Seal, y.Seal, place) && !d.brought(path, y, place) {
			return true
		}
	}
	return false
}

// stood returns what stood at a path in a past.
func (d *deriver) stood(path string, past func(int) bool) map[verdict.Node]bool {
	out := map[verdict.Node]bool{}
	p := d.h.paths[path]
	if p == nil {
		return out // it was not read
	}
	for _, k := range p.moved {
		if !d.h.take(1) {
			break
		}
		if past(k) {
			for _, m := range p.moves[k] {
				out[m.From], out[m.To] = true, true
			}
		}
	}
	return out
}

// line returns the commits of the work that goes on from a seal's commit, whoever sealed it and might bring it here: by
// parents, by what its signers recorded of amends and rebases, and where nobody sealed a commit between, as when a forge made it,
// by what was sealed next on the branch that the seal names.
func (d *deriver) line(c *verdict.Candidate) map[oid.ID]bool {
	if d.lineOf == c {
		return d.lastLine
	}
	d.follow()
	out := map[oid.ID]bool{}
	for todo := []oid.ID{c.Seal.Commit()}; len(todo) > 0; todo = todo[1:] {
		for _, next := range d.children[todo[0]] {
			if !d.h.take(1) {
				return out
			}
			if !out[next] {
				out[next] = true
				todo = append(todo, next)
			}
		}
	}
	d.lineOf, d.lastLine = c, out
	return out
}

// follow finds out, once, which sealed commits go on from which.
func (d *deriver) follow() {
	if d.children != nil {
		return
	}
	d.children = map[oid.ID][]oid.ID{}
	last := map[string]oid.ID{} // ledger and ref → the commit sealed last
	var all []*verdict.Candidate
	for x := range d.f.candidates {
		if x.Err == nil && x.Seal != nil && !x.InNote && !d.lies(x) {
			all = append(all, x)
		}
	}
	slices.SortStableFunc(all, func(a, b *verdict.Candidate) int { return a.Index - b.Index })
	for _, x := range all {
		id, p := x.Seal.Commit(), &x.Seal.Predicate
		broken := false
		for _, parent := range p.Parents {
			d.children[parent] = append(d.children[parent], id)
			if _, in := d.h.index[parent]; !in && len(d.f.seals[parent]) == 0 {
				broken = true
			}
		}
		if branch := x.Ledger + " " + p.Ref; p.Ref != "" {
			if before, ok := last[branch]; ok && broken {
				d.children[before] = append(d.children[before], id)
			}
			last[branch] = id
		}
	}
	for id, list := range d.f.Rewritten {
		sealed := map[string]bool{}
		seals := d.f.SealsOf(id)
		for i := range seals {
			if x := &seals[i]; x.Err == nil {
				sealed[x.KeyID] = true
			}
		}
		for _, o := range list {
			if prov.Replaces(o.Command) && sealed[o.By] {
				d.children[o.Commit] = append(d.children[o.Commit], id)
			}
		}
	}
}

// between reports whether somebody who is accountable built on the commit at a place, or admitted it, and had seen the
// first of two entries of a ledger then, and not the second.
func (d *deriver) between(x, y *verdict.Candidate, place int) bool {
	if x.Ledger != y.Ledger {
		return false
	}
	saw := func(ledger string, index int) bool {
		upTo := d.saw(ledger, index, x.Ledger)
		return upTo > uint64(x.Index) && upTo <= uint64(y.Index) //nolint:gosec // indexes are no negative numbers
	}
	for _, w := range d.accountable {
		if d.h.take(1) && d.good(w) && d.knows(w, place) && saw(w.Ledger, w.Index) {
			return true
		}
	}
	for i := range d.f.Admitted {
		a := &d.f.Admitted[i]
		if p, ok := d.f.Authority.ByKey(a.KeyID); ok && p.Accountable == p.Name && p.Kind != "agent" &&
			d.h.continues(a.New, d.h.order[place]) && saw(a.Ledger, int(a.Seq)-1) { //nolint:gosec // bounded by envelope.Header.Check
			return true
		}
	}
	return false
}
