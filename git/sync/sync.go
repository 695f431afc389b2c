// Package sync moves ledgers, the trust root and the notes view between a clone and a remote.
//
// What a remote has is fetched into a quarantine (git.Quarantine), checked there as verification would
// check it, and only then brought into the clone: ledgers and root where they follow what is here, entry by
// entry, by writers whom the root or a grant introduced. Everything else is told, with the
// evidence, and not taken. Nothing is ever pushed but what follows what the remote has.
//
// The refs under refs/covenant-remote/<remote>/ say what a remote is known to have: of a ledger the furthest entry, so
// that a remote that goes back is found out.
package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// AutoKey is the configuration variable that turns off, when false, what happens by itself with a push and a pull.
const AutoKey = "covenant.sync"

// Codes of findings that only a comparison with a remote yields.
const (
	LedgerCopied    verdict.Code = "ledger.copied"    // a remote has more of a ledger of this clone's than the clone
	LedgerRewrapped verdict.Code = "ledger.rewrapped" // a remote has signed entries in other commits than the clone
	RootRolledBack  verdict.Code = "root.rolled-back" // a remote had a later version of the trust root than it has now
)

// Errors of a whole run.
var (
	// ErrTooMuch says that the remote has more news than is taken at once; nothing was taken. Raise the limits, if the remote is to be believed.
	ErrTooMuch = errors.New("the remote has more news than is taken at once")
	// ErrHidden says that a remote took what was sent, and does not show it to who fetches: it hides refs from them, or somebody took it away just then.
	ErrHidden = errors.New("what was sent is not shown to who fetches")
	// ErrNoRemote says that no remote was named and none can be chosen.
	ErrNoRemote = errors.New("no remote to sync with")
)

// Limits bound what one fetch may bring. Zero fields have the values of [Default].
type Limits struct {
	Bytes   int64 // in quarantine, packed
	Ledgers int
	Entries int // new ones
}

// Default are limits far above what a team makes in a year.
var Default = Limits{Bytes: 256 << 20, Ledgers: 4096, Entries: 200_000}

// Up to returns limits in proportion to so many bytes.
func (l Limits) Up(bytes int64) Limits {
	if bytes <= l.Bytes {
		l.Bytes = bytes
		return l
	}
	times := int(bytes/l.Bytes) + 1
	return Limits{bytes, l.Ledgers * times, l.Entries * times}
}

// maxTries is how often a push is tried that others race.
const maxTries = 12

// Options say what to do.
type Options struct {
	Remote  string // a configured name, or a URL
	Pin     envelope.Digest
	Now     time.Time
	Limits  Limits
	Fetch   bool
	Unasked bool // it comes along with something else: of handoffs only a few small ones are fetched
	Publish bool // [Agreed] said that it may
	Weigh   bool // where nothing is published, find out what would be: see [Report.Lacks]
}

// A Move is a ledger or other ref that moved, here or at the remote.
type Move struct {
	Name    string // of a ledger "<topic>/<writer>", else the ref's
	From    oid.ID // zero when it was not there
	To      oid.ID
	Entries int // new ones; 0 when not known
}

// Report is what a run did and found.
type Report struct {
	Remote    string
	Adopted   []Move
	Published []Move
	Dropped   []string          // ledgers of which entries were dropped here, as somebody who may says, and how many
	Left      int               // with Options.Unasked: handoffs that were not fetched, for their size or number
	Lacks     []string          // with Options.Weigh: the refs here that would be sent, by full name
	Root      *provenance.Root  // a version that came into force here; nil when none did
	Unknown   []string          // ledgers by writers whom nobody introduced; they were left there
	Refused   []verdict.Finding // not adopted: rolled back, forked, broken, another root
	Warnings  []verdict.Finding
	Rejected  error // why the remote did not take the records it was sent; nil when it did
	NoView    error // why it did not take the notes view, which it need not
	Children  int   // git processes
}

// Gained returns, of each ledger and ref that came or grew here, where it ended before.
func (r *Report) Gained() map[string]oid.ID {
	out := make(map[string]oid.ID, len(r.Adopted))
	for _, m := range r.Adopted {
		if _, told := out[m.Name]; !told {
			out[m.Name] = m.From
		}
	}
	return out
}

// OK reports whether nothing was refused.
func (r *Report) OK() bool { return len(r.Refused) == 0 }

func (r *Report) refuse(code verdict.Code, object, hint, format string, a ...any) {
	r.Refused = add(r.Refused, verdict.Finding{Code: code, Object: object, Message: fmt.Sprintf(format, a...), Hint: hint})
}

