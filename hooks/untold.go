package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// ErrUntold says that a commit has changes of which no hook of an agent was told.
var ErrUntold = errors.New("no call of an agent's tool tells of it")

// untold are changes of an agent's commit of which no call of a tool tells, and hooks that were installed and are gone.
type untold struct {
	changes []change
	gone    []string // settings that our hooks were taken out of
}

func (u *untold) empty() bool { return len(u.changes)+len(u.gone) == 0 }

// Error says what was not told, a few of it by name.
func (u *untold) Error() string {
	var parts []string
	if len(u.gone) > 0 {
		parts = append(parts, "the hooks of an agent were taken out of "+strings.Join(u.gone, ", "))
	}
	if n := len(u.changes); n > 0 {
		var names []string
		for _, c := range u.changes[:min(n, 4)] {
			names = append(names, fmt.Sprintf("%q", c.path))
		}
		if n > 4 {
			names = append(names, fmt.Sprintf("and %d more", n-4))
		}
		parts = append(parts, ErrUntold.Error()+": "+strings.Join(names, ", "))
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns ErrUntold.
func (u *untold) Unwrap() error { return ErrUntold }

// untold finds what an agent's commit changes without that a call of a tool tells of it. Where no hook of an agent was ever called, and none was
// installed, nothing is said unless the policy wants receipts.
func (in *Input) untold(s *git.Session, policy *trust.Policy, p *capability.Principal, changes []pluginapi.Change) (*untold, error) {
	u := &untold{}
	if p.Kind != string(trust.Agent) || s.Repo().WorkTree() == "" {
		return u, nil
	}
	b := &bench{in: in, e: &agent.Event{}, s: s}
	wanted := policy.AgentTools().RefuseUnrecorded()
	gone, installed := takenOut(s.Repo())
	if u.gone = gone; !wanted && !installed && !b.journal().Any() {
		return u, nil // nobody uses hooks of agents here
	}
	r, err := b.journal().Receipts(in.Now())
	if err != nil {
		return nil, err
	}
	if r.Since == 0 {
		r.Since = 1 // nobody told of anything: so of nothing of this
	}
	var paths []string
	for _, c := range changes {
		paths = append(paths, string(c.Path))
	}
	u.changes = b.unexplained(&r, paths)
	return u, nil
}

// untoldOf is untold of a commit that was made; nil where all of it was told.
func (in *Input) untoldOf(s *git.Session, root *provenance.Root, p *capability.Principal, c git.Commit) (*untold, error) {
	if p.Kind != string(trust.Agent) {
		return nil, nil
	}
	if _, installed := takenOut(s.Repo()); !installed && !root.Policy.AgentTools().RefuseUnrecorded() && !(&bench{in: in, s: s}).journal().Any() {
		return nil, nil
	}
	changes, err := provenance.TouchedBy(s, c.Tree, c.Parents)
	if err != nil {
		return nil, err
	}
	u, err := in.untold(s, root.Policy, p, changes)
	if err != nil || u.empty() {
		return nil, err
	}
	return u, nil
}

// takenOut names the settings that our hooks were installed into and that do not have them any more, and reports whether any were
// installed for this work tree.
func takenOut(r *git.Repo) (gone []string, installed bool) {
	dir := SettingsState(r)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		var kept struct{ Agent, File string }
		b, err := os.ReadFile(filepath.Join(dir, e.Name())) //nolint:gosec // our own
		if err != nil || json.Unmarshal(b, &kept) != nil {
			continue
		}
		if _, in := below(r.WorkTree(), kept.File); !in {
			continue // another work tree's
		}
		installed = true
		if text, err := os.ReadFile(kept.File); err != nil || !strings.Contains(string(text), "covenant-agent-hook "+kept.Agent+" before-tool") {
			gone = append(gone, kept.File)
		}
	}
	slices.Sort(gone)
	return gone, installed
}

// tellUntold records what was not told, in the ledger of who acts. What can't be recorded is told by the next commit that lacks it.
func (in *Input) tellUntold(ctx context.Context, k *provenance.Sealer, u *untold, commit string) error {
	x, err := audit.Redactor(in.Env, in.ConfigDir)
	if err != nil {
		return err
	}
	var events []event.Event
	for _, c := range u.changes[:min(len(u.changes), maxUnrecorded)] {
		events = append(events, c.event(in.Moment, commit))
	}
	for _, f := range u.gone {
		c := change{path: f, reason: "our hooks were installed there, and were taken out"}
		events = append(events, c.event(in.Moment, commit))
	}
	for i := range events {
		events[i].Intent = k.Intent
		if _, err := audit.Redact(x, &events[i]); err != nil {
			return err
		}
	}
	_, err = audit.Append(ctx, k, true, events...)
	return err
}

// refuseUntold refuses a commit that the policy wants receipts of, and that lacks some.
func refuseUntold(u *untold) error {
	return &RefusedError{Err: u, Hint: []string{
		"see whether the agent's hooks are reached: covenant hooks status",
		"what a person changed a person commits: COVENANT_IDENTITY=NAME git commit",
	}}
}
