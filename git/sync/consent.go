package sync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// Configuration variables of a remote, with its name between.
const (
	ofRemote     = "covenant."
	publishAfter = ".publish" // whether our refs go there
	addressAfter = ".address" // the digest of the addresses for which that was said
)

// PublishKey is the configuration variable that says whether our refs go to a remote:
// "true", "false", or nothing when nobody was asked yet.
func PublishKey(r *git.Repo, remote string) string {
	return ofRemote + nameOf(r, remote) + publishAfter
}

// nameOf is how a remote is called in names of refs and of configuration: an address is no such name.
func nameOf(r *git.Repo, remote string) string {
	if _, ok := r.Config().Get("remote." + remote + ".url"); ok {
		return remote
	}
	sum := sha256.Sum256([]byte(Shown(remote)))
	return fmt.Sprintf("url-%x", sum[:6])
}

// Shown is a remote as people may see it: an address without the name and password that it may hold.
func Shown(remote string) string {
	scheme, rest, ok := strings.Cut(remote, "://")
	if !ok {
		return remote
	}
	host, path := rest, ""
	if i := strings.IndexAny(rest, `/?#\`); i >= 0 { // there ends what names a host, whatever follows
		host, path = rest[:i], rest[i:]
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 && (strings.Contains(host[:i], ":") || strings.HasPrefix(scheme, "http")) {
		host = host[i+1:] // the name in ssh://git@host is no secret, and part of the address
	}
	return scheme + "://" + host + path
}

// Goes returns where a push to a remote goes, as people may see it: its addresses.
func Goes(ctx context.Context, r *git.Repo, remote string) string {
	out, err := r.Run(ctx, nil, "remote", "get-url", "--push", "--all", "--", remote)
	if err != nil { // it is an address
		return Shown(remote)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		list = append(list, Shown(strings.TrimSuffix(line, "\n")))
	}
	return strings.Join(list, ", ")
}

// Agreed reports whether the record may go to a remote, and whether somebody was asked. What was said, and what is known of the
// remote, holds for its addresses: when Git would go elsewhere than it was said for, both are forgotten.
func Agreed(ctx context.Context, s *git.Session, remote string) (yes, asked bool, err error) {
	moved, err := settle(ctx, s, remote)
	if err != nil {
		return false, false, err
	}
	cfg := s.Repo().Config()
	key := PublishKey(s.Repo(), remote)
	_, asked = cfg.Get(key)
	yes = cfg.Bool(key, false)
	if moved && yes {
		return false, false, nil
	}
	return yes, asked, nil
}

// settle compares the addresses of a remote with those that were written down, and forgets what was known of others.
func settle(ctx context.Context, s *git.Session, remote string) (moved bool, err error) {
	r := s.Repo()
	if nameOf(r, remote) != remote {
		return false, nil // the address is the name
	}
	now, err := addresses(ctx, r, remote)
	if err != nil {
		return false, err
	}
	was, known := r.Config().Get(ofRemote + remote + addressAfter)
	if was == now {
		return false, nil
	}
	if known {
		if yes := r.Config().Bool(PublishKey(r, remote), false); yes {
			if _, err := r.Run(ctx, nil, "config", "--local", "--unset-all", PublishKey(r, remote)); err != nil && !unset(err) {
				return false, err
			}
		}
		if err := forget(s, remote); err != nil {
			return false, err
		}
	}
	_, err = r.Run(ctx, nil, "config", "--local", ofRemote+remote+addressAfter, now)
	return known, err
}

// unset reports whether git-config says that there was nothing to take away.
func unset(err error) bool {
	var failed *git.CommandError
	return errors.As(err, &failed) && failed.Code == 5
}

// addresses is the digest of where Git fetches from and pushes to, without names and passwords.
func addresses(ctx context.Context, r *git.Repo, remote string) (string, error) {
	sum := sha256.New()
	for _, args := range [][]string{{"--all"}, {"--push", "--all"}} {
		out, err := r.Run(ctx, nil, append(append([]string{"remote", "get-url"}, args...), "--", remote)...)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(out)) {
			fmt.Fprintln(sum, args[0], Shown(strings.TrimSuffix(line, "\n")))
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:16]), nil
}

// apart reports whether Git may push elsewhere than it fetches from: then a push says nothing of what a fetch will find.
func apart(r *git.Repo, remote string) bool {
	if _, ok := r.Config().Get("remote." + remote + ".pushurl"); ok {
		return true
	}
	return slices.ContainsFunc(r.Config().Keys("url."), func(key string) bool { return strings.HasSuffix(key, ".pushinsteadof") })
}

// forget takes away what a remote is known to have, and to have taken back.
func forget(s *git.Session, remote string) error {
	at := Tracked(s.Repo(), remote)
	known, err := s.Refs(strings.TrimSuffix(at, "/"))
	if err != nil {
		return err
	}
	var updates []git.RefUpdate
	for _, ref := range known {
		if name := strings.TrimPrefix(ref.Name, at); isTracked(name) && !strings.HasPrefix(name, trackedForks) { // evidence stays
			updates = append(updates, git.RefUpdate{Name: ref.Name, Old: ref.ID})
		}
	}
	if err := os.Remove(filepath.Join(s.Repo().StateDir(), filepath.FromSlash(knownFile(at)))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget %s: %w", remote, err)
	}
	return s.Update("covenant sync", updates...)
}
