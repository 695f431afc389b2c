package intents

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/review"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Held tells of artifacts of an intent whether they hold still, each at its gate. A text always does. Of an entry all ledgers are read, unless
// none has moved since. Who is about to take a step in the role of implementer is worked with the others; "" for nobody.
func (b *Book) Held(ctx context.Context, s *intent.Intent, list []intent.Artifact, worker string, now time.Time) (map[intent.Artifact]provenance.Held, error) {
	out := map[intent.Artifact]provenance.Held{}
	var entries []envelope.Digest
	for _, a := range list {
		switch id := envelope.Digest(a.Ref); {
		case strings.HasPrefix(a.Ref, "text:"):
			out[a] = provenance.Held{}
		case id.Valid():
			entries = append(entries, id)
		default:
			h, err := b.filed(a.Ref)
			if err != nil {
				return nil, err
			}
			out[a] = h
		}
	}
	if len(entries) == 0 {
		return out, nil
	}
	slices.Sort(entries)
	entries = slices.Compact(entries)
	found, err := b.find(ctx, s.ID, entries, now)
	if err != nil {
		return nil, err
	}
	for i := range s.Steps {
		if x := &s.Steps[i]; x.Why == "" && x.Moved != nil && x.Moved.Role == intent.Implementer && x.By != "" {
			found.worked(x.By)
		}
	}
	if worker != "" {
		found.worked(worker)
	}
	for _, a := range list {
		i, ok := slices.BinarySearch(entries, envelope.Digest(a.Ref))
		if !ok {
			continue
		}
		h := found.Shown[i].Held
		if h.Why == "" {
			h.Why = found.opens(a.Gate, &found.Shown[i])
		}
		out[a] = h
	}
	return out, nil
}

// evident is what the record has of entries that are shown, and of who made what they are about.
type evident struct {
	Shown  []provenance.Shown `json:"shown"`  // as the entries
	Makers map[string]string  `json:"makers"` // who worked on the intent, and who answers for each
	Answer map[string]string  `json:"answer"` // who answers for whom
}

func (e *evident) worked(name string) {
	e.Makers[name] = cmp.Or(e.Answer[name], name)
}

// find reads what is told of entries, unless that is remembered.
func (b *Book) find(ctx context.Context, id intent.ID, entries []envelope.Digest, now time.Time) (*evident, error) {
	question, err := provenance.RecordQuestion(b.s, b.root)
	if err != nil {
		return nil, err
	}
	question += fmt.Sprintln("shown/v3", id, entries)
	var e evident
	name := heldFile(entries)
	if json.Unmarshal(b.cache.Recall(name, question), &e) == nil && len(e.Shown) == len(entries) && e.Makers != nil {
		return &e, nil
	}
	f, err := b.cache.Load(ctx, b.s, b.root.Pinned())
	if err != nil {
		return nil, err
	}
	e = evident{Makers: f.Makers(string(id)), Answer: map[string]string{}}
	for _, p := range f.Authority.Principals() {
		e.Answer[p.Name] = p.Accountable
	}
	for _, id := range entries {
		e.Shown = append(e.Shown, f.Shown(id, now))
	}
	if body, err := json.Marshal(&e); err == nil {
		b.cache.Keep(name, question, body)
	}
	return &e, nil
}

// opens says why an entry that holds is nothing to show at a gate: a run that did not pass, or a review that approves nothing, not this, or is by
// who did the work, or, where security is asked for, by nobody else who answers for himself alone.
func (e *evident) opens(gate intent.Gate, x *provenance.Shown) string {
	if x.Result != "" && x.Result != evidence.Passed {
		return "the run did not pass"
	}
	if x.Verdict == "" {
		return ""
	}
	if x.Verdict != review.Approve {
		return fmt.Sprintf("it says %s, and approves nothing", x.Verdict)
	}
	if len(x.Gates) > 0 && !slices.ContainsFunc(x.Gates, func(name string) bool { g, err := intent.ParseGate(name); return err == nil && g == gate }) {
		return "it is for gate " + strings.Join(x.Gates, ", ")
	}
	if _, own := e.Makers[x.By]; own {
		return x.By + " worked on this, and approves it"
	}
	if gate != intent.SecurityGate {
		return ""
	}
	if !x.Person {
		return "it is by no person of the trust root"
	}
	for _, name := range slices.Sorted(maps.Keys(e.Makers)) {
		if e.Makers[name] == x.By {
			return x.By + " answers for " + name + ", who worked on this"
		}
	}
	return ""
}

// heldFile names the memory of what became of entries by the first of them.
func heldFile(entries []envelope.Digest) string {
	return "held-" + strings.TrimPrefix(string(entries[0]), "sha256:")[:24]
}

// filed tells whether a path is in a commit, as far as that is here.
func (b *Book) filed(ref string) (provenance.Held, error) {
	i := strings.LastIndexByte(ref, '@')
	path, commit := ref[:i], ref[i+1:]
	_, err := b.s.Object(commit+":"+path, 0)
	var large *git.TooLargeError
	switch {
	case errors.Is(err, git.ErrMissing):
		return provenance.Held{Why: "the commit, or the path in it, is not here"}, nil
	case err != nil && !errors.As(err, &large):
		return provenance.Held{}, err
	}
	return provenance.Held{}, nil
}

// holds refuses a step for which something is shown that does not hold, or was shown and does no more.
func (b *Book) holds(ctx context.Context, k *provenance.Sealer, s *intent.Intent, step *Step) error {
	var list []intent.Artifact
	for _, g := range s.Fields.Gates {
		guard, _ := intent.GuardOf(g)
		for _, a := range s.Artifacts {
			if a.Gate == g && guard.Before == step.To && !slices.ContainsFunc(step.Artifacts, func(x intent.Artifact) bool { return x.Gate == g }) {
				list = append(list, a)
			}
		}
	}
	list = append(list, step.Artifacts...)
	worker := ""
	if step.Role == intent.Implementer {
		worker = k.Hand.Principal.Name
	}
	held, err := b.Held(ctx, s, list, worker, k.Now())
	if err != nil {
		return err
	}
	for _, a := range list {
		if why := held[a].Why; why != "" {
			return &RefusedError{
				Kind: Unshown, Intent: s, To: step.To, Role: step.Role, Gates: []intent.Gate{a.Gate},
				Reason: fmt.Sprintf("%s: what is shown at gate %s, %.80s, does not hold: %s", s.ID.Short(), a.Gate, a.Ref, why),
			}
		}
	}
	return nil
}
