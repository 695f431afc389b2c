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

// watched is what calls of an agent's tools told, read once.
type watched struct {
	b    *bench
	told journal.Receipts
	gone []string // settings that our hooks were taken out of
	on   bool     // what no call tells of is asked for
}

// watching reads what calls told. Where no hook of an agent was ever called, and none was installed, nothing is asked for unless the policy wants receipts.
func (in *Input) watching(s *git.Session, policy *trust.Policy, p *capability.Principal) (*watched, error) {
	w := &watched{b: &bench{in: in, e: &agent.Event{}, s: s}}
	if p.Kind != string(trust.Agent) {
		return w, nil
	}
	var installed bool
	w.gone, installed = takenOut(s.Repo())
	if w.on = policy.AgentTools().RefuseUnrecorded() || installed || w.b.journal().Any(); !w.on {
		return w, nil
	}
	var err error
	if w.told, err = w.b.journal().Receipts(in.Now()); w.told.Since == 0 {
		w.told.Since = 1 // nobody told of anything: so of nothing of this
	}
	return w, err
}

// untold finds what a commit changes without that a call of a tool tells of it; diffs are its differences from each parent.
func (w *watched) untold(ctx context.Context, diffs func() ([][]prov.Raw, error)) (*untold, error) {
	u := &untold{gone: w.gone}
	if !w.on {
		return u, nil
	}
	list, err := diffs()
	if err == nil {
		u.changes, err = w.b.unexplained(ctx, &w.told, list)
	}
	return u, err
}

// receipted looks for what nobody told of in commits that came to be, whichever command of Git's made them, and records it. It returns those that are to be sealed,
// and what those others lack of which the policy wants receipts; nil where none is left out.
func (in *Input) receipted(ctx context.Context, k *provenance.Sealer, ref string, commits []git.Commit) ([]git.Commit, *untold, error) {
	if k.Hand.Principal.Kind != string(trust.Agent) {
		return commits, nil, nil
	}
	w, err := in.watching(k.Session, k.Root.Policy, k.Hand.Principal)
	if err != nil {
		return nil, nil, err
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
		u, err := w.untold(ctx, func() ([][]prov.Raw, error) { return provenance.DiffsBy(k.Session, c.Tree, c.Parents) })
		if err != nil {
			return nil, nil, err
		}
		refused := !u.empty() && k.Root.Policy.AgentTools().RefuseUnrecorded()
		if refused {
			if lacking == nil {
				lacking = &untold{gone: u.gone}
			}
			lacking.commits, lacking.changes = append(lacking.commits, c.ID), append(lacking.changes, u.changes...)
			var denied *provenance.DeniedError // so nobody vouches for it unasked; what is remembered for doctor says it, too
			if err := k.Deny(ctx, capability.Commit, ref, c, capability.Decision{Reason: clip(u.Error())}); errors.As(err, &denied) && denied.Entry == "" {
				in.say("that commit %s is refused could not be recorded", c.ID.Short())
			}
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
		text, err := settingsOf(kept.File)
		sum := sha256.Sum256(text)
		if err != nil || hex.EncodeToString(sum[:]) != kept.SHA256 && (filepath.Ext(kept.File) != ".json" || !says(string(text), "covenant-agent-hook "+kept.Agent+" before-tool")) {
			gone = append(gone, kept.File)
		}
	}
	slices.Sort(gone)
	return gone, installed
}

// maxSettings bounds settings in bytes; ours are far below it.
const maxSettings = 4 << 20

var errNoSettings = errors.New("it is no file, or too large to be settings")

// settingsOf reads settings of an agent, which the work tree has: anything may stand there.
func settingsOf(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxSettings) {
		err = errNoSettings
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file) //nolint:gosec // of the project
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
