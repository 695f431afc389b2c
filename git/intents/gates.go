package intents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Held tells of artifacts, by what they refer to, whether they hold still. A text always does. Of an entry all ledgers are read, unless
// none has moved since.
func (b *Book) Held(ctx context.Context, list []intent.Artifact, now time.Time) (map[string]provenance.Held, error) {
	out := map[string]provenance.Held{}
	var entries []envelope.Digest
	for _, a := range list {
		if _, told := out[a.Ref]; told {
			continue
		}
		switch id := envelope.Digest(a.Ref); {
		case strings.HasPrefix(a.Ref, "text:"):
			out[a.Ref] = provenance.Held{}
		case id.Valid():
			out[a.Ref] = provenance.Held{}
			entries = append(entries, id)
		default:
			h, err := b.filed(a.Ref)
			if err != nil {
				return nil, err
			}
			out[a.Ref] = h
		}
	}
	if len(entries) == 0 {
		return out, nil
	}
	slices.Sort(entries)
	question, err := provenance.RecordQuestion(b.s, b.root)
	if err != nil {
		return nil, err
	}
	question += fmt.Sprintln(entries)
	var held []provenance.Held
	name := heldFile(entries)
	if json.Unmarshal(b.cache.Recall(name, question), &held) != nil || len(held) != len(entries) {
		f, err := provenance.Load(ctx, b.s, b.root.Pinned())
		if err != nil {
			return nil, err
		}
		held = held[:0]
		for _, id := range entries {
			held = append(held, f.Held(id, now))
		}
		if body, err := json.Marshal(held); err == nil {
			b.cache.Keep(name, question, body)
		}
	}
	for i, id := range entries {
		out[string(id)] = held[i]
	}
	return out, nil
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
	held, err := b.Held(ctx, list, k.Now())
	if err != nil {
		return err
	}
	for _, a := range list {
		if why := held[a.Ref].Why; why != "" {
			return &RefusedError{
				Kind: Unshown, Intent: s, To: step.To, Role: step.Role, Gates: []intent.Gate{a.Gate},
				Reason: fmt.Sprintf("%s: what is shown at gate %s, %.80s, does not hold: %s", s.ID.Short(), a.Gate, a.Ref, why),
			}
		}
	}
	return nil
}