func (r *Report) warn(code verdict.Code, object, hint, format string, a ...any) {
	r.Warnings = add(r.Warnings, verdict.Finding{Code: code, Object: object, Message: fmt.Sprintf(format, a...), Hint: hint})
}

// add tells each thing once: a run may fetch several times.
func add(list []verdict.Finding, f verdict.Finding) []verdict.Finding {
	if slices.ContainsFunc(list, func(x verdict.Finding) bool { return x.Code == f.Code && x.Object == f.Object }) {
		return list
	}
	return append(list, f)
}

// An AddressError says that the branch follows an address that is no configured remote, as tools write it that check out what somebody proposes
// from a fork. Nobody who works here chose it: whoever means it names it.
type AddressError struct{ Address string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("%v: the branch follows %s, which is no remote of this clone", ErrNoRemote, Shown(e.Address))
}

// Unwrap returns ErrNoRemote.
func (e *AddressError) Unwrap() error { return ErrNoRemote }

// Choose returns the remote that is meant when none is named: the one the branch follows, else
// origin, else the only one. The error wraps ErrNoRemote; it is an *AddressError where the branch follows none that is configured.
func Choose(s *git.Session) (string, error) {
	cfg := s.Repo().Config()
	list := Remotes(s.Repo())
	if branch, err := s.HeadRef(); err == nil {
		if name, ok := cfg.Get("branch." + strings.TrimPrefix(branch, "refs/heads/") + ".remote"); ok && name != "." {
			if slices.Contains(list, name) {
				return name, nil
			}
			for _, remote := range list {
				if url, _ := cfg.Get("remote." + remote + ".url"); url == name {
					return remote, nil
				}
			}
			return "", &AddressError{name}
		}
	}
	switch {
	case slices.Contains(list, "origin"):
		return "origin", nil
	case len(list) == 1:
		return list[0], nil
	case len(list) == 0:
		return "", fmt.Errorf("%w: this clone has none", ErrNoRemote)
	}
	return "", fmt.Errorf("%w: there are %s", ErrNoRemote, strings.Join(list, ", "))
}

