package provenance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Late is what a key signed beyond what was known of it when the trust root removed it: it counts for nothing.
type Late struct {
	Ledger   string
	From, To uint64 // entries
	Name     string // whose key it was
	KeyID    string
	Commits  []oid.ID // that these entries seal and no others do, sorted
	Grants   []capability.Given
}

// Left reports whether there is something that nobody has done again.
func (l *Late) Left() bool { return len(l.Commits)+len(l.Grants) > 0 }

// LedgerLate is the code of what [Late.Finding] tells.
const LedgerLate verdict.Code = "ledger.late"

// maxNamed is how many commits, and how many grants, a finding names.
const maxNamed = 5

// Finding tells of what was not done again, and how that is done.
func (l *Late) Finding() verdict.Finding {
	var what, hints []string
	if n := len(l.Commits); n > 0 {
		var names []string
		for _, c := range l.Commits[:min(n, maxNamed)] {
			names = append(names, c.Short())
		}
		what = append(what, counted(n, "seal"))
		hints = append(hints, "seal again: covenant provenance seal "+strings.Join(names, " "))
	}
	if n := len(l.Grants); n > 0 {
		what = append(what, counted(n, "grant"))
		for _, g := range l.Grants[:min(n, maxNamed)] {
			s := g.Granted.Subject
			if g.Granted.Introduction {
				hints = append(hints, "introduce again: covenant identity add "+s.Name+" --kind "+s.Kind+" --key '"+s.Key+"'")
			} else {
				hints = append(hints, "give again"+limits(&g.Granted)+": covenant capability grant --to "+s.Name+" --action "+g.Granted.Action)
			}
		}
	}
	return verdict.Finding{
		Code: LedgerLate, Object: l.Ledger, Hint: strings.Join(hints, "; "),
		Message: fmt.Sprintf("from entry %d on it counts for nothing, %s among that: %s's key %s was removed, and who removed it did not know of it", l.From, strings.Join(what, " and "), l.Name, l.KeyID),
	}
}

// limits are what a grant may not be given again without.
func limits(g *capability.Grant) string {
	var out string
	if text, err := canonical.Marshal(&g.Scope); err == nil && string(text) != `{"version":1}` {
		out = ", within " + string(text)
	}
	if g.Expires != "" {
		out += ", until " + g.Expires
	}
	return out
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Late returns what removed keys signed too late, or in a clone that had not published it in time, by ledger. What
// was done again since, a commit sealed or a grant given, is not among it.
func (f *Facts) Late(s *git.Session) ([]Late, error) {
	return f.beyond(s, f.Root.Former, func(keyID string) bool {
		p, ok := f.Authority.ByKey(keyID)
		return ok && !p.Until.IsZero() // nobody got it back since
	})
}

// LateUnder is Late as it will be when next comes into force: what the keys that it removes signed after next was made.
func (f *Facts) LateUnder(s *git.Session, next *trust.Root) ([]Late, error) {
	var former []trust.Former
	for _, i := range fresh(f.Root.Root, next) {
		former = append(former, next.Former[i])
	}
	return f.beyond(s, former, func(string) bool { return true })
}

func (f *Facts) beyond(s *git.Session, former []trust.Former, gone func(keyID string) bool) ([]Late, error) {
	var out []Late
	for _, x := range former {
		if x.Seen == nil && x.Compromised != "" {
			continue // it was stolen from the start
		}
		for _, c := range f.chainsOf(x.Keys) {
			last := whole(c)
			l := Late{Ledger: c.Name, From: 1, To: last.Header.Seq, Name: x.Name, KeyID: last.KeyID}
			for _, h := range x.Seen {
				if h.Ledger == c.Name {
					l.From = h.Seq + 1
				}
			}
			if l.From > l.To || !gone(l.KeyID) {
				continue
			}
			l.Commits = f.lateSeals(l)
			for _, e := range c.Entries[l.From-1 : l.To] {
				g, err := f.lateGrant(s, c.Name, e)
				if err != nil {
					return nil, err
				}
				if g != nil {
					l.Grants = append(l.Grants, *g)
				}
			}
			out = append(out, l)
		}
	}
	return out, nil
}

// lateSeals returns the commits that a stretch of a ledger seals and nothing else does.
func (f *Facts) lateSeals(l Late) []oid.ID {
	inside := func(c verdict.Candidate) bool {
		return c.Ledger == l.Ledger && c.Header.Seq >= l.From && c.Header.Seq <= l.To
	}
	var out []oid.ID
	for commit, seals := range f.seals {
		if slices.ContainsFunc(seals, inside) && !slices.ContainsFunc(seals, func(c verdict.Candidate) bool { return c.Err == nil && !inside(c) }) {
			out = append(out, commit)
		}
	}
	slices.SortFunc(out, func(a, b oid.ID) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// lateGrant returns the grant of an entry, nil when it gives none, or when its holder was given the like since.
func (f *Facts) lateGrant(s *git.Session, name string, e verdict.Entry) (*capability.Given, error) {
	if !strings.HasPrefix(name, CapabilityTopic+"/") || e.Err != nil {
		return nil, nil
	}
	env, _, err := ledger.Read(s, e.Commit)
	if err != nil {
		return nil, err
	}
	st, h, err := openEnvelope(env, f.Root.ID, f.Authority.Ring)
	if err != nil || st.grant == nil {
		return nil, nil //nolint:nilerr // it is told as what is wrong with the ledger
	}
	given := capability.Given{Place: capability.Place{ID: env.ID(), KeyID: e.KeyID, Ledger: name, Seq: h.Seq, Time: h.When()}, Granted: *st.grant}
	for _, g := range f.Authority.Grants() {
		if g.Granted.Subject.Name == given.Granted.Subject.Name && g.Granted.Action == given.Granted.Action && !g.Time.Before(given.Time) {
			return nil, nil
		}
	}
	return &given, nil
}
