package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// incoming is one fetch, in quarantine.
type incoming struct {
	*run
	q  *git.Quarantine
	qs *git.Session

	fresh     map[oid.ID][]oid.ID   // commits of ledgers that we have not adopted, and their parents
	commits   map[oid.ID]git.Commit // those
	gaps      int                   // so many dropped entries may be read of what the remote has
	along     map[string]*along     // ledgers that are no continuation of ours, by full name: how far they go along with it
	keep      map[string]oid.ID     // tracking refs to be, by the name under at
	moves     map[string]oid.ID     // refs of ours to be
	facts     *provenance.Facts     // with what is adopted; nil when no ledger was looked at
	from      map[string]oid.ID     // our refs as they were judged
	forked    map[string]oid.ID     // evidence to be, by full name
	theirView oid.ID                // the remote's notes view, to be joined with ours; zero when it is not
	suspect   []ledger.Name         // ledgers that somebody else may write as this clone
	odd       map[string]string     // what the remote has under a name of ours that is no commit: its kind, by the name under at
}

// specs are what is fetched.
func specs() []string {
	return []string{
		"+" + ledger.Prefix + "*:" + quarantined + trackedLedgers + "*",
		"+" + provenance.RootRef + "*:" + quarantined + trackedRoot + "*",
		"+" + provenance.StagedPrefix + "*:" + quarantined + trackedStaged + "*",
		"+" + notes.Ref + "*:" + quarantined + trackedNotes + "*",
	}
}

// fetch brings what the remote has, judges it, and adopts what holds. Where that is more than is taken at once it takes several passes: whom one of
// them introduces is known with the next.
func (r *run) fetch() error {
	for pass := 1; ; pass++ {
		had := len(r.rep.Adopted)
		if err := r.pass(); err != nil {
			return err
		}
		if r.stop || !r.flooded || pass == maxPasses {
			break
		}
		if more, err := r.introduced(); err != nil {
			return err
		} else if !more && (r.left == 0 || len(r.rep.Adopted) == had) {
			break
		}
		if err := r.look(); err != nil {
			return err
		}
	}
	if r.left > 0 {
		r.rep.refuse(LedgerTooLong, r.shown, "if that is what you expect: covenant sync --limit 1g; else ask who keeps "+r.shown+" to delete them",
			"%s has more ledgers under names of known writers than are taken at once; %d were left there, and what they say is not known here", r.shown, r.left)
	}
	for _, n := range r.strangers {
		r.rep.Unknown = append(r.rep.Unknown, n.String())
	}
	slices.Sort(r.rep.Unknown)
	r.rep.Unknown = slices.Compact(r.rep.Unknown)
	return nil
}

func (r *run) pass() error {
	clear(r.bad)
	clear(r.pruned)
	r.foreign = false
	var in *incoming
	err := ErrTooMuch
	if !r.flooded {
		in, err = r.bring(specs()...)
	}
	if errors.Is(err, ErrTooMuch) && r.ctx.Err() == nil {
		in, err = r.narrow(err)
	}
	if err != nil {
		return err
	}
	defer in.close()
	if r.idle() {
		return nil
	}
	if err := in.root(); err != nil {
		return err
	}
	in.drafts()
	if r.stop {
		return in.finish()
	}
	if err := in.ledgers(); err != nil {
		return err
	}
	r.prunes = in.facts != nil && len(in.facts.Prunings()) > 0
	return in.finish()
}

