package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// HandoffObjects says that what a remote has as the objects of a handoff was not taken, or is not there.
const HandoffObjects verdict.Code = "handoff.objects"

const trackedHandoffs = "handoff/"

// maxHandoffs is how many are fetched at once, the newest first; and where nobody asked, how many open ones of others a clone has.
const maxHandoffs = 64

// What comes of handoffs where nobody asked, in bytes as they are packed. Whoever may hand over could else make every clone grow with each pull.
const (
	maxUnasked    = 1 << 20 // of each
	unaskedInARun = 8 << 20 // of all, those included that turn out to be larger
)

// isHandoff reports whether a ref of ours keeps the objects of a handoff.
func isHandoff(ref string) bool { return strings.HasPrefix(ref, handoff.Prefix) }

// record reads what our ledgers say of handoffs, where there are any. It is read again after each fetch.
func (r *run) record() (*handoff.Record, error) {
	if r.handoffs != nil {
		return r.handoffs, nil
	}
	if !slices.ContainsFunc(sortedKeys(r.ours), func(ref string) bool { return strings.HasPrefix(ref, ledger.Prefix+form.Topic+"/") }) {
		return &handoff.Record{}, nil
	}
	rec, err := handoff.Load(r.ctx, r.s, r.o.Pin)
	if err == nil {
		r.handoffs = rec
	}
	return rec, err
}

func sortedKeys(m map[string]oid.ID) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// ready reports whether the ref of a handoff may be sent: it is what a statement of ours names, and nobody has it yet.
func (r *run) ready(ref string) bool {
	rec, err := r.record()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(rec.List, func(h *form.Handoff) bool {
		return handoff.Ref(h.ID) == ref && h.Commit == r.ours[ref] && h.By() == nil
	})
}

