package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/event"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/journal"
)

// ErrUntold says that a commit has changes of which no hook of an agent was told.
var ErrUntold = errors.New("no call of an agent's tool tells of it")

// untold are changes of an agent's commit of which no call of a tool tells, and hooks that were installed and are gone.
type untold struct {
	commits []oid.ID // that are not sealed for it
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
			names = append(names, fmt.Sprintf("%q", c.file.Path))
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

// untold finds what an agent's commit changes without that a call of a tool tells of it; diffs are its differences from each parent. Where no hook of an agent was ever
// called, and none was installed, nothing is said unless the policy wants receipts.
func (in *Input) untold(ctx context.Context, s *git.Session, policy *trust.Policy, p *capability.Principal, diffs func() ([][]prov.Raw, error)) (*untold, error) {
	u := &untold{}
	if p.Kind != string(trust.Agent) {
		return u, nil
	}
	b := &bench{in: in, e: &agent.Event{}, s: s}
	gone, installed := takenOut(s.Repo())
	if u.gone = gone; !policy.AgentTools().RefuseUnrecorded() && !installed && !b.journal().Any() {
		return u, nil // nobody uses hooks of agents here
	}
	r, err := b.journal().Receipts(in.Now())
	if err != nil {
		return nil, err
	}
	if r.Since == 0 {
		r.Since = 1 // nobody told of anything: so of nothing of this
	}
	list, err := diffs()
	if err != nil {
		return nil, err
	}
	u.changes, err = b.unexplained(ctx, &r, list)
	return u, err
}

// receipted looks for what nobody told of in commits that came to be, whichever command of Git's made them, and records it. It returns those that are to be sealed,
// and what those others lack of which the policy wants receipts; nil where none is left out.
func (in *Input) receipted(ctx context.Context, k *provenance.Sealer, ref string, commits []git.Commit) ([]git.Commit, *untold, error) {
	if k.Hand.Principal.Kind != string(trust.Agent) {
		return commits, nil, nil
	}
	var rest []git.Commit
	var lacking *untold
	for _, c := range commits {
		if !k.Again {
			if done, err := k.Sealed(c.ID); err != nil {
				return nil, nil, err
			} else if done {
				continue
			}
		}
		u, err := in.untold(ctx, k.Session, k.Root.Policy, k.Hand.Principal, func() ([][]prov.Raw, error) { return diffsOf(k.Session, c) })
		if err != nil {
			return nil, nil, err
		}
		refused := !u.empty() && k.Root.Policy.AgentTools().RefuseUnrecorded()
		if refused {
			if lacking == nil {
				lacking = &untold{gone: u.gone}
			}
			lacking.commits, lacking.changes = append(lacking.commits, c.ID), append(lacking.changes, u.changes...)
			_ = k.Deny(ctx, capability.Commit, ref, c, capability.Decision{Reason: clip(u.Error())}) // so nobody vouches for it unasked
		} else {
			rest = append(rest, c)
		}
		if u.empty() {
			continue
		}
		if err := in.tellUntold(ctx, k, u, c.ID.String()); err != nil {
			in.say("%v, and that could not be recorded: %v", u, err)
		}
	}
	return rest, lacking, nil
}

// diffsOf are the differences of a commit from each of its parents.
func diffsOf(s *git.Session, c git.Commit) ([][]prov.Raw, error) {
	from := []oid.ID{{}}
	if len(c.Parents) > 0 {
		from = from[:0]
	}
	for _, p := range c.Parents {
		parent, err := s.Commit(p.String())
		if err != nil {
			return nil, err
		}
		from = append(from, parent.Tree)
	}
	var out [][]prov.Raw
	for _, tree := range from {
		list, err := s.Diff(tree, c.Tree)
		if err != nil {
			return nil, err
		}
		out = append(out, provenance.RawChanges(list))
	}
	return out, nil
}

// takenOut names the settings that our hooks were installed into and that do not have them any more, and reports whether any were
// installed for this work tree.
func takenOut(r *git.Repo) (gone []string, installed bool) {
	dir, work := SettingsState(r), r.WorkTree()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		var kept struct{ Agent, File, SHA256 string }
		b, err := os.ReadFile(filepath.Join(dir, e.Name())) //nolint:gosec // our own
		if err != nil || json.Unmarshal(b, &kept) != nil {
			continue
		}
		if _, in := below(work, kept.File); work == "" || !in {
			continue // another work tree's
		}
		installed = true
		text, err := os.ReadFile(kept.File)
		sum := sha256.Sum256(text)
		if err != nil || hex.EncodeToString(sum[:]) != kept.SHA256 && (filepath.Ext(kept.File) != ".json" || !says(string(text), "covenant-agent-hook "+kept.Agent+" before-tool")) {
			gone = append(gone, kept.File)
		}
	}
	slices.Sort(gone)
	return gone, installed
}

// says reports whether settings in JSON have a text, and not in a comment.
func says(settings, text string) bool {
	for settings != "" {
		switch {
		case strings.HasPrefix(settings, "//"):
			_, settings, _ = strings.Cut(settings, "\n")
		case strings.HasPrefix(settings, "/*"):
			_, settings, _ = strings.Cut(settings[2:], "*/")
		case settings[0] == '"':
			n := 1
			for n < len(settings) && settings[n] != '"' {
				if settings[n] == '\\' {
					n++
				}
				n++
			}
			if n >= len(settings) {
				return false
			}
			if settings[1:n] == text { // as it is written, it has no escapes
				return true
			}
			settings = settings[n+1:]
		default:
			settings = settings[1:]
		}
	}
	return false
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
		c := change{file: journal.File{Path: f}, reason: "our hooks were installed there, and were taken out"}
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
