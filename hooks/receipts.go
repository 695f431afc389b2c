package hooks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/journal"
)

// Limits of what is kept of calls.
const (
	maxFileSize   = 32 << 20           // bytes of a file whose content is digested
	maxUnrecorded = 256                // unrecorded changes that are told one by one
	maxDigested   = 1 << 20            // bytes of arguments or results that are redacted and digested
	keepFor       = 7 * 24 * time.Hour // how long a sealed journal stays
)

// SettingsState is the folder in which it is kept which settings of agents were changed in a work tree, and what they were.
func SettingsState(r *git.Repo) string { return filepath.Join(r.StateDir(), "agents", "settings") }

func (b *bench) journal() journal.Journal {
	at := b.workTree()
	if at == "" {
		at = b.s.Repo().GitDir()
	}
	return journal.Of(b.s.Repo().StateDir(), at)
}

// note adds a line to the journal of the session.
func (b *bench) note(l journal.Line) error {
	e := b.e
	l.At, l.Session, l.Call, l.Tool, l.Kind = b.in.Now().UnixMilli(), e.Agent+"/"+e.Session, e.Call, e.Tool, string(e.Kind)
	intent := ""
	if len(l.Events) > 0 {
		intent, _ = Intent(b.in.Env, b.in.ConfigDir, b.s.Repo())
	}
	for i := range l.Events {
		l.Events[i].At, l.Events[i].Session, l.Events[i].Intent = envelope.Timestamp(b.in.Now()), b.session(), intent
	}
	return b.journal().Add(l)
}

// session names a session in events: sub-agents are told apart below their parent.
func (b *bench) session() string {
	s := b.e.Agent + ":" + b.e.Session
	if b.e.Sub != "" {
		s += "/" + b.e.Sub
	}
	return s[:min(len(s), event.MaxWord)]
}

