package provenance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// What one principal's authority rests on is remembered, so that its hooks do not open
// every grant there is: who was introduced, the grants it holds with those they rest
// on, and their revocations. These are facts whose signatures were checked; what
// they amount to is folded afresh. They are authenticated as the exams are, and good for
// exactly the ledgers and the trust root they were read from.
type rememberedAuthority struct {
	Question   string             `json:"question"`
	Principals []rememberedHolder `json:"principals"`
	Given      []capability.Given `json:"given"`
	Ended      []capability.Ended `json:"ended"`
	Narrowed   []capability.Given `json:"narrowed,omitempty"` // they give nothing, and end introductions
}

type rememberedHolder struct {
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	Accountable string   `json:"accountable"`
	Emails      []string `json:"emails,omitempty"`
	Keys        []string `json:"keys"`
}

const authorityVersion = "covenant-authority/v2"

func authorityQuestion(root *Root, refs []git.Ref) string {
	var b strings.Builder
	fmt.Fprintln(&b, authorityVersion, root.Digest)
	for _, r := range refs {
		if strings.HasPrefix(r.Name, ledger.Prefix+CapabilityTopic+"/") || strings.HasPrefix(r.Name, ForkPrefix+CapabilityTopic+"/") {
			fmt.Fprintln(&b, r.Name, r.ID)
		}
	}
	return b.String()
}

// KnowsAgent reports whether the authority of a principal who is no operator was remembered, without a look at whether it
// still holds.
func (c *Cache) KnowsAgent(name string) bool {
	if c == nil || !identity.ValidName(name) {
		return false
	}
	_, err := os.Stat(filepath.Join(c.dir, authorityFile(name)))
	return err == nil
}

func authorityFile(name string) string { return "authority-" + name }

// AuthorityOf returns the authority as far as a principal's own acts need it: from memory where
// nothing moved, else from the ledgers, and remembers it. ahead is what [RefsAhead] returned, or nil.
func AuthorityOf(ctx context.Context, s *git.Session, root *Root, name string, cache *Cache, ahead func() ([]git.Ref, error)) (*capability.Authority, error) {
	a, _, err := authorityAndRefs(ctx, s, root, name, cache, ahead)
	return a, err
}

// authorityAndRefs is AuthorityOf, and returns ledgers and notes where they were read for it.
func authorityAndRefs(ctx context.Context, s *git.Session, root *Root, name string, cache *Cache, ahead func() ([]git.Ref, error)) (*capability.Authority, []git.Ref, error) {
	var question string
	var refs []git.Ref
	if cache != nil && identity.ValidName(name) {
		if ahead == nil {
			ahead = func() ([]git.Ref, error) { return s.Tips(prefixes...) }
		}
		var err error
		if refs, err = ahead(); err != nil {
			return nil, nil, err
		}
		question = authorityQuestion(root, refs)
		if a := cache.authority(root, name, question); a != nil {
			return a, refs, nil
		}
	}
	f, err := loadTopics(ctx, s, root, CapabilityTopic+"/")
	if err != nil {
		return nil, nil, err
	}
	// What was read must be what was asked about: a ledger may have moved in between.
	if question != "" && question == authorityQuestion(root, f.tips()) && len(f.Problems) == 0 {
		cache.rememberAuthority(f, name, question)
	}
	return f.Authority, refs, nil
}

// rememberedRoot is the bytes of the versions of the trust root since the pinned one, as they were read from a commit. They
// are verified whenever they are used.
type rememberedRoot struct {
	Tip      oid.ID          `json:"tip"`
	Pin      envelope.Digest `json:"pin"`
	Versions []string        `json:"versions"`
}

const (
	rootFile       = "root"
	rememberedSize = 1 << 20 // bytes of all versions that are remembered
)

