package sync

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
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

	fresh map[oid.ID][]oid.ID // commits of ledgers that we have not adopted, and their parents
	keep  map[string]oid.ID   // tracking refs to be, by the name under at
	moves map[string]oid.ID   // refs of ours to be
	facts *provenance.Facts   // with what is adopted; nil when no ledger was looked at
	from  map[string]oid.ID   // our refs as they were judged
	renew bool                // this clone must become a new replica
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

// fetch brings what the remote has, judges it, and adopts what holds.
func (r *run) fetch() error {
	clear(r.bad)
	in, err := r.bring(specs()...)
	if err != nil {
		return err
	}
	defer in.close()
	if r.idle() {
		return nil
	}
	if err := in.root(); err != nil || r.stop {
		return errors.Join(err, in.finish())
	}
	if err := in.ledgers(); err != nil {
		return err
	}
	return in.finish()
}

// bring fetches into a quarantine. The caller closes it.
func (r *run) bring(specs ...string) (*incoming, error) {
	q, err := r.s.Repo().Quarantine(r.ctx)
	if err != nil {
		return nil, err
	}
	in := &incoming{run: r, q: q, keep: map[string]oid.ID{}, moves: map[string]oid.ID{}, fresh: map[oid.ID][]oid.ID{}, from: maps.Clone(r.ours)}
	err = q.Fetch(r.ctx, r.o.Limits.Bytes, 4*r.o.Limits.Ledgers+4096, append([]string{"--", r.o.Remote}, specs...)...)
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
	r.there = map[string]oid.ID{}
	ledgers := 0
	for _, ref := range refs {
		name := strings.TrimPrefix(ref.Name, quarantined)
		switch {
		case strings.HasPrefix(name, trackedLedgers):
			if _, ok := isLedger(covenant + name); !ok {
				r.rep.warn(verdict.LedgerUnknown, covenant+name, "", "is no name of a ledger; it was left there")
				continue
			}
			ledgers++
		case name != trackedRoot && name != trackedNotes && !strings.HasPrefix(name, trackedStaged):
			continue // such as refs/notes/covenant-x
		}
		r.there[name] = ref.ID
	}
	if ledgers > r.o.Limits.Ledgers {
		in.close()
		return nil, fmt.Errorf("%w: %d ledgers, and %d are the limit", ErrTooMuch, ledgers, r.o.Limits.Ledgers)
	}
	return in, nil
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
	maps.DeleteFunc(known, func(name string, _ oid.ID) bool { return strings.HasPrefix(name, trackedForks) })
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

// root judges the remote's trust root, and takes it where it goes on from ours.
func (in *incoming) root() error {
	for name, id := range in.there {
		if strings.HasPrefix(name, trackedStaged) {
			in.keep[name] = id // covenant trust judges drafts when somebody is to sign
		}
	}
	ours, theirs := in.ours[provenance.RootRef], in.there[trackedRoot]
	was, had := in.tracked[trackedRoot]
	switch {
	case ours.IsZero():
		return fmt.Errorf("%w: %s", provenance.ErrRootMissing, in.o.Pin)
	case theirs.IsZero() && had:
		in.rep.refuse(RootRolledBack, provenance.RootRef, "ask who keeps "+in.o.Remote, "%s had a trust root (%s), and has none now", in.o.Remote, in.entry(in.s, was))
		return nil
	case theirs.IsZero():
		return nil
	case theirs == ours:
		in.keep[trackedRoot] = theirs
		return nil
	}
	here, err := provenance.OpenHistory(in.s, in.o.Pin)
	if err != nil {
		return err
	}
	env, _, err := ledger.Read(in.qs, theirs)
	if err != nil {
		in.stop = true
		in.rep.refuse(verdict.RootInvalid, provenance.RootRef, "ask who keeps "+in.o.Remote, "the trust root of %s can't be read: %v", in.o.Remote, err)
		return nil
	}
	for i, v := range here.Versions {
		if v.ID != env.ID() {
			continue
		}
		if i == len(here.Versions)-1 { // two who put the same version in force made two commits of it
			in.moves[provenance.RootRef], in.keep[trackedRoot] = theirs, theirs
			return nil
		}
		if had && was != theirs {
			if env, _, err := ledger.Read(in.s, was); err == nil {
				if at := slices.IndexFunc(here.Versions, func(x *trust.Version) bool { return x.ID == env.ID() }); at > i {
					in.rep.refuse(RootRolledBack, provenance.RootRef, "ask who keeps "+in.o.Remote, "%s had version %d of the trust root (%s), and has version %d now (%s)",
						in.o.Remote, here.Versions[at].Version, here.Versions[at].ID, v.Version, v.ID)
					return nil
				}
			}
		}
		in.keep[trackedRoot] = theirs
		return nil
	}
	return in.later(here, theirs)
}

// later judges a root that is none of the versions here.
func (in *incoming) later(here *provenance.Root, theirs oid.ID) error {
	in.keep[trackedRoot] = theirs // for covenant trust to stop at
	other, err := provenance.Beyond(in.qs, theirs.String(), here.Versions)
	var fork *trust.ForkError
	switch {
	case errors.As(err, &fork):
		in.stop = true
		in.keep[trackedForks+trackedRoot] = theirs // as evidence: it stays, whatever the remote has later
		in.rep.refuse(provenance.RootFork, provenance.RootRef, "ask the operators which one is theirs, then: covenant trust pin DIGEST; if it is the one here, they replace the other: git push "+in.o.Remote+" +"+provenance.RootRef,
			"%s has another version %d of the trust root (%s, signed by %s) than this clone (%s): nothing of it was adopted",
			in.o.Remote, fork.B.Version, fork.B.ID, strings.Join(fork.B.Signers, ", "), fork.A.ID)
	case err == nil:
		in.moves[provenance.RootRef] = theirs
		in.rep.Root = other
	default:
		in.stop = true
		code, hint := verdict.RootInvalid, "ask who keeps "+in.o.Remote
		if errors.Is(err, provenance.ErrRootMismatch) {
			code, hint = verdict.RootMismatch, "ask an operator; if the repository began anew, see: covenant trust pin --help"
		}
		in.rep.refuse(code, provenance.RootRef, hint, "the trust root of %s does not follow the one here: %v; nothing of it was adopted", in.o.Remote, err)
	}
	return nil
}

// entry names an entry, as far as it can be read.
func (in *incoming) entry(s *git.Session, commit oid.ID) string {
	if env, _, err := ledger.Read(s, commit); err == nil {
		return string(env.ID())
	}
	return "commit " + commit.Short()
}