// bring fetches into a quarantine. The caller closes it.
func (r *run) bring(specs ...string) (*incoming, error) {
	q, err := r.s.Repo().Quarantine(r.ctx)
	if err != nil {
		return nil, err
	}
	in := &incoming{run: r, q: q, gaps: ledger.MaxDropped, keep: map[string]oid.ID{}, moves: map[string]oid.ID{}, fresh: map[oid.ID][]oid.ID{}, from: maps.Clone(r.ours), odd: map[string]string{}, commits: map[oid.ID]git.Commit{}, along: map[string]*along{}, forked: map[string]oid.ID{}}
	q.Common = []oid.ID{}
	for ref, id := range r.ours {
		if !isHandoff(ref) { // it stands on commits of the code
			q.Common = append(q.Common, id)
		}
	}
	take := func(specs []string) error {
		return q.Fetch(r.ctx, r.o.Limits.Bytes, 4*r.o.Limits.Ledgers+4096, append([]string{"--", r.o.Remote}, specs...)...)
	}
	if err = take(specs); err != nil && !errors.Is(err, git.ErrQuarantineFull) && r.ctx.Err() == nil {
		err = r.takeLess(specs, take, err)
	}
	if errors.Is(err, git.ErrQuarantineFull) {
		err = fmt.Errorf("%w: more than %d MiB or %d refs", ErrTooMuch, r.o.Limits.Bytes>>20, r.o.Limits.Ledgers)
	}
	if err != nil {
		return nil, errors.Join(err, q.Remove())
	}
	in.qs = q.Session(r.ctx)
	refs, err := in.qs.Refs(strings.TrimSuffix(quarantined, "/"))
	if err != nil {
		in.close()
		return nil, err
	}
	r.there, r.listed = map[string]oid.ID{}, false
	ledgers := 0
	var nameless []string
	for _, ref := range refs {
		name := strings.TrimPrefix(ref.Name, quarantined)
		_, draft := stagedNumber(name)
		switch _, ok := isLedger(covenant + name); {
		case ok:
			ledgers++
		case name == trackedRoot, name == trackedNotes, draft:
		default: // such as refs/notes/covenant-x
			if strings.HasPrefix(name, trackedLedgers) || strings.HasPrefix(name, trackedStaged) {
				nameless = append(nameless, name)
			}
			continue
		}
		if ref.Kind != "commit" {
			in.odd[name] = ref.Kind
			continue
		}
		r.there[name] = ref.ID
	}
	r.handoffs = nil
	in.tellOdd(nameless)
	if ledgers > r.o.Limits.Ledgers {
		in.close()
		return nil, fmt.Errorf("%w: %d ledgers, and %d are the limit", ErrTooMuch, ledgers, r.o.Limits.Ledgers)
	}
	return in, nil
}

// takeLess fetches once more what failed with err, where the remote answers at all: without names that are none of ours, since one that is too
// long for a file must not stop all, then, as what failed may have been the network, without the notes, which can be made anew.
func (r *run) takeLess(specs []string, take func([]string) error, err error) error {
	refs, lerr := refsAt(r.ctx, r.s, r.o.Remote)
	if lerr != nil {
		return err
	}
	named, view := r.named(specs, refs)
	if len(named) <= r.o.Limits.Ledgers && slices.ContainsFunc(specs, func(spec string) bool { return strings.Contains(spec, ledger.Prefix) }) {
		all := append(slices.Clone(named), view...)
		more := -len(all)
		for _, ref := range refs {
			if !strings.HasPrefix(ref.Name, handoff.Prefix) { // those are fetched apart
				more++
			}
		}
		if len(all) > 0 {
			err = take(all)
		} else if more > 0 {
			err = nil // there is nothing to take
		}
		if err == nil {
			if more > 0 {
				r.rep.warn(verdict.LedgerUnknown, r.shown, "ask who keeps it to delete them", "%d names under refs/covenant are none of a record; they were left there", more)
			}
			return nil
		}
	}
	if len(named) == 0 || len(view) == 0 || len(named) > r.o.Limits.Ledgers || errors.Is(err, git.ErrQuarantineFull) || r.ctx.Err() != nil {
		return err
	}
	if terr := take(named); terr != nil {
		return err
	}
	r.noView = true
	r.rep.warn(verdict.NoteJunk, notes.Ref, "ask who keeps "+r.shown+" to delete it there", "the notes view of %s can't be fetched: %v", r.shown, Said(err))
	return nil
}

