package audit

import (
	"encoding/json"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/intoto"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/review"
)

// about takes in what a statement says of Git objects.
func (r *Record) about(o *envelope.Opened) error {
	switch intoto.PredicateType(o) {
	case evidence.PredicateType:
		return r.proven(o)
	case review.Type:
		return r.reviewed(o)
	case release.Type:
		return r.attested(o)
	}
	return r.sealed(o)
}

// predicate takes the fields of a statement's predicate in, with some more. Who signed is said by the key.
func (r *Record) predicate(o *envelope.Opened, more map[string]any) error {
	var whole struct {
		Predicate map[string]json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(o.Payload, &whole); err != nil {
		return err
	}
	return r.take(whole.Predicate, more)
}

func (r *Record) take(m map[string]json.RawMessage, more map[string]any) error {
	delete(m, "entry")
	delete(m, "principal")
	var err error
	for name, v := range more {
		if m[name], err = json.Marshal(v); err != nil {
			return err
		}
	}
	r.fields(m)
	return nil
}

func (r *Record) sealed(o *envelope.Opened) error {
	s, err := prov.Parse(o)
	if err != nil {
		return err
	}
	r.Kind, r.Intent = Seal, s.Predicate.Intent
	return r.predicate(o, map[string]any{"commit": s.Commit(), "tree": s.Tree()})
}

func (r *Record) reviewed(o *envelope.Opened) error {
	s, err := review.Parse(o)
	if err != nil {
		return err
	}
	r.Kind = Review
	return r.predicate(o, map[string]any{"commit": s.Commit(), "tree": s.Tree()})
}

func (r *Record) attested(o *envelope.Opened) error {
	s, err := release.Parse(o)
	if err != nil {
		return err
	}
	r.Kind, r.Intent = Attestation, s.Predicate.Intent
	return r.predicate(o, map[string]any{"artifacts": len(s.Predicate.Artifacts), "checkpoint": s.Predicate.Checkpoint.Entry, "name": s.Predicate.ID})
}

// proven takes the run in but for the text of its output, which is read with the evidence.
func (r *Record) proven(o *envelope.Opened) error {
	s, err := evidence.Parse(o)
	if err != nil {
		return err
	}
	var whole struct {
		Predicate struct {
			Run map[string]json.RawMessage `json:"run"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(o.Payload, &whole); err != nil {
		return err
	}
	if s.Predicate.Result == evidence.Failed {
		r.Outcome = event.Failed
	}
	r.Kind = Evidence
	out := s.Predicate.Run.Output
	out.Head, out.Tail = "", ""
	return r.take(whole.Predicate.Run, map[string]any{"tree": s.Tree(), "result": s.Predicate.Result, "output": out})
}
