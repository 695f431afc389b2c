package provenance

import (
	"errors"
	"fmt"
	"slices"
	"unique"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
)

// statement is one opened and decoded entry; at most one of its fields is set.
type statement struct {
	seal      *prov.Seal
	decision  *prov.Decision
	admission *prov.Admission
	grant     *capability.Grant
	ended     *capability.Revocation
	asked     *capability.Asked
	declined  *capability.Declining
	checked   *capability.Check
	rewriting *prov.Rewriting
	adopted   *trust.Adoption
	signed    *event.Checkpoint
	cosigned  *event.Cosigning
	resolved  *event.Resolution
	pruned    *event.Pruning
	review    *review.Statement
	release   *release.Statement
	evidence  *evidence.Statement
	handoff   *handoff.Statement
}

// blank has what n entries state before they are read, or while they say nothing to us.
func blank(n int) []*statement {
	return slices.Repeat([]*statement{{}}, n)
}

// openInto reads the envelope's bytes into the entry: whatever is wrong is the entry's Err.
func openInto(e *verdict.Entry, repository envelope.Digest, data []byte, ring envelope.Keyring) (st statement) {
	env, err := ledger.ParseBlob(data)
	if err != nil {
		e.Err = err
		return st
	}
	e.ID = env.ID()
	if ids := env.KeyIDs(); len(ids) > 0 {
		e.KeyID = ids[0]
	}
	st, e.Header, e.Err = openEnvelope(env, repository, ring)
	for _, name := range []*string{&e.KeyID, (*string)(&e.Header.Repository), &e.Header.Topic, &e.Header.Writer} {
		*name = unique.Make(*name).Value() // entries say the same ones over and over: they are held once
	}
	return st
}

func openEnvelope(env *envelope.Envelope, repository envelope.Digest, ring envelope.Keyring) (st statement, h envelope.Header, err error) {
	typ := env.PayloadType()
	if typ != envelope.TypeInToto && typ != envelope.TypeLedger {
		return st, h, fmt.Errorf("%w: %.100q", envelope.ErrPayloadType, typ)
	}
	o, err := env.Open(typ, 1, ring)
	if err != nil {
		return st, h, err
	}
	return stated(o, repository)
}

// stated reads what an opened envelope states.
func stated(o *envelope.Opened, repository envelope.Digest) (st statement, h envelope.Header, err error) {
	if o.PayloadType == envelope.TypeInToto {
		if st, h, err = about(o); err != nil {
			return st, h, err
		}
		return st, h, h.Check(repository)
	}
	kind, err := envelope.TypeOf(o)
	if err != nil {
		return st, h, err
	}
	switch kind {
	case prov.Decided:
		d, err := prov.ParseDecision(o)
		if err != nil {
			return st, h, err
		}
		st.decision, h = &d.Body, d.Entry
	case prov.Admitted:
		a, err := prov.ParseAdmission(o)
		if err != nil {
			return st, h, err
		}
		st.admission, h = &a.Body, a.Entry
	case prov.Rewritten:
		r, err := prov.ParseRewriting(o)
		if err != nil {
			return st, h, err
		}
		st.rewriting, h = &r.Body, r.Entry
	case capability.Granted:
		g, err := capability.Parse(o)
		if err != nil {
			return st, h, err
		}
		st.grant, h = &g.Body, g.Entry
	case capability.Revoked:
		r, err := capability.ParseRevocation(o)
		if err != nil {
			return st, h, err
		}
		st.ended, h = &r.Body, r.Entry
	case capability.Requested:
		r, err := capability.ParseAsked(o)
		if err != nil {
			return st, h, err
		}
		st.asked, h = &r.Body, r.Entry
	case capability.Declined:
		d, err := capability.ParseDeclining(o)
		if err != nil {
			return st, h, err
		}
		st.declined, h = &d.Body, d.Entry
	case capability.Checked:
		c, err := capability.ParseCheck(o)
		if err != nil {
			return st, h, err
		}
		st.checked, h = &c.Body, c.Entry
	case trust.Adopted:
		a, err := trust.ParseAdopted(o)
		if err != nil {
			return st, h, err
		}
		st.adopted, h = &a.Body, a.Entry
	case event.Checkpointed:
		c, err := event.ParseCheckpoint(o)
		if err != nil {
			return st, h, err
		}
		st.signed, h = &c.Body, c.Entry
	case event.Cosigned:
		c, err := event.ParseCosigning(o)
		if err != nil {
			return st, h, err
		}
		st.cosigned, h = &c.Body, c.Entry
	case event.Resolved:
		r, err := event.ParseResolution(o)
		if err != nil {
			return st, h, err
		}
		st.resolved, h = &r.Body, r.Entry
	case event.Pruned:
		p, err := event.ParsePruning(o)
		if err != nil {
			return st, h, err
		}
		st.pruned, h = &p.Body, p.Entry
	case handoff.Created, handoff.Resumed, handoff.Released:
		p, err := handoff.Parse(o)
		if err != nil {
			return st, h, err
		}
		st.handoff, h = p, p.Entry
	default:
		if h, err = envelope.HeaderOf(o); err != nil {
			return st, h, err
		}
		// What a capability ledger says and we can't read could be the end of a grant.
		newer := h.Topic == CapabilityTopic
		for _, known := range []string{prov.Decided, prov.Admitted, prov.Rewritten} {
			newer = newer || errors.Is(envelope.VersionError(kind, known), envelope.ErrNewer)
		}
		if newer {
			return st, h, fmt.Errorf("%w: type %.100q", envelope.ErrNewer, kind)
		}
		return st, h, h.Check(repository) // it keeps its place in the chain, and says nothing to us
	}
	return st, h, h.Check(repository)
}

// about decodes a statement about Git objects.
func about(o *envelope.Opened) (st statement, h envelope.Header, err error) {
	switch intoto.PredicateType(o) {
	case evidence.PredicateType:
		if st.evidence, err = evidence.Parse(o); err == nil {
			h = st.evidence.Predicate.Entry
		}
	case review.Type:
		if st.review, err = review.Parse(o); err == nil {
			h = st.review.Predicate.Entry
		}
	case release.Type:
		if st.release, err = release.Parse(o); err == nil {
			h = st.release.Predicate.Entry
		}
	default:
		if st.seal, err = prov.Parse(o); err == nil {
			h = st.seal.Predicate.Entry
		}
	}
	return st, h, err
}