// words keeps of a list what a field of an event takes.
func words(list []string) []any {
	out := make([]any, 0, min(len(list), 64))
	for _, s := range list[:min(len(list), 64)] {
		if s = oneLine(strings.ToValidUTF8(s, "\uFFFD")); len(s) > event.MaxWord {
			s = strings.ToValidUTF8(s[:event.MaxWord], "")
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// put sets a field where there is something to say.
func put(data map[string]any, name, value string) {
	if value != "" {
		data[name] = value
	}
}

// invoked is the event of a call that is about to be made, or refused.
func (b *bench) invoked(paths []string) []event.Event {
	e := b.e
	data := map[string]any{"tool": e.Tool, "agent": e.Agent, "class": string(e.Kind)}
	put(data, "call", e.Call)
	put(data, "turn", e.Turn)
	put(data, "arguments_sha256", b.digest(e.Arguments))
	if len(paths) > 0 {
		data["paths"] = words(paths)
	}
	if len(b.out.Hidden) > 0 {
		data["hidden"] = words(b.out.Hidden)
	}
	return []event.Event{{Kind: "tool_invoked", Data: data}}
}

// hide notes that a call was refused.
func (b *bench) hide(paths []string) {
	_ = b.note(journal.Line{State: journal.Denied, Paths: paths, Events: []event.Event{{Kind: "tool_call_completed", Outcome: event.Denied, Data: b.call()}}})
}

func (b *bench) call() map[string]any {
	data := map[string]any{"tool": b.e.Tool, "agent": b.e.Agent}
	put(data, "call", b.e.Call)
	put(data, "turn", b.e.Turn)
	put(data, "model", b.e.Model)
	return data
}

// redactor takes secrets out; nil where that can't be done, and then nothing is said.
func (b *bench) redactor() *redaction.Redactor {
	if b.clean == nil {
		if x, err := audit.Redactor(b.in.Env, b.in.ConfigDir); err == nil {
			b.clean = x
		}
	}
	return b.clean
}

func (b *bench) redacted(s string) string {
	x := b.redactor()
	if x == nil {
		return "it was not recorded, since it could not be redacted"
	}
	s, _ = x.Redact(clip(s))
	return s
}

// digest is the SHA-256 of a text as it is after redaction: a plain digest of a short secret could be tried out. "" for nothing, or too much.
func (b *bench) digest(text []byte) string {
	if len(text) == 0 || len(text) > maxDigested {
		return ""
	}
	x := b.redactor()
	if x == nil {
		return ""
	}
	clean, _ := x.Redact(string(text))
	sum := sha256.Sum256([]byte(clean))
	return hex.EncodeToString(sum[:])
}

// after notes how a call ended, and what the files are that it wrote.
func (b *bench) after(dir string) error {
	if b.s == nil {
		return nil
	}
	e := b.e
	if e.Kind == agent.Shell && b.t.Shell != nil {
		b.out = b.t.Shell(e.Command, dir, b.t.Home, nil)
	}
	written, _, err := b.targets(dir)
	if err != nil {
		written = nil
	}
	data := b.call()
	put(data, "arguments_sha256", b.digest(e.Arguments))
	put(data, "result_sha256", b.digest(e.Result))
	if e.Usage.Millis > 0 {
		data["duration_ms"] = e.Usage.Millis
	}
	outcome := event.OK
	if e.Failed {
		outcome = event.Failed
	}
	l := journal.Line{State: journal.Returned, Events: []event.Event{{Kind: "tool_call_completed", Outcome: outcome, Data: data}}}
	work := b.workTree()
	for _, p := range b.inTree(written) {
		f, text := fileAt(filepath.Join(work, filepath.FromSlash(p)))
		f.Path = p
		l.Files = append(l.Files, f)
		told := map[string]any{"path": strings.ToValidUTF8(p, "\uFFFD"), "tool": e.Tool, "agent": e.Agent}
		put(told, "call", e.Call)
		if f.SHA256 != "" {
			told["sha256"], told["bytes"] = f.SHA256, len(text)
		}
		if ranges := b.lines(dir, work, p, text); len(ranges) > 0 {
			told["lines"] = words(ranges)
		}
		if len(l.Events) <= 64 {
			l.Events = append(l.Events, event.Event{Kind: "file_written", Data: told})
		}
	}
	return b.note(l)
}

// fileAt reads a file and its digest, "" where it is none, or too large.
func fileAt(p string) (journal.File, []byte) {
	info, err := os.Lstat(p)
	if err != nil {
		return journal.File{}, nil
	}
	if info.Mode()&os.ModeSymlink != 0 {
		to, err := os.Readlink(p)
		if err != nil {
			return journal.File{}, nil
		}
		sum := sha256.Sum256([]byte(to))
		return journal.File{SHA256: hex.EncodeToString(sum[:])}, []byte(to)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileSize {
		return journal.File{}, nil
	}
	f, err := os.Open(p) //nolint:gosec // of the work tree
	if err != nil {
		return journal.File{}, nil
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		return journal.File{}, nil
	}
	sum := sha256.Sum256(text)
	return journal.File{SHA256: hex.EncodeToString(sum[:])}, text
}

// lines returns which lines of a file an edit put in, as they are after it: "3-5", from 1.
func (b *bench) lines(dir, work, path string, text []byte) []string {
	var out []string
	for _, c := range b.e.Edits {
		at := c.Path
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		s, err := siteAt(at)
		if err != nil {
			continue
		}
		rel, ok := below(work, s.final)
		if !ok || filepath.ToSlash(rel) != path {
			continue
		}
		if c.Whole {
			return []string{span(1, bytes.Count(text, []byte("\n"))+trailing(text))}
		}
		part := []byte(strings.TrimSuffix(c.Text, "\n"))
		i := bytes.Index(text, part)
		if i < 0 || len(part) == 0 {
			continue
		}
		from := bytes.Count(text[:i], []byte("\n")) + 1
		out = append(out, span(from, from+bytes.Count(part, []byte("\n"))))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func trailing(text []byte) int {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return 1
	}
	return 0
}

func span(from, to int) string {
	if to <= from {
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d-%d", from, to)
}

// tell notes what is said of a session and of no call.
func (b *bench) tell() error {
	if b.s == nil {
		return nil
	}
	l := journal.Line{State: journal.Told}
	if b.e.Moment == agent.SubagentStart {
		l.Events = b.began()
	}
	if b.e.Moment == agent.SubagentStop {
		l.Events = b.ended()
	}
	return b.note(l)
}

func (b *bench) began() []event.Event {
	e := b.e
	data := map[string]any{"tool": e.Agent, "agent": e.Agent}
	put(data, "model", e.Model)
	put(data, "version", e.Version)
	put(data, "source", e.Source)
	if e.Sub != "" {
		put(data, "parent", e.Session)
		put(data, "source", e.SubKind)
	}
	return []event.Event{{Kind: "session_started", Data: data}}
}

func (b *bench) ended() []event.Event {
	e := b.e
	data := map[string]any{"agent": e.Agent}
	put(data, "model", e.Model)
	put(data, "reason", e.Source)
	for name, n := range map[string]int64{"duration_ms": e.Usage.Millis, "input_tokens": e.Usage.Input, "output_tokens": e.Usage.Output, "cost_micros": e.Usage.CostMicros} {
		if n > 0 {
			data[name] = n
		}
	}
	outcome := event.OK
	if e.Failed {
		outcome = event.Failed
	}
	return []event.Event{{Kind: "session_ended", Outcome: outcome, Data: data}}
}

// stop compares the work tree with what was told of, and seals the journal of the session.
func (b *bench) stop(ctx context.Context) error {
	if b.s == nil {
		return nil
	}
	l := journal.Line{State: journal.Told, Events: b.ended()}
	if b.workTree() != "" {
		found, err := b.compare(ctx)
		if err != nil {
			return err
		}
		for _, c := range found[:min(len(found), maxUnrecorded)] {
			l.Events = append(l.Events, c.event(b.in.Moment, ""))
		}
	}
	if err := b.note(l); err != nil {
		return err
	}
	return b.seal(ctx)
}

// change is a change of the work tree that nobody told of.
type change struct {
	path, sha256 string
	reason       string
}

func (c *change) event(moment, commit string) event.Event {
	data := map[string]any{"path": strings.ToValidUTF8(c.path, "\uFFFD"), "moment": moment}
	put(data, "sha256", c.sha256)
	put(data, "commit", commit)
	put(data, "reason", c.reason)
	return event.Event{Kind: "change_unrecorded", Data: data}
}

// compare finds what changed in the work tree since the first line of the journal without a call that tells of it.
func (b *bench) compare(ctx context.Context) ([]change, error) {
	r, err := b.journal().Receipts(b.in.Now())
	if err != nil || r.Since == 0 {
		return nil, err
	}
	st, err := b.s.Repo().Status(ctx)
	if err != nil {
		return nil, err
	}
	paths := slices.Clone(st.Untracked)
	for _, c := range st.Changes {
		if c.Unstaged != '.' || c.Staged != '.' {
			paths = append(paths, c.Path)
		}
	}
	return b.unexplained(&r, paths), nil
}

// unexplained returns those of changed paths that no call tells of.
func (b *bench) unexplained(r *journal.Receipts, paths []string) []change {
	work := b.workTree()
	var out []change
	for _, p := range paths {
		if strings.HasSuffix(p, "/") {
			continue // a repository within
		}
		at := filepath.Join(work, filepath.FromSlash(p))
		when, there := changedAt(at)
		if !there {
			when, _ = changedAt(filepath.Dir(at)) // it is gone, and its folder tells when
		}
		if when != 0 && when < r.Since-journal.Slack {
			continue // before the session
		}
		if r.Covers(p, "", when) {
			continue
		}
		f, _ := fileAt(at)
		if r.Covers(p, f.SHA256, when) {
			continue
		}
		out = append(out, change{path: p, sha256: f.SHA256})
	}
	return out
}

// seal takes the journal of the session into the ledger of who acts, as one segment. Where nobody acts whose key is here it stays.
func (b *bench) seal(ctx context.Context) error {
	j, session := b.journal(), b.e.Agent+"/"+b.e.Session
	a, err := b.who(ctx)
	if err != nil {
		return nil //nolint:nilerr // what is not sealed now is sealed when somebody acts
	}
	hand, err := provenance.ChooseHand(b.s.Repo(), a.authority, a.choice)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	unlock, err := b.s.Repo().Lock(ctx) // two moments must not seal the same lines
	if err != nil {
		return err
	}
	defer unlock()
	page, err := j.Read(session, j.Sealed(session))
	if err != nil {
		return err
	}
	x := b.redactor()
	if x == nil {
		return errors.New("events could not be redacted")
	}
	var events []event.Event
	for _, l := range page.Lines {
		for _, ev := range l.Events {
			if ev.Validate() != nil {
				continue // somebody else wrote it
			}
			if _, err := audit.Redact(x, &ev); err != nil {
				return err
			}
			events = append(events, ev)
		}
	}
	if page.Torn > 0 {
		events = append(events, event.Event{Kind: "note", Session: b.session(), Data: map[string]any{"text": fmt.Sprintf("%d lines of the journal were torn or changed, and are not here", page.Torn)}})
	}
	if len(events) > 0 {
		k := &provenance.Sealer{Session: b.s, Root: b.root, Authority: a.authority, Hand: hand, Moment: b.in.Moment, Now: b.in.Now, Locked: true}
		if _, err := audit.Append(ctx, k, true, events...); err != nil {
			return err
		}
	}
	if err := j.Seal(session, page.Size); err != nil {
		return err
	}
	j.Sweep(b.in.Now().Add(-keepFor))
	return nil
}
