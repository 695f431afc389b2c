package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// maxSigned is the longest commit object whose Git signature is looked at.
const maxSigned = 1 << 20

// signers finds whose Git signature those commits carry that nobody sealed, where the
// policy exempts humans: the id of a key that the trust root names as a human's, now
// or formerly. Where it exempts nobody, nothing is read.
func (f *Facts) signers(s *git.Session, commits []git.Commit, before map[oid.ID]bool, view map[oid.ID]seen) (map[oid.ID]string, error) {
	if !f.Root.Policy.Exempts(trust.Human) {
		return nil, nil
	}
	var open []git.Commit
	for _, c := range commits {
		if !before[c.ID] && !slices.ContainsFunc(view[c.ID].candidates, func(x verdict.Candidate) bool { return x.Claims(c.ID) }) {
			open = append(open, c)
		}
	}
	out := map[oid.ID]string{}
	known := humans(f.Root)
	i := 0
	for o, err := range s.Objects(func(yield func(string) bool) {
		for _, c := range open {
			if !yield(c.ID.String()) {
				return
			}
		}
	}, maxSigned) {
		if i >= len(open) {
			break
		}
		c := open[i]
		i++
		var large *git.TooLargeError
		if errors.As(err, &large) {
			continue // it is exempt from nothing
		}
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", c.ID.Short(), err)
		}
		payload, armored, ok := signedPart(s.Repo().Format(), o.Data)
		if !ok || !bytes.HasPrefix(payload, beginning(&c)) {
			continue
		}
		if id := known.signer(payload, armored); id != "" {
			out[c.ID] = id
		}
	}
	if i < len(open) {
		return nil, fmt.Errorf("reading commits: %d of %d came", i, len(open))
	}
	return out, nil
}

// beginning is how a commit with this tree and these parents begins. Git reads parents
// only where they follow the tree: with a signature put between them, it would see
// another commit than the one that was signed.
func beginning(c *git.Commit) []byte {
	b := fmt.Appendf(nil, "tree %s\n", c.Tree)
	for _, p := range c.Parents {
		b = fmt.Appendf(b, "parent %s\n", p)
	}
	return append(b, "author "...)
}

// signedPart splits a raw commit into what Git signed, and the signature: the one
// header gpgsig, in SHA-256 repositories gpgsig-sha256, whose lines Git takes out
// before it signs. Two of them, or one of another format, are refused: Git would pass
// over what nobody signed.
func signedPart(format oid.Format, raw []byte) (payload, armored []byte, ok bool) {
	header := []byte("gpgsig ")
	if format == oid.SHA256 {
		header = []byte("gpgsig-sha256 ")
	}
	inside := false
	for len(raw) > 0 {
		line, rest, ended := bytes.Cut(raw, []byte{'\n'})
		if !ended {
			return nil, nil, false
		}
		whole := raw[:len(line)+1]
		switch {
		case len(line) == 0: // the message
			return append(payload, raw...), armored, len(armored) > 0
		case inside && line[0] == ' ':
			armored = append(armored, whole[1:]...)
		case bytes.HasPrefix(line, header) && armored == nil:
			inside, armored = true, append([]byte{}, whole[len(header):]...)
		case bytes.HasPrefix(line, []byte("gpgsig")):
			return nil, nil, false
		default:
			inside, payload = false, append(payload, whole...)
		}
		raw = rest
	}
	return nil, nil, false
}

// gitKeys are keys that may have let Git sign.
type gitKeys struct {
	byID map[string]identity.GitVerifier
	rest []identity.GitVerifier // those that are no SSH keys: which one signed is found by trying
}

// humans returns the keys of the humans a trust root names or named.
func humans(r *Root) *gitKeys {
	g := &gitKeys{byID: map[string]identity.GitVerifier{}}
	for _, p := range Persons(r) {
		if p.Kind != string(trust.Human) {
			continue
		}
		for _, k := range p.Keys {
			v, ok := k.(identity.GitVerifier)
			if !ok || g.byID[k.ID()] != nil {
				continue
			}
			g.byID[k.ID()] = v
			if !strings.HasPrefix(k.ID(), "SHA256:") {
				g.rest = append(g.rest, v)
			}
		}
	}
	return g
}

// signer returns the id of the key that signed, "" when it is none of these.
func (g *gitKeys) signer(payload, armored []byte) string {
	if id := identity.GitSigner(armored); id != "" {
		if v := g.byID[id]; v != nil && v.VerifyGit(payload, armored) == nil {
			return id
		}
		return ""
	}
	for i, v := range g.rest {
		if v.VerifyGit(payload, armored) == nil {
			g.rest[0], g.rest[i] = v, g.rest[0] // the next commit is likely by the same hand
			return v.ID()
		}
	}
	return ""
}

// Exempted returns which of the commits pass without a seal. Where the policy exempts nobody, nothing is read.
func (r *Root) Exempted(ctx context.Context, s *git.Session, commits []git.Commit, o Options) (map[oid.ID]bool, error) {
	out := map[oid.ID]bool{}
	if !r.Policy.Exempts(trust.Human) || len(commits) == 0 {
		return out, nil
	}
	o.Pin, o.Only = r.Pin(), map[oid.ID]bool{}
	var sp Span
	for _, c := range commits {
		o.Only[c.ID] = true
		sp.Tips, sp.Except = append(sp.Tips, c.ID), append(sp.Except, c.Parents...)
	}
	sp.Except = slices.DeleteFunc(sp.Except, func(id oid.ID) bool { return o.Only[id] })
	rep, err := Verify(ctx, s, sp, o)
	if err != nil {
		return nil, err
	}
	for r, err := range rep.Results {
		if err != nil {
			return nil, err
		}
		out[r.Commit] = r.Verdict == verdict.Exempt
	}
	return out, nil
}