// named lists what the specs fetch by its full names, without what is no name of ours, and the notes view apart.
func (r *run) named(specs []string, refs []git.Ref) (records, view []string) {
	for _, ref := range refs {
		_, isLedger := isLedger(ref.Name)
		_, draft := stagedNumber(under(ref.Name))
		wanted := slices.ContainsFunc(specs, func(spec string) bool {
			from, _, _ := strings.Cut(strings.TrimPrefix(spec, "+"), ":")
			return strings.HasPrefix(ref.Name, strings.TrimSuffix(from, "*"))
		})
		spec := "+" + ref.Name + ":" + quarantined + under(ref.Name)
		switch {
		case !wanted:
		case ref.Name == notes.Ref:
			view = append(view, spec)
		case isLedger, draft, ref.Name == provenance.RootRef:
			records = append(records, spec)
		}
	}
	return records, view
}

// maxNameless is how many names that are none are told one by one.
const maxNameless = 3

// tellOdd tells of what stands under names that are none of ours, and what under a name of ours is no commit. Nothing of it is taken.
func (in *incoming) tellOdd(nameless []string) {
	for i, name := range nameless {
		code, what := verdict.LedgerUnknown, "a ledger"
		if strings.HasPrefix(name, trackedStaged) {
			code, what = verdict.RootInvalid, "a draft"
		}
		if i == maxNameless {
			in.rep.warn(code, in.shown, "", "and %d more names that are none; they were left there", len(nameless)-i)
			break
		}
		in.rep.warn(code, covenant+name, "", "is no name of %s; it was left there", what)
	}
	told := 0
	for _, name := range slices.Sorted(maps.Keys(in.odd)) {
		switch kind := in.odd[name]; {
		case name == trackedRoot:
			in.bad[provenance.RootRef] = true
			in.rep.refuse(verdict.RootInvalid, provenance.RootRef, "ask who keeps "+in.shown, "what %s has as the trust root is a %s, not a version; the one here stays", in.shown, kind)
		case name == trackedNotes:
			in.noView = true
			in.rep.warn(verdict.NoteJunk, notes.Ref, "ask who keeps "+in.shown+" to delete it there", "what %s has as the notes view is a %s; it was left there", in.shown, kind)
		default:
			in.bad[covenant+name] = true
			if told++; told <= maxNameless {
				in.rep.warn(verdict.LedgerDamaged, strings.TrimPrefix(covenant+name, ledger.Prefix), "ask who keeps "+in.shown, "what %s has under this name is a %s; it was left there", in.shown, kind)
			}
		}
	}
}

func (in *incoming) close() {
	if in.qs != nil {
		_ = in.qs.Close()
	}
	_ = in.q.Remove() // what stays is swept by the next one
}

// idle reports whether the remote has what it was known to have, and nothing that we might not.
func (r *run) idle() bool {
	known := maps.Clone(r.tracked)
	maps.DeleteFunc(known, func(name string, _ oid.ID) bool {
		return strings.HasPrefix(name, trackedForks) || strings.HasPrefix(name, trackedHandoffs)
	})
	if !maps.Equal(r.there, known) {
		return false
	}
	for name, id := range r.there {
		switch ref := covenant + name; {
		case name == trackedNotes: // merged when it was fetched
		case strings.HasPrefix(name, trackedStaged):
		case r.ours[ref].IsZero():
			return false // who wrote it may be known by now
		case r.ours[ref] != id && !r.mine(ref):
			return false // we may be further, or it is a fork
		}
	}
	return true
}

// mine reports whether this clone writes a ledger.
func (r *run) mine(ref string) bool {
	n, ok := isLedger(ref)
	if !ok {
		return false
	}
	own, err := provenance.Own(r.s.Repo(), n)
	return err == nil && own
}

