package sync

import (
	"context"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Borrowed is what a remote has of ledgers, in quarantine: nothing of it is, or gets, into the repository.
type Borrowed struct {
	Session *git.Session      // of the repository, with what was borrowed besides
	Ledgers map[string]oid.ID // those that hold and go on from ours, or are new, as provenance.Options.Overlay takes them
	Told    []verdict.Finding // what was left there, and why
	in      *incoming
}

// Borrow fetches a remote's ledgers and judges them as [Run] does, under the trust root that is here, and adopts nothing. It is for looking at what somebody
// proposes, such as a fork, as at any other hostile input. The caller closes it. Errors are those of Run.
func Borrow(ctx context.Context, s *git.Session, o Options) (*Borrowed, error) {
	if o.Limits == (Limits{}) {
		o.Limits = Default
	}
	r := newRun(ctx, s, o)
	r.apart = true
	if err := r.look(); err != nil {
		return nil, err
	}
	clear(r.tracked) // what it had before is another question
	if r.ours[provenance.RootRef].IsZero() {
		return nil, provenance.ErrRootMissing
	}
	in, err := r.bring("+" + ledger.Prefix + "*:" + quarantined + trackedLedgers + "*")
	if err != nil {
		return nil, Said(err)
	}
	if err := in.ledgers(); err != nil {
		in.close()
		return nil, err
	}
	b := &Borrowed{Session: in.qs, Ledgers: map[string]oid.ID{}, in: in}
	for ref, id := range in.moves {
		if strings.HasPrefix(ref, ledger.Prefix) {
			b.Ledgers[ref] = id
		}
	}
	b.Told = append(append(b.Told, r.rep.Refused...), r.rep.Warnings...)
	for _, name := range r.rep.Unknown {
		b.Told = append(b.Told, verdict.Finding{Code: verdict.LedgerUnknown, Object: name, Message: "nobody introduced its writer; it was left there", Hint: "covenant identity list"})
	}
	return b, nil
}

// Close throws away what was borrowed.
func (b *Borrowed) Close() { b.in.close() }
