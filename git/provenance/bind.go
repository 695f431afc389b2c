package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
)

// Limits of what a sealer looks at to find what it names. What is beyond is not named.
const (
	boundNote  = 1 << 20 // bytes of the note of a tree
	boundLines = 64      // of it, the newest
	boundBack  = 256     // entries of a ledger after the one that is named
)

// found is a statement that a seal may name.
type found struct {
	id     envelope.Digest
	review bool
	rooted bool // by who is in the trust root
	time   string
}

// bind finds what the record has about exactly the commit that is sealed: evidence about its tree, and reviews of the step from its first
// parent's tree, that hold and stand in their ledgers. It costs a look at the note of the tree, and where there is none nothing else.
func (k *Sealer) bind(ctx context.Context, c *draft) (prov.Bound, error) {
	var out prov.Bound
	data, err := notes.Within(k.Session, notes.Ref, c.commit.Tree, boundNote)
	if errors.Is(err, notes.ErrUnreadable) || err == nil && len(data) == 0 {
		return out, nil // the view is a convenience
	}
	if err != nil {
		return out, err
	}
	list, err := k.boundIn(ctx, c, data)
	if err != nil {
		return out, err
	}
	out.Evidence, out.EvidenceMore = most(list, false)
	out.Reviews, out.ReviewsMore = most(list, true)
	return out, nil
}

// boundIn returns the statements of a note that a seal may name.
func (k *Sealer) boundIn(ctx context.Context, c *draft, data [][]byte) ([]found, error) {
	var out []found
	known := map[envelope.Digest]bool{}
	for _, note := range data {
		lines := envelope.Lines(note)
		for _, line := range lines[max(0, len(lines)-boundLines):] {
			env, err := envelope.Parse(line)
			if err != nil || known[env.ID()] {
				continue
			}
			known[env.ID()] = true
			st, h, ok, err := k.open(ctx, env)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
			key := env.KeyIDs()[0]
			who, ok := k.Authority.ByKey(key)
			if !ok || who.Gone(h.When()) || h.When().After(k.Now().Add(verdict.Ahead)) || !st.about(c, who) {
				continue
			}
			stands, err := k.stands(h, env.ID())
			if err != nil {
				return nil, err
			}
			if stands {
				out = append(out, found{id: env.ID(), review: st.review != nil, rooted: who.Accountable == who.Name, time: h.Time})
			}
		}
	}
	return out, nil
}

// open reads an envelope of somebody known; ok is false where it is none, and the error is of reading who is.
func (k *Sealer) open(ctx context.Context, env *envelope.Envelope) (st statement, h envelope.Header, ok bool, err error) {
	st, h, err = openEnvelope(env, k.Root.ID, k.Authority.Ring)
	if errors.Is(err, envelope.ErrUnknownKey) && !k.all {
		if err := k.knowEverybody(ctx); err != nil {
			return st, h, false, err
		}
		st, h, err = openEnvelope(env, k.Root.ID, k.Authority.Ring)
	}
	return st, h, err == nil, nil
}

// about reports whether a statement is about exactly a commit's tree, or about the step to it, by whom it says.
func (st *statement) about(c *draft, who *capability.Principal) bool {
	says := prov.Principal{Accountable: who.Accountable, Kind: who.Kind, Name: who.Name}
	switch {
	case st.evidence != nil:
		return st.evidence.Tree() == c.commit.Tree && prov.Principal(st.evidence.Predicate.Run.Principal) == says
	case st.review != nil:
		p := &st.review.Predicate
		return st.review.Tree() == c.commit.Tree && p.Base.Tree == c.base && p.Principal == says && noted(p.Verdict, who.Kind)
	}
	return false
}

// noted reports whether a review is one that may count, and stands on its tree: what agents say of changes, and talk about them, is for
// who asks for it.
func noted(v review.Verdict, kind string) bool {
	return kind != string(trust.Agent) && (v == review.Approve || v == review.Reject || v == review.Withdraw)
}

// stands reports whether an entry is in its ledger as it is here: what a seal names must be found again, so what only a note has is not named.
func (k *Sealer) stands(h envelope.Header, id envelope.Digest) (bool, error) {
	name, ok := ledger.ParseRef(ledger.Prefix + h.Ledger())
	if !ok {
		return false, nil
	}
	refs, err := k.Session.Tips(name.Ref())
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(refs, func(r git.Ref) bool { return r.Name == name.Ref() })
	if i < 0 {
		return false, nil
	}
	tip, _, err := ledger.Read(k.Session, refs[i].ID)
	if err != nil {
		return false, nil //nolint:nilerr // a damaged ledger has nothing that can be named
	}
	_, last, err := openEnvelope(tip, k.Root.ID, k.Authority.Ring)
	if err != nil || last.Ledger() != h.Ledger() || last.Seq < h.Seq || last.Seq-h.Seq > boundBack {
		return false, nil //nolint:nilerr // likewise
	}
	o, err := k.Session.Object(fmt.Sprintf("%s~%d:%s", refs[i].ID, last.Seq-h.Seq, ledger.File), envelope.MaxSize)
	if err != nil {
		return false, nil //nolint:nilerr // likewise
	}
	e, err := ledger.ParseBlob(o.Data)
	return err == nil && e.ID() == id, nil
}

// most returns the identities of those that are named, sorted, and how many are left out: those by keys of the trust root go before
// others', and then what is newest, so that nobody else's are crowded out by who writes many.
func most(list []found, reviews bool) ([]envelope.Digest, int) {
	list = slices.DeleteFunc(slices.Clone(list), func(f found) bool { return f.review != reviews })
	slices.SortFunc(list, func(a, b found) int {
		if a.rooted != b.rooted {
			return map[bool]int{true: -1, false: 1}[a.rooted]
		}
		return cmp.Or(cmp.Compare(b.time, a.time), cmp.Compare(a.id, b.id))
	})
	more := max(0, len(list)-prov.MaxBound)
	var out []envelope.Digest
	for _, f := range list[:len(list)-more] {
		out = append(out, f.id)
	}
	slices.Sort(out)
	return out, more
}