// root judges the remote's trust root, and takes it where it goes on from ours. Only a rival that as many have signed
// stops the rest; what is invalid, or another repository's, is told, and does not.
func (in *incoming) root() error {
	ours, theirs := in.ours[provenance.RootRef], in.there[trackedRoot]
	was, had := in.tracked[trackedRoot]
	switch _, odd := in.odd[trackedRoot]; {
	case ours.IsZero():
		return fmt.Errorf("%w: %s", provenance.ErrRootMissing, in.o.Pin)
	case odd:
		return nil
	case theirs.IsZero() && had:
		in.rep.refuse(RootRolledBack, provenance.RootRef, "ask who keeps "+in.shown, "%s had a trust root (%s), and has none now", in.shown, in.entry(in.s, was))
		return nil
	case theirs.IsZero():
		return nil
	case theirs == ours:
		in.keep[trackedRoot] = theirs
		return nil
	}
	here, err := provenance.OpenHistory(in.s, in.o.Pin)
	if errors.Is(err, provenance.ErrRootMismatch) {
		return in.ahead(theirs, err)
	}
	if err != nil {
		return err
	}
	env, _, err := ledger.Read(in.qs, theirs)
	if err != nil {
		in.invalidRoot(err)
		return nil
	}
	i := slices.IndexFunc(here.Versions, func(v *trust.Version) bool { return v.ID == env.ID() })
	if i < 0 {
		return in.later(here, theirs, env.ID())
	}
	if err := in.whole(here.Versions[:i+1], theirs, env.ID()); err != nil {
		in.invalidRoot(err)
		return nil
	}
	if i == len(here.Versions)-1 { // two who put the same version in force made two commits of it
		in.moves[provenance.RootRef], in.keep[trackedRoot] = theirs, theirs
		return nil
	}
	if had && was != theirs {
		if env, _, err := ledger.Read(in.s, was); err == nil {
			if at := slices.IndexFunc(here.Versions, func(x *trust.Version) bool { return x.ID == env.ID() }); at > i {
				in.rep.refuse(RootRolledBack, provenance.RootRef, "ask who keeps "+in.shown, "%s had version %d of the trust root (%s), and has version %d now (%s)",
					in.shown, here.Versions[at].Version, here.Versions[at].ID, here.Versions[i].Version, here.Versions[i].ID)
				return nil
			}
		}
	}
	in.keep[trackedRoot] = theirs
	return nil
}

// ahead takes the remote's root where that has the pinned version and goes on from the one here, which has it not: a clone that was kept, and is
// told of a later version than it has seen. Anything else is the mismatch.
func (in *incoming) ahead(theirs oid.ID, mismatch error) error {
	newest, err := provenance.RootDigest(in.s)
	if err != nil {
		return err
	}
	here, err := provenance.OpenHistory(in.s, newest)
	if err != nil {
		return mismatch
	}
	root, err := provenance.OpenWhole(in.qs, theirs.String(), in.o.Pin)
	if err != nil || in.whole(here.Versions, theirs, in.o.Pin) != nil {
		return mismatch
	}
	in.moves[provenance.RootRef], in.keep[trackedRoot], in.rep.Root = theirs, theirs, root
	return nil
}

// invalidRoot tells of a root that nothing is done with.
func (in *incoming) invalidRoot(err error) {
	in.bad[provenance.RootRef] = true // nothing of ours can follow it
	in.rep.refuse(verdict.RootInvalid, provenance.RootRef, "ask who keeps "+in.shown, "the trust root of %s is none: %v; the one here stays", in.shown, err)
}

// whole reports why a chain is not, from version 1 on, what is here and goes on from it: whoever may write refs can put
// signed versions into other commits, with junk beside them or with their beginning cut off.
func (in *incoming) whole(here []*trust.Version, tip oid.ID, pin envelope.Digest) error {
	there, err := provenance.OpenWhole(in.qs, tip.String(), pin)
	if err != nil {
		return err
	}
	for _, v := range here {
		if v.Version > len(there.Versions) || there.Versions[v.Version-1].ID != v.ID {
			return fmt.Errorf("%w: its version %d is not the one here", provenance.ErrRootHistory, v.Version)
		}
	}
	return in.bare(tip, provenance.RootRef)
}

// maxBare bounds the commits of a trust root, and of a draft, that are looked at.
const maxBare = 10_000

