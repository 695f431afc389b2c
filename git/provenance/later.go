package provenance

import (
	"cmp"
	"errors"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
)

// later tells of versions of the trust root that keys of the root name, as one that came into force or as one an admission was held to,
// and that are not here: the root was taken back to an older one, and what it changed since, who was removed for one, is not known.
func (f *Facts) later(s *git.Session, refs []entryRef, states []*statement) error {
	type named struct {
		version int // 0: it is not said
		id, by  envelope.Digest
	}
	known := map[envelope.Digest]bool{}
	for _, v := range f.Root.Versions {
		known[v.ID] = true
	}
	for _, d := range rejected(s) { // it was another successor of one that is here
		known[envelope.Digest(d)] = true
	}
	for _, d := range f.Root.Against {
		known[d] = true
	}
	var open []named
	for i, r := range refs {
		e, st := r.entry(), states[i]
		if e.Err != nil || st.adopted == nil && st.admission == nil {
			continue
		}
		n := named{by: e.ID}
		if st.adopted != nil {
			n.version, n.id = st.adopted.Version, st.adopted.Digest
		} else {
			n.id = st.admission.Root
		}
		if known[n.id] || n.version != 0 && n.version <= f.Root.Version || !f.vouches(r) || !f.tells(e.KeyID, st.adopted != nil) {
			continue
		}
		open = append(open, n)
	}
	if len(open) == 0 {
		return nil
	}
	if f.Root.Versions[0].Version > 1 { // an admission may name one that is older than the pin
		at := RootRef
		if id := f.overlay[RootRef]; !id.IsZero() {
			at = id.String() // as it is proposed to be
		}
		whole, err := openRoot(s, at, f.Root.pin, true)
		switch {
		case err == nil:
			for _, v := range whole.Versions {
				known[v.ID] = true
			}
		case errors.Is(err, ErrRootHistory): // what an admission names may be older
			open = slices.DeleteFunc(open, func(n named) bool { return n.version == 0 })
		default:
			return err
		}
		open = slices.DeleteFunc(open, func(n named) bool { return known[n.id] })
	}
	if len(open) == 0 {
		return nil
	}
	slices.SortFunc(open, func(a, b named) int { return cmp.Or(cmp.Compare(b.version, a.version), cmp.Compare(a.id, b.id)) })
	open = slices.CompactFunc(open, func(a, b named) bool { return a.id == b.id && a.version == b.version })
	for _, n := range open[:min(len(open), maxLater)] {
		hint := "fetch it from who has it: git fetch REMOTE 'refs/covenant/trust/*:refs/covenant/trust/*'"
		if n.id != "" {
			hint += "; where the operators decided against it they say so: covenant trust set --against " + string(n.id)
		} else {
			hint += "; where it never came into force, its operators put the next version there"
		}
		switch {
		case n.id == "":
			f.problem(verdict.RootWithheld, "", hint, "version %d of the trust root came into force, as a key that it removes says in entry %s, and is not here: version %d is", n.version, n.by.Short(), f.Root.Version)
		case n.version > 0:
			f.problem(verdict.RootWithheld, string(n.id), hint, "version %d of the trust root (%s) came into force, as entry %s says, and is not here: version %d is", n.version, n.id.Short(), n.by.Short(), f.Root.Version)
		default:
			f.problem(verdict.RootWithheld, string(n.id), hint, "admission %s was held to a version of the trust root (%s) that is not here", n.by.Short(), n.id.Short())
		}
	}
	return nil
}

// tells reports whether who has a key is believed about versions of the root: an operator, and of what it admitted one who may. Whoever may
// be believed can keep everybody from relying on anything, and revoking its grants must end that.
func (f *Facts) tells(keyID string, adopted bool) bool {
	p, ok := f.Authority.ByKey(keyID)
	if !ok || p.Operator || !p.OperatorUntil.IsZero() {
		return ok
	}
	return !adopted && f.Authority.HeldAt(keyID, f.latestWord(), admitting...)
}

// maxLater is how many versions that are missing are told.
const maxLater = 16
