package sync

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	form "github.com/open-covenant/covenant-git/envelope/handoff"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Inspected is what a bundle says of a handoff.
type Inspected struct {
	Record   *handoff.Record   // as it would be here
	Handoff  *form.Handoff     // nil where nobody who is known signed one of this name
	Refused  []verdict.Finding // what of the bundle would not be taken over
	Warnings []verdict.Finding
}

// OK reports whether the record of the bundle would be taken over.
func (i *Inspected) OK() bool { return len(i.Refused) == 0 }

// Inspect judges a bundle, or another remote, that has a handoff, as taking it over and up would. All of it comes into a quarantine, within the
// limits of the options, and goes with it: the repository has the same objects and refs afterwards. Objects of the handoff may have
// most bytes. Errors are those of reading the bundle, and of [handoff.Verify]; who gets one of the latter gets what was inspected as well.
func Inspect(ctx context.Context, s *git.Session, o Options, id envelope.Digest, most int64) (*Inspected, error) {
	if o.Limits == (Limits{}) {
		o.Limits = Default
	}
	r := newRun(ctx, s, o)
	if err := r.look(); err != nil {
		return nil, err
	}
	in, err := r.bring(append(specs(), "+"+handoff.Ref(id)+":"+quarantinedHandoff)...)
	if err != nil {
		return nil, Said(err)
	}
	defer in.close()
	out := &Inspected{}
	err = in.root()
	if err == nil && !r.stop && !r.foreign {
		err = in.ledgers()
	}
	out.Refused, out.Warnings = r.rep.Refused, r.rep.Warnings
	if err != nil || !out.OK() {
		return out, err
	}
	if out.Record, err = in.inspected(); err != nil {
		return out, err
	}
	if out.Handoff, err = out.Record.Find(string(id)); err != nil {
		return out, err
	}
	return out, in.sound(out.Handoff, most)
}

// quarantinedHandoff is where the objects of the handoff that is inspected are.
const quarantinedHandoff = quarantined + trackedHandoffs + "it"

// inspected is what the ledgers of handoffs would say here.
func (in *incoming) inspected() (*handoff.Record, error) {
	overlay := map[string]oid.ID{}
	for ref, id := range in.ours {
		if n, ok := isLedger(ref); ok && n.Topic == form.Topic {
			overlay[ref] = id
		}
	}
	for ref, id := range in.moves {
		if _, ok := isLedger(ref); ok || ref == provenance.RootRef {
			overlay[ref] = id
		}
	}
	f, err := provenance.LoadOnly(in.ctx, in.qs, in.o.Pin, overlay)
	if err != nil {
		return nil, err
	}
	return handoff.Of(f), nil
}

// sound holds the objects of a handoff that are in quarantine to what was signed, and lets git-fsck look at them.
func (in *incoming) sound(h *form.Handoff, most int64) error {
	refs, err := in.qs.Refs(strings.TrimSuffix(quarantinedHandoff, "/it"))
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if ref.Name == quarantinedHandoff && ref.ID != h.Commit {
			return fmt.Errorf("%w: it has %s under the name of the handoff, and %s was signed", handoff.ErrMismatch, ref.ID.Short(), h.Commit.Short())
		}
	}
	if _, err := handoff.Check(in.qs, h, most); err != nil {
		return err
	}
	var except []oid.ID
	for _, id := range in.ours {
		except = append(except, id)
	}
	if !h.Base.IsZero() {
		except = append(except, h.Base)
	}
	return in.q.Sound(in.ctx, []oid.ID{h.Commit}, except)
}