// bare reports whether what would be kept with a commit are versions of the root, and nothing else.
func (in *incoming) bare(tip oid.ID, except ...string) error {
	q := git.LogQuery{Revs: []string{tip.String()}, Max: maxBare + 1}
	for _, ref := range except {
		if id := in.ours[ref]; !id.IsZero() {
			q.Revs = append(q.Revs, "^"+id.String())
		}
	}
	var list []oid.ID
	for c, err := range in.qs.Log(q) {
		if err != nil {
			return err
		}
		list = append(list, c.ID)
	}
	if len(list) > maxBare {
		return fmt.Errorf("%w: more than %d commits", ledger.ErrNotBare, maxBare)
	}
	_, err := ledger.Bare(in.qs, list)
	return err
}

// later judges a root that is none of the versions here.
func (in *incoming) later(here *provenance.Root, theirs oid.ID, newest envelope.Digest) error {
	other, err := provenance.Beyond(in.qs, theirs.String(), here.Versions)
	var fork *trust.ForkError
	switch {
	case errors.As(err, &fork):
		in.stop = true
		if in.bare(theirs, provenance.RootRef) == nil {
			in.keep[trackedRoot] = theirs                                    // for covenant trust to stop at
			in.keep[trackedForks+fork.B.ID.Short()+"/"+trackedRoot] = theirs // as evidence: it stays, whatever the remote has later
		}
		in.rep.refuse(provenance.RootFork, provenance.RootRef, "ask the operators which one is theirs, then: covenant trust pin DIGEST; if it is the one here, they replace the other: git push "+in.shown+" +"+provenance.RootRef,
			"%s has another version %d of the trust root (%s, signed by %s) than this clone (%s): nothing of it was adopted",
			in.shown, fork.B.Version, fork.B.ID, strings.Join(fork.B.Signers, ", "), fork.A.ID)
	case err == nil:
		if err := in.whole(here.Versions, theirs, in.o.Pin); err != nil {
			in.invalidRoot(err)
			return nil
		}
		in.moves[provenance.RootRef], in.keep[trackedRoot] = theirs, theirs
		in.rep.Root = other
	case errors.Is(err, provenance.ErrRootMismatch):
		if werr := in.whole(nil, theirs, newest); werr != nil { // it is no other repository's, but ours with its beginning cut off
			in.invalidRoot(werr)
			return nil
		}
		in.foreign = true
		in.keep[trackedRoot] = theirs
		in.rep.refuse(verdict.RootMismatch, provenance.RootRef, "ask an operator; if the repository began anew, see: covenant trust pin --help", "the trust root of %s does not follow the one here: %v; nothing of it was adopted", in.shown, err)
	default:
		in.invalidRoot(err)
	}
	return nil
}

// maxAhead is how far the number of a draft may be from the version in force to be looked at.
const maxAhead = 8

// drafts keeps what may be signed next: covenant trust joins it with what is here. The rest is left there.
func (in *incoming) drafts() {
	root, told := in.rep.Root, 0
	for _, name := range slices.Sorted(maps.Keys(in.there)) {
		n, ok := stagedNumber(name)
		if !ok {
			continue
		}
		if root == nil {
			var err error
			if root, err = provenance.OpenRoot(in.s, in.o.Pin); err != nil {
				return // which is told where it is needed
			}
		}
		id := in.there[name]
		if n <= root.Version {
			continue // it is deleted there
		}
		var err error
		if n > root.Version+maxAhead {
			err = fmt.Errorf("%w: version %d is in force", trust.ErrNumber, root.Version)
		} else if err = in.bare(id, provenance.RootRef); err == nil {
			err = provenance.CheckStaged(in.qs, root, covenant+name, id)
		}
		if err == nil {
			in.keep[name] = id
			continue
		}
		in.bad[covenant+name] = true
		if told++; told <= maxNameless {
			in.rep.warn(verdict.RootInvalid, covenant+name, "ask who keeps "+in.shown, "is no draft of the next version, and was left there: %v", err)
		}
	}
	if told > maxNameless {
		in.rep.warn(verdict.RootInvalid, in.shown, "", "and %d more that are no drafts", told-maxNameless)
	}
}

// entry names an entry, as far as it can be read.
func (in *incoming) entry(s *git.Session, commit oid.ID) string {
	if env, _, err := ledger.Read(s, commit); err == nil {
		return string(env.ID())
	}
	return "commit " + commit.Short()
}
