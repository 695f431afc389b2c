package intents

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/intent"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// What the intent that a commit is made for came to is remembered by itself, so that a hook reads that and nothing that grows. It is good for
// exactly the ledgers, grants and trust root that it was read from. When these moved, what came is read, if that is little; else
// nobody says it, until a command has read the intents.
const (
	stateVersion = "covenant-intent-state/v1"
	mostToRead   = 256      // statements, and intents that are to be folded anew
	mostIndex    = 16 << 20 // bytes of the index
)

func stateFile(id intent.ID) string { return "intent-" + string(id) }

// stateQuestion writes down all that the state of an intent depends on.
func stateQuestion(s *git.Session, root *provenance.Root, tips map[string]oid.ID) string {
	var b strings.Builder
	fmt.Fprintln(&b, stateVersion)
	b.WriteString(provenance.AuthorityQuestion(s, root, tips))
	for _, name := range slices.Sorted(maps.Keys(tips)) {
		if strings.HasPrefix(name, ledger.Prefix+intent.Topic+"/") || strings.HasPrefix(name, provenance.ForkPrefix+intent.Topic+"/") {
			fmt.Fprintln(&b, name, tips[name])
		}
	}
	return b.String()
}

// StateFor returns what the intent of an id came to, for a seal to name. It is nil where no such intent counts here, or where that is not known for
// little: a commit does not wait for it.
func StateFor(ctx context.Context, s *git.Session, root *provenance.Root, cache *provenance.Cache, id string) *prov.IntentState {
	tips, err := provenance.Tips(s, intent.Topic, provenance.CapabilityTopic)
	if err != nil || len(names(tips)) == 0 {
		return nil
	}
	question := stateQuestion(s, root, tips)
	if body := cache.Recall(stateFile(intent.ID(id)), question); body != nil {
		var was prov.IntentState
		if json.Unmarshal(body, &was) == nil {
			return &was
		}
	}
	b := &Book{ctx: ctx, s: s, root: root, cache: cache, whole: map[intent.ID]*intent.Intent{}}
	defer b.Close()
	if !b.small() || !b.recall() {
		b.forget()
	}
	read := func() bool { return b.waiting(tips) <= mostToRead && b.update(ctx, tips) == nil }
	if !read() {
		if b.forget(); !read() { // what is remembered does not fit: all, where that is little
			return nil
		}
	}
	i, ok := b.number()[intent.ID(id)]
	if !ok || b.rows.at(i).Void != "" {
		return nil
	}
	x, err := b.wholeOf(b.rows.at(i))
	if err != nil {
		return nil
	}
	b.rememberState(x, question)
	return stateOf(x)
}

// forget begins anew.
func (b *Book) forget() {
	b.Close()
	b.head, b.rows, b.byID, b.rings, b.whole = head{Ledgers: map[string]*mark{}}, &shelf{}, nil, nil, map[intent.ID]*intent.Intent{}
}

// small reports whether the index can be read while somebody waits.
func (b *Book) small() bool {
	info, err := os.Stat(filepath.Join(filepath.Dir(b.file()), indexName))
	return err == nil && info.Size() <= mostIndex
}

// waiting counts what must be read and folded until the book is what the ledgers say.
func (b *Book) waiting(tips map[string]oid.ID) int {
	n := 0
	for _, name := range names(tips) {
		m, tip := b.head.Ledgers[name.String()], tips[name.Ref()]
		if m != nil && (m.Commit == tip.String() || m.Bad == tip.String()) {
			continue
		}
		had := uint64(0)
		if m != nil {
			had = m.Seq
		}
		e, _, err := ledger.Read(b.s, tip)
		if err != nil {
			return mostToRead + 1
		}
		h, err := headerOf(e)
		if err != nil || h.Seq < had || h.Seq-had > mostToRead {
			return mostToRead + 1
		}
		n += int(h.Seq - had) //nolint:gosec // bounded
	}
	if forksOf(tips) != "" {
		return mostToRead + 1 // all ledgers would be read
	}
	granted := provenance.AuthorityQuestion(b.s, b.root, tips) != b.head.Authority
	if n == 0 && !granted {
		return 0
	}
	for i := range b.rows.len() {
		if r := b.rows.brief(i); r.unseen() || granted && r.judged() {
			n++
		}
	}
	return n
}

// headerOf is what an entry says of its place, unverified: it tells how much there is to read.
func headerOf(e *envelope.Envelope) (envelope.Header, error) {
	o, err := e.OpenPinned(e.PayloadType(), e.ID())
	if err != nil {
		return envelope.Header{}, err
	}
	return envelope.HeaderOf(o)
}

func stateOf(x *intent.Intent) *prov.IntentState {
	return &prov.IntentState{Last: x.Last, State: string(x.State), Statements: len(x.Counted())}
}

// rememberState keeps what an intent came to. What can't be kept is read again.
func (b *Book) rememberState(x *intent.Intent, question string) {
	if body, err := json.Marshal(stateOf(x)); err == nil {
		b.cache.Keep(stateFile(x.ID), question, body)
	}
}

// wrote keeps what an intent came to with a statement that was just appended, so that the next commit has it.
func (b *Book) wrote(x *intent.Intent, made ledger.Appended) {
	if b.cache == nil || b.tips == nil {
		return
	}
	b.tips[made.Ledger.Ref()] = made.Commit
	b.rememberState(x, stateQuestion(b.s, b.root, b.tips))
}