// fetchHandoffs brings the objects of handoffs that are open, that adopted statements name, and that are not here. Each is fetched by itself,
// within what is left of the limit, so that none stands in the way of another or of the record; and kept only if it is what was signed.
func (r *run) fetchHandoffs() error {
	r.handoffs = nil
	rec, err := r.record()
	if err != nil {
		return err
	}
	r.tellLost(rec)
	var wanted []*form.Handoff
	open := 0 // of others, and here
	for _, h := range rec.List {
		switch here := !r.ours[handoff.Ref(h.ID)].IsZero(); {
		case h.By() != nil:
		case !here:
			wanted = append(wanted, h)
		case !r.mine(ledger.Prefix + h.Ledger):
			open++
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	refs, err := refsAt(r.ctx, r.s, r.o.Remote)
	if err != nil {
		return err
	}
	there := map[string]oid.ID{}
	for _, ref := range refs {
		there[ref.Name] = ref.ID
	}
	left, each, n := r.o.Limits.Bytes, r.o.Limits.Bytes, 0
	if r.o.Unasked {
		left, each = min(left, unaskedInARun), min(each, maxUnasked)
	}
	for _, h := range wanted {
		switch id, ok := there[handoff.Ref(h.ID)]; {
		case !ok:
			continue
		case id != h.Commit:
			r.rep.warn(HandoffObjects, handoff.Ref(h.ID), "ask who keeps "+r.shown, "%s has %s under this name, and %s was signed; it was left there", r.shown, id.Short(), h.Commit.Short())
			continue
		}
		if r.o.Unasked && (open >= maxHandoffs || left < each || h.Bytes > each) {
			r.rep.Left++
			continue
		}
		if n++; n > maxHandoffs {
			r.rep.warn(HandoffObjects, r.shown, "covenant sync", "more than %d handoffs are new; the others come with the next sync", maxHandoffs)
			break
		}
		before := left
		switch err := r.bringHandoff(h, min(each, left), &left); {
		case r.ctx.Err() != nil:
			return err
		case err == nil:
			open++
		case r.o.Unasked && (errors.Is(err, git.ErrQuarantineFull) || errors.Is(err, handoff.ErrTooLarge)):
			r.rep.Left++
			left = before - each
		default:
			r.rep.warn(HandoffObjects, handoff.Ref(h.ID), hintHandoff(err), "%v; it was left there", err)
			if errors.Is(err, git.ErrQuarantineFull) { // as much came as is taken at once
				return nil
			}
		}
	}
	return nil
}

// HandoffLost says that somebody else has a handoff that was taken up here.
const HandoffLost verdict.Code = "handoff.lost"

// tellLost warns, when somebody's ledger is new, of handoffs that were taken up here and that its writer has.
func (r *run) tellLost(rec *handoff.Record) {
	for _, h := range rec.List {
		for _, t := range h.Lost() {
			by := h.By()
			if by == nil || !r.mine(ledger.Prefix+t.Ledger) {
				continue
			}
			if slices.ContainsFunc(r.rep.Adopted, func(m Move) bool { return m.Name == by.Ledger }) {
				r.rep.warn(HandoffLost, string(h.ID), "covenant handoff show "+handoff.Short(h.ID), "it was taken up here, and %s has it since %s", rec.Who(by.KeyID), envelope.Timestamp(by.Time))
			}
		}
	}
}

func hintHandoff(err error) string {
	switch {
	case errors.Is(err, git.ErrQuarantineFull), errors.Is(err, handoff.ErrTooLarge):
		return "fetch the branch it began on first: git fetch; then, if that is what you expect: covenant sync --limit 1g"
	case errors.Is(err, handoff.ErrMissing):
		return "fetch the branch it began on first: git fetch"
	}
	return "do not use it; ask its maker"
}

// bringHandoff fetches one into a quarantine, of at most so many bytes, and keeps it when it is what was signed, and Git finds nothing wrong with it.
func (r *run) bringHandoff(h *form.Handoff, most int64, left *int64) error {
	q, err := r.s.Repo().Quarantine(r.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = q.Remove() }() // what stays is swept by the next one
	ref := handoff.Ref(h.ID)
	if err := q.Fetch(r.ctx, most, 4096, "--", r.o.Remote, "+"+ref+":"+quarantined+trackedHandoffs+"it"); err != nil {
		return Said(err)
	}
	qs := q.Session(r.ctx)
	defer func() { _ = qs.Close() }()
	v, err := handoff.Check(qs, h, most)
	if err != nil {
		return err
	}
	*left -= v.Bytes
	var except []oid.ID
	for _, id := range r.ours {
		except = append(except, id)
	}
	if c, err := r.s.Commit(h.Base.String()); !h.Base.IsZero() && err == nil {
		except = append(except, c.ID)
	}
	if err := q.Keep(r.ctx, []oid.ID{h.Commit}, except); err != nil {
		return err
	}
	at := r.at + under(ref)
	if err := r.s.Update("covenant sync", git.RefUpdate{Name: ref, New: h.Commit}, git.RefUpdate{Name: at, New: h.Commit, Old: r.tracked[under(ref)]}); err != nil {
		return err
	}
	r.ours[ref], r.tracked[under(ref)] = h.Commit, h.Commit
	r.rep.Adopted = append(r.rep.Adopted, Move{Name: ref, To: h.Commit})
	return nil
}

// Forget takes away what a remote is known to have: for one that is a file, which says nothing of what it holds next time.
func Forget(s *git.Session, remote string) error { return forget(s, remote) }

// Handoffs lists the handoffs whose objects a remote, or a bundle, has.
func Handoffs(ctx context.Context, s *git.Session, remote string) ([]envelope.Digest, error) {
	refs, err := refsAt(ctx, s, remote)
	if err != nil {
		return nil, err
	}
	var out []envelope.Digest
	for _, r := range refs {
		if id, ok := handoff.IDOf(r.Name); ok && isHandoff(r.Name) {
			out = append(out, id)
		}
	}
	return out, nil
}

// ErrClaimed says that somebody was first at a remote.
var ErrClaimed = errors.New("somebody was first")

// ClaimAt returns the claim of a handoff that a remote has; zero where there is none.
func ClaimAt(ctx context.Context, s *git.Session, remote string, id envelope.Digest) (oid.ID, error) {
	refs, err := refsAt(ctx, s, remote)
	for _, r := range refs {
		if r.Name == handoff.Claim(id) {
			return r.ID, err
		}
	}
	return oid.ID{}, err
}

// Take claims a handoff at a remote: of all who try, one makes the ref, together with the ledger that says so. old is a claim that was let go, zero
// where there is none. The error wraps ErrClaimed when somebody else's claim stands there.
func Take(ctx context.Context, s *git.Session, remote string, id envelope.Digest, ledgerRef string, entry, old oid.ID) error {
	expect := ""
	if !old.IsZero() {
		expect = old.String()
	}
	claim := handoff.Claim(id)
	args := append(pushArgs(s.Repo(), remote), "--atomic", "--force-with-lease="+claim+":"+expect, "--", remote, entry.String()+":"+claim, entry.String()+":"+ledgerRef)
	_, err := s.Repo().Run(ctx, nil, args...)
	if err == nil {
		return nil
	}
	now, lerr := ClaimAt(ctx, s, remote, id)
	switch {
	case lerr == nil && now == entry: // it was taken, and the answer was lost
		return nil
	case lerr == nil && now != old:
		return fmt.Errorf("%w at %s", ErrClaimed, Shown(remote))
	}
	return Said(err)
}