// OpenRoot is the function of that name, and needs no object of Git's where the trust root is the one that was read last. A nil
// cache remembers nothing.
func (c *Cache) OpenRoot(s *git.Session, pin envelope.Digest) (*Root, error) {
	if c == nil {
		return OpenRoot(s, pin)
	}
	tip := func() oid.ID {
		refs, err := s.Tips(RootRef)
		if err != nil || len(refs) != 1 || refs[0].Name != RootRef {
			return oid.ID{} // the long way says what is wrong
		}
		return refs[0].ID
	}
	at := tip()
	if at.IsZero() {
		return OpenRoot(s, pin)
	}
	if list := c.root(at, pin); len(list) > 0 {
		return holdRoot(s.Repo(), list, pin)
	}
	list, err := chainAt(s, at.String(), pin, false)
	if err != nil {
		return nil, err
	}
	r, err := holdRoot(s.Repo(), list, pin)
	if err == nil {
		c.rememberRoot(at, pin, list)
	}
	return r, err
}

func (c *Cache) root(at oid.ID, pin envelope.Digest) []*envelope.Envelope {
	var was rememberedRoot
	if body := c.read(rootFile); body == nil || json.Unmarshal(body, &was) != nil || was.Tip != at || was.Pin != pin {
		return nil
	}
	list := make([]*envelope.Envelope, 0, len(was.Versions))
	for _, text := range was.Versions {
		e, err := ledger.ParseBlob([]byte(text))
		if err != nil {
			return nil
		}
		list = append(list, e)
	}
	return list
}

func (c *Cache) rememberRoot(at oid.ID, pin envelope.Digest, list []*envelope.Envelope) {
	was := rememberedRoot{Tip: at, Pin: pin}
	size := 0
	for _, e := range list {
		b, err := ledger.Blob(e)
		if size += len(b); err != nil || size > rememberedSize {
			return
		}
		was.Versions = append(was.Versions, string(b))
	}
	if body, err := json.Marshal(was); err == nil {
		c.write(rootFile, body)
	}
}

// tips lists the ledgers as [git.Session.Refs] does.
func (f *Facts) tips() []git.Ref {
	out := make([]git.Ref, 0, len(f.Tips))
	for _, tips := range []map[string]oid.ID{f.Tips, f.forkTips} {
		for name, id := range tips {
			out = append(out, git.Ref{Name: name, ID: id})
		}
	}
	slices.SortFunc(out, func(a, b git.Ref) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c *Cache) authority(root *Root, name, question string) *capability.Authority {
	body := c.read(authorityFile(name))
	if body == nil {
		return nil
	}
	var r rememberedAuthority
	if json.Unmarshal(body, &r) != nil || r.Question != question {
		return nil
	}
	persons := Persons(root)
	for _, h := range r.Principals {
		p := capability.Principal{Name: h.Name, Kind: h.Kind, Accountable: h.Accountable, Emails: h.Emails}
		for _, text := range h.Keys {
			k, err := identity.ParsePublicKey(text)
			if err != nil {
				return nil
			}
			p.Keys = append(p.Keys, k)
		}
		persons = append(persons, p)
	}
	a := capability.Fold(persons, slices.Concat(r.Given, r.Narrowed), r.Ended)
	if len(a.Refused) != len(r.Narrowed) {
		return nil
	}
	return a
}

func (c *Cache) rememberAuthority(f *Facts, name, question string) {
	r := rememberedAuthority{Question: question, Narrowed: f.Authority.Narrowed(name)}
	persons := map[string]bool{}
	for _, p := range Persons(f.Root) {
		persons[p.Name] = true
	}
	for _, p := range f.Authority.Principals() {
		if persons[p.Name] {
			continue
		}
		h := rememberedHolder{Name: p.Name, Kind: p.Kind, Accountable: p.Accountable, Emails: p.Emails}
		for _, k := range p.Keys {
			h.Keys = append(h.Keys, k.String())
		}
		r.Principals = append(r.Principals, h)
	}
	seen := map[envelope.Digest]bool{}
	for _, g := range f.Authority.Grants() {
		if g.Granted.Subject.Name != name {
			continue
		}
		for _, link := range f.Authority.Line(g.ID) {
			if seen[link.ID] {
				continue
			}
			seen[link.ID] = true
			r.Given = append(r.Given, link)
			r.Ended = append(r.Ended, f.Authority.Ended(link.ID)...)
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return
	}
	c.write(authorityFile(name), body)
}