// Remotes returns the names of the configured remotes, sorted.
func Remotes(r *git.Repo) []string {
	var list []string
	for _, key := range r.Config().Keys("remote.") {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(key, "remote."), ".url"); ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Tracked returns the prefix of the refs that say what a remote has.
func Tracked(r *git.Repo, remote string) string {
	return provenance.RemotePrefix + nameOf(r, remote) + "/"
}

// Where things are under [Tracked], and in a quarantine.
const (
	trackedLedgers = "ledger/"
	trackedRoot    = "trust/root"
	trackedStaged  = "trust/staged/"
	trackedNotes   = "notes"
	trackedForks   = "fork/" // the other way that the trust root of a remote went
	covenant       = "refs/covenant/"
	quarantined    = git.QuarantineRefs + "covenant/"
)

// run is one sync.
type run struct {
	ctx   context.Context //nolint:containedctx // a run is one call
	s     *git.Session
	o     Options
	at    string // prefix of tracking refs
	shown string // the remote, for people
	rep   *Report

	ours      map[string]oid.ID // our refs, by full name
	evidently map[string]oid.ID // evidence of forks that is here, by full name
	tracked   map[string]oid.ID // what the remote was known to have, by the name under at
	there     map[string]oid.ID // what it has, by the same names; nil when it was not asked
	bad       map[string]bool   // ledgers, under their full names, that must not be pushed onto what is there
	pruned    map[string]oid.ID // ledgers, likewise, that were pruned here and not there, with what is there: it is replaced
	sent      map[string]bool   // refs that the remote has taken, or had, by full name
	prunes    bool              // ledgers of grants say that entries were dropped
	stop      bool              // the remote has a rival of our root: nothing is adopted or sent
	foreign   bool              // the remote has the root of another repository: nothing is sent there
	noView    bool              // the remote's notes view was not joined with ours
	flooded   bool              // the remote has more than is taken at once, and what is fetched is fetched by name
	strangers []ledger.Name     // then: ledgers by whom nobody knows, that were not even fetched
	left      int               // then: so many of known names were not

	handoffs *handoff.Record // what our ledgers say of handoffs; nil: it was not asked

	apart     bool // what is pushed goes elsewhere than where the fetch comes from
	listed    bool // there was listed and not fetched: it may have what is not here
	lost      bool // the remote lacks what it was known to have
	unsettled bool // the remote lets nobody delete drafts
}

func newRun(ctx context.Context, s *git.Session, o Options) *run {
	return &run{
		ctx: ctx, s: s, o: o, at: Tracked(s.Repo(), o.Remote), shown: Shown(o.Remote), rep: &Report{Remote: Shown(o.Remote)},
		bad: map[string]bool{}, pruned: map[string]oid.ID{}, sent: map[string]bool{},
	}
}

// Run syncs with a remote: it fetches, checks and adopts, then publishes. A push that
// others race is repeated after another fetch.
//
// The error wraps ErrTooMuch, or says that the remote could not be reached or the root not be opened. What the remote has
// and should not is in the report, and what it did not take is in its Rejected.
func Run(ctx context.Context, s *git.Session, o Options) (*Report, error) {
	rep, err := start(ctx, s, o)
	rep.Rejected, rep.NoView = Said(rep.Rejected), Said(rep.NoView)
	return rep, Said(err)
}

func start(ctx context.Context, s *git.Session, o Options) (*Report, error) {
	if o.Limits == (Limits{}) {
		o.Limits = Default
	}
	r := newRun(ctx, s, o)
	r.apart = apart(s.Repo(), o.Remote)
	before := s.Children()
	defer func() { r.rep.Children = s.Children() - before }()
	if !o.Publish { // who publishes has asked for that, and learned where to
		if _, err := settle(ctx, s, o.Remote); err != nil {
			return r.rep, err
		}
	}
	if err := r.look(); err != nil {
		return r.rep, err
	}
	if o.Fetch {
		if err := r.fetch(); err != nil {
			return r.rep, err
		}
		if dropped, err := r.forget(); err != nil {
			return r.rep, err
		} else if dropped && !r.stop { // once more, with what is here now
			if err := r.look(); err != nil {
				return r.rep, err
			}
			if err := r.fetch(); err != nil {
				return r.rep, err
			}
		}
		if err := r.remember(); err != nil {
			return r.rep, err
		}
		if !r.stop && !r.foreign {
			if err := r.fetchHandoffs(); err != nil {
				return r.rep, err
			}
		}
	}
	switch {
	case r.stop || r.foreign:
		return r.rep, nil
	case o.Publish:
		return r.rep, r.publish()
	case o.Weigh:
		return r.rep, r.weigh()
	}
	return r.rep, nil
}

// look reads our refs and what the remote is known to have.
func (r *run) look() error {
	refs, err := r.s.Refs(covenant, notes.Ref, provenance.ForkPrefix, strings.TrimSuffix(r.at, "/"))
	if err != nil {
		return err
	}
	r.ours, r.tracked, r.evidently = map[string]oid.ID{}, map[string]oid.ID{}, map[string]oid.ID{}
	for _, ref := range refs {
		if name, ok := strings.CutPrefix(ref.Name, r.at); ok {
			if isTracked(name) {
				r.tracked[name] = ref.ID
			}
		} else if strings.HasPrefix(ref.Name, provenance.ForkPrefix) {
			r.evidently[ref.Name] = ref.ID
		} else {
			r.ours[ref.Name] = ref.ID
		}
	}
	return nil
}

// isTracked reports whether something is known of a remote under a name; a remote called team has none of what team/ci has.
func isTracked(name string) bool {
	return name == trackedRoot || name == trackedNotes || slices.ContainsFunc([]string{trackedLedgers, trackedStaged, trackedForks, trackedHandoffs}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// known returns where the remote is known to have a ref of ours.
func (r *run) known(ref string) oid.ID {
	at := r.there
	if at == nil || isHandoff(ref) && !r.listed { // those are fetched by themselves
		at = r.tracked
	}
	return at[under(ref)]
}

// under is the name of a ref of ours among tracking refs.
func under(ref string) string {
	if ref == notes.Ref {
		return trackedNotes
	}
	return strings.TrimPrefix(ref, covenant)
}

// stagedNumber reads the number of a draft from its name among tracking refs.
func stagedNumber(name string) (int, bool) {
	text, ok := strings.CutPrefix(name, trackedStaged)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n > 0 && strconv.Itoa(n) == text
}

// pause waits a random time that grows with the number of tries.
func (r *run) pause(try int) error {
	wait := 50 * time.Millisecond << min(try, 5)
	t := time.NewTimer(wait/4 + rand.N(wait)) //nolint:gosec // jitter
	defer t.Stop()
	select {
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-t.C:
		return nil
	}
}

func isLedger(ref string) (ledger.Name, bool) { return ledger.ParseRef(ref) }
