package sync

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// A share is what one fetch by name is made of, as refspecs.
type share struct {
	here  []string // the root, drafts that may be signed, and ledgers that are here or were known to be there
	fresh []string // other ledgers, under names of keys that the root or a grant introduced
	view  string   // the notes view, "" for none
}

// maxByName is how many of them are fetched at once: Git takes a time that grows with the square.
const maxByName = 512

// narrow fetches again what was more than is taken at once, by names: anybody who may write refs can make more names than are taken, and larger ones,
// and that must not keep from anybody what known writers say. What is named after keys that nobody introduced is left there. Under names of keys
// that are known anybody may put junk as well, so of those that are not here some are taken, others each time, and fewer while it is still too much.
// The error is failed where nothing can be left.
func (r *run) narrow(failed error) (*incoming, error) {
	of, err := r.share()
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	rand.Shuffle(len(of.fresh), func(i, j int) { of.fresh[i], of.fresh[j] = of.fresh[j], of.fresh[i] }) //nolint:gosec // which ones come is no secret
	r.flooded = true
	for room := min(len(of.fresh), maxByName, max(0, r.o.Limits.Ledgers-len(of.here))); ; room /= 8 {
		specs := append(slices.Clone(of.here), of.fresh[:room]...)
		if of.view != "" {
			specs = append(specs, of.view)
		}
		if len(specs) == 0 {
			return nil, failed
		}
		in, err := r.bring(specs...)
		switch {
		case err == nil:
			r.left = len(of.fresh) - room
			return in, nil
		case !errors.Is(err, ErrTooMuch):
			return nil, err
		case room > 0:
		case of.view != "":
			of.view, r.noView = "", true
			r.rep.warn(verdict.NoteJunk, notes.Ref, "ask who keeps "+r.shown+" to delete it there", "the notes view of %s is more than is taken at once; it was left there", r.shown)
		default:
			return nil, err
		}
	}
}

// share finds out what a fetch by name is made of, and who are strangers.
func (r *run) share() (share, error) {
	var of share
	refs, err := refsAt(r.ctx, r.s, r.o.Remote)
	if err != nil {
		return of, err
	}
	facts, err := provenance.LoadAuthority(r.ctx, r.s, r.o.Pin)
	if err != nil {
		return of, err
	}
	r.strangers = nil
	known := digits(facts)
	for _, ref := range refs {
		name := under(ref.Name)
		spec := "+" + ref.Name + ":" + quarantined + name
		n, ok := isLedger(ref.Name)
		draft, isDraft := stagedNumber(name)
		switch {
		case ref.Name == notes.Ref:
			of.view = spec
		case ref.Name == provenance.RootRef, isDraft && draft <= facts.Root.Version+maxAhead, ok && !(r.ours[ref.Name].IsZero() && r.tracked[name].IsZero()):
			of.here = append(of.here, spec)
		case ok && known[string(n.Writer[:16])]:
			of.fresh = append(of.fresh, spec)
		case ok:
			r.strangers = append(r.strangers, n)
		}
	}
	return of, nil
}

// introduced reports whether one of the strangers is known by now.
func (r *run) introduced() (bool, error) {
	if len(r.strangers) == 0 {
		return false, nil
	}
	facts, err := provenance.LoadAuthority(r.ctx, r.s, r.o.Pin)
	if err != nil {
		return false, err
	}
	known := digits(facts)
	return slices.ContainsFunc(r.strangers, func(n ledger.Name) bool { return known[string(n.Writer[:16])] }), nil
}

// digits are those by which the names of known writers begin.
func digits(f *provenance.Facts) map[string]bool {
	known := map[string]bool{}
	f.Authority.Key(func(k identity.PublicKey) bool {
		known[ledger.KeyDigits(k.Digest())] = true
		return false
	})
	return known
}
