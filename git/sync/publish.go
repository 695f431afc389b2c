package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Pending returns what a remote is not known to have of what is here, as far as that can be told
// without asking it, by full names of refs.
func Pending(ctx context.Context, s *git.Session, remote string) ([]string, error) {
	r := newRun(ctx, s, Options{Remote: remote})
	if err := r.look(); err != nil {
		return nil, err
	}
	records, view := r.pending()
	return append(records, view...), nil
}

// pending lists the refs that the remote lacks or has shorter: records, then the view.
func (r *run) pending() (records, view []string) {
	for _, ref := range slices.Sorted(maps.Keys(r.ours)) {
		_, isLedger := isLedger(ref)
		if r.bad[ref] || r.known(ref) == r.ours[ref] || (r.apart || r.listed) && !r.follows(ref) && !r.replaces(ref) {
			continue
		}
		switch {
		case ref == notesRef:
			if !r.noView {
				view = append(view, ref)
			}
		case strings.HasPrefix(ref, provenance.StagedPrefix):
			if was := r.known(ref); !was.IsZero() { // who signed at the same time joins them: covenant trust sign
				if ok, err := provenance.Forward(r.ctx, r.s, was, r.ours[ref]); err != nil || !ok {
					continue
				}
			}
			records = append(records, ref)
		case isHandoff(ref):
			if r.o.Pin == "" || r.ready(ref) { // who only asks whether there is something to send has no pin
				records = append(records, ref)
			}
		case isLedger, ref == provenance.RootRef:
			records = append(records, ref)
		}
	}
	return records, view
}

// weigh asks what is there where a push goes, unless that was fetched just now, and reports what it lacks.
func (r *run) weigh() error {
	if r.apart || r.there == nil {
		if err := r.list(); err != nil {
			return err
		}
	}
	records, view := r.pending()
	r.rep.Lacks = append(records, view...)
	return nil
}

// otherSide asks what is there where a push goes, when that is not where the fetch came from.
func (r *run) otherSide() error {
	if !r.apart {
		return nil
	}
	return r.list()
}

// list asks what is there where a push goes.
func (r *run) list() error {
	refs, err := Theirs(r.ctx, r.s, r.o.Remote)
	if err != nil {
		return err
	}
	r.there, r.listed = map[string]oid.ID{}, true
	for _, ref := range refs {
		r.there[under(ref.Name)] = ref.ID
	}
	return nil
}

// follows reports whether ours goes on from what is there.
func (r *run) follows(ref string) bool {
	was := r.known(ref)
	if was.IsZero() {
		return true
	}
	ok, err := provenance.Forward(r.ctx, r.s, was, r.ours[ref])
	return err == nil && ok
}

// replaces reports whether ours takes the place of what is there, which has all that is there but what was dropped.
func (r *run) replaces(ref string) bool {
	was, ok := r.pruned[ref]
	return ok && was == r.known(ref)
}

// publish sends what the remote lacks. Who was raced fetches and tries again; who was refused, and not
// raced, is not.
func (r *run) publish() error {
	together := true
	for try := 1; ; try++ {
		if err := r.otherSide(); err != nil {
			return err
		}
		records, view := r.pending()
		records = append(records, r.settled()...)
		send := records
		if together || len(records) == 0 {
			send = append(slices.Clone(records), view...)
		}
		if len(send) == 0 {
			return nil
		}
		knew := r.there
		refused, err := r.push(send)
		if r.ctx.Err() != nil {
			return err
		}
		r.rep.Rejected, r.rep.NoView = nil, nil
		if len(refused) == 0 && err == nil && r.lost && try < maxTries {
			r.lost = false // what else was there may be gone as well
			if err := r.look(); err != nil {
				return err
			}
			if err := r.fetch(); err != nil {
				return err
			}
			if r.stop || r.foreign || r.hidden() {
				return nil
			}
			continue
		}
		if len(refused) == 0 && err == nil {
			if together || len(view) == 0 || try == maxTries {
				return nil
			}
			together = true // the records are there; now the view
			continue
		}
		told := &r.rep.Rejected
		r.unsettled = r.unsettled || slices.ContainsFunc(refused, func(ref string) bool { return r.ours[ref].IsZero() })
		if len(refused) > 0 && !slices.ContainsFunc(refused, func(ref string) bool { return ref != notesRef && !r.ours[ref].IsZero() }) {
			told = &r.rep.NoView
		}
		*told = err
		if try == maxTries || len(refused) == 0 { // the latter when nobody answered
			return nil
		}
		if err := r.pause(try); err != nil {
			return err
		}
		if err := r.look(); err != nil {
			return err
		}
		if err := r.fetch(); err != nil {
			return err
		}
		if r.stop || r.foreign || r.hidden() {
			return nil
		}
		raced := knew == nil || !maps.Equal(knew, r.there)
		records, view = r.pending()
		switch {
		case len(records)+len(view) == 0: // what was refused is there, or was of no use
			*told = nil
			return nil
		case raced:
		case together && len(view) > 0 && len(records) > 0:
			together = false // perhaps it is the view that is not taken
		case try > 1:
			return nil
		}
	}
}

