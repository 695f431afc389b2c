package hooks

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// A refusal is one ref that a push was refused for.
type refusal struct {
	move   move
	remote string // it was to go to; "" on a server
	reason string
}

// Limits of what is recorded of refusals.
const (
	maxRefsRefused = 16  // of one push
	refusalsLimit  = 100 // pushes in an hour, on a server: whoever may push could else make its ledger grow without end
)

// tellRefused records that a push was refused, where this clone or server has an identity of its own: in its own ledger,
// which who pushes cannot take away. A refusal that can't be recorded is one all the same.
func (in *Input) tellRefused(ctx context.Context, s *git.Session, pin envelope.Digest, err error) {
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.refusals) == 0 {
		return
	}
	choice := in.choice()
	if in.Moment == "pre-receive" {
		if name, _ := s.Repo().Config().Get(provenance.IdentityKey); name == "" && choice.Explicit == "" {
			return
		}
		// What is pushed stays in its quarantine; what is said of it does not.
		repo, err := git.Open(ctx, git.Options{Dir: s.Repo().GitDir(), Env: outside(in.Env), Reads: true, Stored: stored})
		if err != nil {
			return
		}
		s = repo.Session(ctx)
		defer func() { _ = s.Close() }()
	}
	root, err := provenance.OpenRoot(s, pin)
	if err != nil {
		return
	}
	authority, _, err := provenance.AuthorityFor(ctx, s, root, choice)
	if err != nil {
		return
	}
	hand, err := provenance.ChooseHand(s.Repo(), authority, choice)
	if err != nil {
		return
	}
	intent, _ := Intent(in.Env, in.ConfigDir, s.Repo())
	x, err := audit.Redactor(in.Env, in.ConfigDir)
	if err != nil {
		return
	}
	unlock, err := s.Repo().Lock(ctx)
	if err != nil {
		return
	}
	defer unlock()
	var events []event.Event
	if in.Moment == "pre-receive" {
		n := spent(s.Repo(), in.Now())
		if n > refusalsLimit {
			return
		}
		if n == refusalsLimit {
			events = append(events, event.Event{Kind: "note", Data: map[string]any{"text": fmt.Sprintf("%d refused pushes are recorded in an hour; more of this hour are not", refusalsLimit)}})
		}
	}
	for _, r := range refused.refusals[:min(len(refused.refusals), maxRefsRefused)] {
		data := map[string]any{"ref": clip(r.move.ref), "moment": in.Moment, "reason": clip(r.reason)}
		for name, id := range map[string]oid.ID{"old": r.move.old, "new": r.move.new} {
			if !id.IsZero() {
				data[name] = id.String()
			}
		}
		if r.remote != "" && !strings.ContainsAny(r.remote, "@:") { // an address may hold a password
			data["remote"] = clip(r.remote)
		}
		e := event.Event{Kind: "ref_refused", Intent: intent, Data: data}
		if _, err := audit.Redact(x, &e); err != nil {
			return
		}
		events = append(events, e)
	}
	k := &provenance.Sealer{Session: s, Root: root, Authority: authority, Hand: hand, Moment: in.Moment, Now: in.Now, Locked: true}
	_, _ = audit.Append(ctx, k, true, events...)
}

// clip shortens a text to what an event takes.
func clip(s string) string {
	const most = 4 << 10
	return strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD")
}

// outside is an environment without Git's quarantine: what is written then is there whatever becomes of the push.
func outside(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return name == "GIT_QUARANTINE_PATH" || name == "GIT_OBJECT_DIRECTORY" || name == "GIT_ALTERNATE_OBJECT_DIRECTORIES"
	})
}

// spent counts one more refusal of an hour, under the repository's lock, and returns which one it is; past the limit none is counted.
func spent(r *git.Repo, now time.Time) int {
	const file = "refusals" // "<seconds since 1970 when the hour began> <how many there were>"
	began, n := now.Unix(), 0
	if b, _, ok := small(filepath.Join(r.StateDir(), file), 63); ok {
		var at int64
		if _, err := fmt.Sscanf(string(b), "%d %d", &at, &n); err != nil || now.Unix()-at >= 3600 || now.Unix() < at {
			n = 0
		} else {
			began = at
		}
	}
	if n >= refusalsLimit || r.WriteState(file, fmt.Appendf(nil, "%d %d\n", began, n+1)) != nil {
		return refusalsLimit + 1
	}
	return n + 1
}
