package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

// How long the record may keep the person waiting who pushes or pulls.
const (
	pushPatience = 2 * time.Minute
	pullPatience = 30 * time.Second
)

var errPatience = errors.New("it took too long")

// maxRefusals is how many findings about a remote a moment tells.
const maxRefusals = 5

// publish sends the record before the code, in a push of its own. Whatever becomes of it is said, and
// nothing of it keeps the code from being pushed.
func (in *Input) publish(ctx context.Context, s *git.Session, pin envelope.Digest, remote string) {
	r := s.Repo()
	if !r.Config().Bool(sync.AutoKey, true) {
		return
	}
	ctx, cancel := context.WithTimeoutCause(git.Unattended(ctx), pushPatience, errPatience)
	defer cancel()
	s = r.Session(ctx) // what it reads ends with the patience, too
	defer func() { _ = s.Close() }()
	allowed, asked, err := sync.Agreed(ctx, s, remote)
	if err != nil {
		in.say("the remote does not get the records of these commits: %v", err)
		return
	}
	key := sync.PublishKey(r, remote)
	if !asked {
		refs, err := lacking(ctx, s, pin, remote)
		if err != nil || len(refs) == 0 {
			return
		}
		url := remote
		if len(in.Args) > 1 {
			url = in.Args[1]
		}
		yes, err := false, error(nil)
		if in.Confirm != nil {
			yes, err = in.Confirm(sync.Publishing(refs, remote, url))
		}
		if in.Confirm == nil || err != nil { // there is nobody to ask
			agree := "git config " + key + " true"
			if _, named := r.Config().Get("remote." + remote + ".url"); named {
				agree = "covenant sync " + remote + " --yes"
			}
			in.say("the remote does not get the records of these commits: nobody said that it may; say so, once: %s", agree)
			return
		}
		allowed = yes
		if _, err := r.Run(ctx, nil, "config", key, fmt.Sprint(yes)); err != nil {
			in.say("your answer could not be kept: %v", err)
		}
	}
	if !allowed {
		return
	}
	rep, err := sync.Run(ctx, s, sync.Options{Remote: remote, Pin: pin, Now: in.Now(), Publish: true})
	if err == nil {
		err = rep.Rejected
	}
	if err != nil {
		in.say("the remote did not take the records of these commits: %v", err)
	}
	in.findings(rep)
}

// lacking lists the refs that a remote would be sent. It is asked only where something here is not known to be there; one
// that does not answer is taken to have what it is known to have.
func lacking(ctx context.Context, s *git.Session, pin envelope.Digest, remote string) ([]string, error) {
	refs, err := sync.Pending(ctx, s, remote)
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	rep, err := sync.Run(ctx, s, sync.Options{Remote: remote, Pin: pin, Weigh: true})
	if err != nil {
		return refs, nil //nolint:nilerr // whoever can't be asked can't be sent anything either, which is told then
	}
	return rep.Lacks, nil
}

// pulled fetches the record after a pull, from where the code came from: the person is on the network anyway.
func (in *Input) pulled(ctx context.Context, s *git.Session, pin envelope.Digest) {
	action, _ := in.lookup("GIT_REFLOG_ACTION")
	if word, _, _ := strings.Cut(action, " "); word != "pull" || !s.Repo().Config().Bool(sync.AutoKey, true) {
		return
	}
	remote := pulledFrom(s, strings.Fields(action)[1:])
	if remote == "" {
		return // it came from an address
	}
	ctx, cancel := context.WithTimeoutCause(git.Unattended(ctx), pullPatience, errPatience)
	defer cancel()
	s = s.Repo().Session(ctx)
	defer func() { _ = s.Close() }()
	rep, err := sync.Run(ctx, s, sync.Options{Remote: remote, Pin: pin, Now: in.Now(), Fetch: true, Unasked: true})
	if err != nil {
		in.say("the records of what was pulled were not fetched: %v", err)
	}
	if rep.Left > 0 {
		in.say("handoffs that were not fetched with the pull, for their size or number: %d; get them: covenant sync %s", rep.Left, remote)
	}
	in.findings(rep)
	in.beaten(ctx, s, pin, rep)
}

// beaten tells of steps on intents that lost to what came with a pull: nothing else brings them up.
func (in *Input) beaten(ctx context.Context, s *git.Session, pin envelope.Digest, rep *sync.Report) {
	from := rep.Gained()
	if len(from) == 0 {
		return
	}
	cache := in.cache(s.Repo())
	root, err := cache.OpenRoot(s, pin)
	if err != nil {
		return // which is told where it is needed
	}
	list, err := intents.BeatenBy(ctx, s, root, cache, from)
	if err != nil {
		in.say("intents that came with the pull can't be read: %v", err)
	}
	for i, b := range list {
		if i == maxRefusals {
			in.say("and %d more; see all: covenant intent list", len(list)-i)
			break
		}
		in.say("%s", b)
	}
}

// pulledFrom finds the remote in the words of a pull, of which Git tells all: the first one that is a remote's name or its
// address, else the one that Git takes when none is named. It is "" for an address that no remote has.
func pulledFrom(s *git.Session, words []string) string {
	cfg := s.Repo().Config()
	remotes := sync.Remotes(s.Repo())
	address := false
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			continue
		}
		if slices.Contains(remotes, w) {
			return w
		}
		for _, name := range remotes {
			if url, _ := cfg.Get("remote." + name + ".url"); url == w {
				return name
			}
		}
		address = address || strings.ContainsAny(w, `/:\`) || w == "." || w == ".."
	}
	if address {
		return ""
	}
	remote, err := sync.Choose(s)
	if err != nil {
		return ""
	}
	return remote
}

// findings tells what a remote has and should not.
func (in *Input) findings(rep *sync.Report) {
	for i, f := range rep.Refused {
		if i == maxRefusals {
			in.say("and %d more; see all: covenant sync %s", len(rep.Refused)-i, rep.Remote)
			break
		}
		in.say("%s: %s: %s", f.Code, plain(f.Object), plain(f.Message))
	}
}

// merged is after, and what follows a pull.
func merged(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	made, err := after(ctx, in, s, pin)
	in.pulled(ctx, s, pin)
	return made, err
}