// hidden reports whether what was sent is not among what was fetched after that, and tells: trying again would send it once more.
func (r *run) hidden() bool {
	for ref := range r.sent {
		if !r.apart && !isHandoff(ref) && r.known(ref).IsZero() {
			r.rep.Rejected = ErrHidden
			return true
		}
	}
	return false
}

// settled lists the drafts at the remote that nobody signs any more: a version of that number is in force.
func (r *run) settled() []string {
	var out []string
	version := 0
	for name := range r.there {
		n, ok := stagedNumber(name)
		if !ok || r.unsettled {
			continue
		}
		if version == 0 {
			root, err := provenance.OpenRoot(r.s, r.o.Pin)
			if err != nil {
				return nil
			}
			version = root.Version
		}
		if n <= version {
			out = append(out, covenant+name)
		}
	}
	return out
}

// pushArgs begin a push of ours: of what is named and nothing else.
func pushArgs(r *git.Repo, remote string) []string {
	args := []string{"-c", "push.recurseSubmodules=no"}
	if mirror := "remote." + remote + ".mirror"; r.Config().Bool(mirror, false) { // such a remote takes no refspecs
		args = append(args, "-c", mirror+"=false")
	}
	return append(args, "push", "--quiet", "--no-verify", "--no-follow-tags", "--no-signed")
}

// push sends refs, each only forward, and returns those that were not taken.
func (r *run) push(refs []string) (refused []string, err error) {
	args := slices.DeleteFunc(pushArgs(r.s.Repo(), r.o.Remote), func(arg string) bool { return arg == "--quiet" }) // else it does not name what went well
	args = append(args, "--porcelain")
	for _, ref := range refs {
		if r.replaces(ref) {
			args = append(args, "--force-with-lease="+ref+":"+r.pruned[ref].String())
		}
	}
	args = append(args, "--", r.o.Remote)
	for _, ref := range refs {
		from := ""
		if id := r.ours[ref]; !id.IsZero() {
			from = id.String()
		}
		args = append(args, from+":"+ref)
	}
	out, err := r.s.Repo().Run(r.ctx, nil, args...)
	var failed *git.CommandError
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	done := map[string]bool{} // whether it moved there
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 3 {
			continue
		}
		_, ref, _ := strings.Cut(f[1], ":")
		switch f[0] {
		case "!":
			refused = append(refused, ref)
			continue
		case "*":
			r.lost = r.lost || !r.known(ref).IsZero() // it was there once
		}
		done[ref] = f[0] != "="
	}
	var updates []git.RefUpdate
	for _, ref := range refs {
		moved, is := done[ref]
		if !is {
			continue
		}
		to, name := r.ours[ref], under(ref)
		if to.IsZero() {
			delete(r.there, name)
			if old := r.tracked[name]; !old.IsZero() && !r.apart {
				updates = append(updates, git.RefUpdate{Name: r.at + name, Old: old})
				delete(r.tracked, name)
			}
			continue
		}
		if r.sent[ref] = true; moved {
			r.rep.Published = append(r.rep.Published, Move{Name: strings.TrimPrefix(ref, ledger.Prefix), From: r.known(ref), To: to})
		}
		if r.there != nil {
			r.there[name] = to
		}
		if old := r.tracked[name]; old != to && !r.apart {
			updates = append(updates, git.RefUpdate{Name: r.at + name, New: to, Old: old})
			r.tracked[name] = to
		}
	}
	if uerr := r.s.Update("covenant sync", updates...); uerr != nil {
		var conflict *git.ConflictError
		if !errors.As(uerr, &conflict) { // somebody else has just learned more
			return refused, errors.Join(err, uerr)
		}
	}
	return refused, err
}

// Publishing says, as a question, what becomes public when refs are sent to a remote.
func Publishing(refs []string, remote, url string) string {
	var names []string
	ledgers := 0
	for _, ref := range refs {
		if n, ok := isLedger(ref); ok {
			ledgers++
			names = append(names, n.Topic)
		}
	}
	slices.Sort(names)
	if url == "" {
		url = remote
	}
	url = Shown(url)
	return fmt.Sprintf(`This would send the records of this repository to %s:
%d ledgers (%s), the trust root, the notes on commits, and the files of handoffs.
They name persons, agents, their keys and e-mail addresses, and the paths and digests
of every sealed commit, those on branches you do not push included. What is published
can't be taken back. Send them now, and with every push from now on?`, url, ledgers, strings.Join(slices.Compact(names), ", "))
}
