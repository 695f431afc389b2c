package intents

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// gathering is one look at what ledgers gained.
type gathering struct {
	*Book
	f      *provenance.Facts
	full   bool // f knows all grants
	anew   bool // nothing was remembered
	tips   map[string]oid.ID
	cuts   map[string]uint64
	forks  []provenance.Fork              // that no operator has decided about, or that go another way here
	came   map[string][]entry             // by ledger, oldest first
	sights map[string][]sighting          // what operators saw of ledgers of intents, in this look
	had    map[string]provenance.Followed // how far each ledger had been followed before
	known  map[spot]envelope.Digest
	rivals map[rival]map[string]uint64 // the first statement, by ledger
	lost   bool                        // too much of before was named
	facts  map[intent.ID][]intent.Fact
	at     map[intent.ID]int // rows
}

// update takes in what ledgers gained, and folds the intents anew that it is about.
func (b *Book) update(ctx context.Context, tips map[string]oid.ID) error {
	question := provenance.AuthorityQuestion(b.s, b.root, tips)
	forks := forksOf(tips)
	anew := len(b.head.Ledgers) == 0
	if !anew && (forks != b.head.Forks || !sameRoot(question, b.head.Authority)) {
		return errAnew
	}
	granted := question != b.head.Authority
	if !anew && !granted && !b.moved(tips) {
		return nil
	}
	g := &gathering{
		Book: b, anew: anew, tips: tips, came: map[string][]entry{}, sights: map[string][]sighting{}, facts: map[intent.ID][]intent.Fact{},
		had: map[string]provenance.Followed{}, known: map[spot]envelope.Digest{}, rivals: map[rival]map[string]uint64{}, at: b.number(),
	}
	if err := g.authority(ctx, granted, forks != ""); err != nil {
		return err
	}
	for name, m := range b.head.Ledgers {
		g.had[name] = m.Followed
	}
	if err := g.follow(granted); err != nil {
		return err
	}
	g.tellForks()
	was := b.head.Latest
	if err := g.grants(); err != nil {
		return err
	}
	if err := g.ingest(); err != nil {
		return err
	}
	seen, err := g.see()
	if err == nil && g.lost {
		err = errAnew
	}
	if err != nil {
		return err
	}
	b.head.Authority, b.head.Forks = question, forks
	return g.fold(ctx, granted, seen || was != b.head.Latest)
}

// tellForks tells of ledgers of intents that went two ways: what a writer says from there on counts for nothing, here or there.
func (g *gathering) tellForks() {
	maps.DeleteFunc(g.head.Problems, func(_ string, f verdict.Finding) bool { return f.Code == verdict.LedgerFork })
	for _, x := range g.forks {
		if g.head.Problems == nil {
			g.head.Problems = map[string]verdict.Finding{}
		}
		f := verdict.Finding{
			Code: verdict.LedgerFork, Object: x.Ledger.String(), Hint: "show both to an operator, who decides: covenant audit resolve " + x.Ledger.String(),
			Message: fmt.Sprintf("its writer signed two entries number %d: %s stands here, and %s at %s; what it says of intents from there on counts for nothing", x.Seq, x.Here.Short(), x.There.Short(), x.Ref),
		}
		if x.Decided {
			f.Hint = "an operator decided for the latter; go that way: covenant doctor --fix"
		}
		g.head.Problems[x.Ledger.String()] = f
	}
}

// forksOf writes down the other ways that ledgers of intents went.
func forksOf(tips map[string]oid.ID) string {
	var out []string
	for name, id := range tips {
		if strings.HasPrefix(name, provenance.ForkPrefix+intent.Topic+"/") {
			out = append(out, name+" "+id.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// sameRoot reports whether what two authorities depend on begins with the same trust root: only grants differ.
func sameRoot(a, b string) bool {
	cut := func(s string) string {
		lines := strings.SplitN(s, "\n", 3)
		return strings.Join(lines[:min(2, len(lines))], "\n")
	}
	return cut(a) == cut(b)
}

// names lists the ledgers of intents that are here.
func names(tips map[string]oid.ID) []ledger.Name {
	var out []ledger.Name
	for ref := range tips {
		if n, ok := ledger.ParseRef(ref); ok && n.Topic == intent.Topic {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b ledger.Name) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// moved reports whether a ledger of intents has moved, or is gone.
func (b *Book) moved(tips map[string]oid.ID) bool {
	all := names(tips)
	n := 0
	for _, name := range all {
		m, ok := b.head.Ledgers[name.String()]
		if at := tips[name.Ref()].String(); !ok || m.Commit != at && m.Bad != at {
			return true
		}
		n++
	}
	for name, m := range b.head.Ledgers {
		if m.followed(name) {
			n--
		}
	}
	return n != 0
}

// followed reports whether a ledger is one of intents, and was here.
func (m *mark) followed(name string) bool {
	return strings.HasPrefix(name, intent.Topic+"/") && (m.Commit != "" || m.Bad != "")
}

// authority reads as much of who may do what as is needed: of operators the trust root tells it.
func (g *gathering) authority(ctx context.Context, granted, forked bool) error {
	var err error
	switch {
	case forked:
		if g.f, err = provenance.Load(ctx, g.s, g.root.Pinned()); err != nil {
			return err
		}
		g.full, g.cuts = true, map[string]uint64{}
		for _, x := range g.f.Forks() {
			if x.Ledger.Topic == intent.Topic {
				g.cuts[x.Ledger.String()] = x.Seq
				g.forks = append(g.forks, x)
			}
		}
		return nil
	case !granted && !g.anew:
		g.f = provenance.RootAlone(g.root)
		for _, name := range names(g.tips) {
			m := g.head.Ledgers[name.String()]
			if at := g.tips[name.Ref()].String(); m != nil && (m.Commit == at || m.Bad == at) {
				continue
			}
			if p, _, ok := provenance.WriterKey(g.f.Authority, name.Writer); !ok || !p.Operator {
				return g.grant(ctx)
			}
		}
		return nil
	}
	return g.grant(ctx)
}

// grant reads all grants.
func (g *gathering) grant(ctx context.Context) (err error) {
	if g.full {
		return nil
	}
	if g.f, err = provenance.LoadAuthority(ctx, g.s, g.root.Pinned()); err == nil && g.f.Authority.Contested() {
		g.f, err = provenance.Load(ctx, g.s, g.root.Pinned()) // who was first is told by all ledgers
	}
	g.full = err == nil
	return err
}
