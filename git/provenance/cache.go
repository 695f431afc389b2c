package provenance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Cache remembers what earlier verifications found true whoever asks: that
// signatures verified and changes agreed. It never remembers a verdict: who may
// do what is folded and asked afresh. What it holds is authenticated with a key
// of the user's, outside the repository, so that nobody who writes into the
// repository can put words into its mouth.
type Cache struct {
	repo *git.Repo
	dir  string
	key  []byte
}

// cacheVersion changes with everything that could make an exam come out differently.
const cacheVersion = "covenant-exam/v38"

// kept is how many things are remembered; the oldest go.
const kept = 64

// OpenCache returns the cache of a clone, nil when there can't be one.
func OpenCache(r *git.Repo, configDir string) *Cache {
	key := cacheKey(configDir)
	if key == nil {
		return nil
	}
	return &Cache{repo: r, dir: filepath.Join(r.StateDir(), "cache"), key: key}
}

// cacheKey returns the user's key of caches, a new one where there was none; nil when there can't be one.
func cacheKey(configDir string) []byte { return userKey(filepath.Join(configDir, "cache.key")) }

// RedactionKey returns the user's key by which marks of what was redacted can be told apart, likewise.
func RedactionKey(configDir string) []byte {
	return userKey(filepath.Join(configDir, "redaction.key"))
}

func userKey(file string) []byte {
	key, err := os.ReadFile(file) //nolint:gosec // our own file
	if os.IsNotExist(err) {
		key, err = makeKey(file)
	}
	info, serr := os.Lstat(file)
	if err != nil || serr != nil || len(key) != sha256.Size || !info.Mode().IsRegular() || (info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/') {
		return nil
	}
	return key
}

// MemoryFor returns what [git.Open] remembers by, nil where nothing remembered is believed. It stands in the cache,
// authenticated as all that is there.
func MemoryFor(configDir string, lookup func(string) (string, bool)) git.Memory {
	if Automated(lookup) {
		return nil
	}
	return memory(configDir)
}

// memory is the user's configuration directory.
type memory string

// Recall implements [git.Memory].
func (m memory) Recall(commonDir, name string) []byte {
	dir := filepath.Join(git.StateIn(commonDir), "cache")
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		return nil
	}
	c := &Cache{dir: dir, key: cacheKey(string(m))}
	if c.key == nil {
		return nil
	}
	return c.read(name)
}

// Remember implements [git.Memory]. Nothing is left in a repository that is not governed.
func (m memory) Remember(r *git.Repo, name string, b []byte) {
	if _, governed := r.Config().Get(PinKey); !governed {
		return
	}
	if c := OpenCache(r, string(m)); c != nil {
		c.write(name, b)
	}
}

// automated are the variables by which build services, and Git's own quarantine of what
// is being pushed, tell themselves.
var automated = []string{"CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "GIT_QUARANTINE_PATH"}

// Automated reports whether an environment is one in which nothing remembered is believed.
func Automated(lookup func(string) (string, bool)) bool {
	for _, sign := range automated {
		if v, _ := lookup(sign); v != "" && v != "false" && v != "0" {
			return true
		}
	}
	return false
}

func makeKey(file string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // our own file
	if err != nil {
		return nil, err
	}
	_, err = f.Write(key)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return key, err
}

// question writes down what the exams depend on: root, ledgers, notes, the span itself, and the ref that it is judged on, which
// its name alone does not tell. against are the versions of the root that somebody decided against.
func question(sp Span, ref string, o Options, root envelope.Digest, refs map[string]oid.ID, shallow map[oid.ID]bool, against []string) string {
	var b strings.Builder
	fmt.Fprintln(&b, cacheVersion, o.Pin, root, o.NewestFirst, o.History, sp.Names, ref) // whose keys are known depends on the version in force
	fmt.Fprintln(&b, "against", against)
	ends := make([]string, 0, len(shallow))
	for id := range shallow {
		ends = append(ends, id.String())
	}
	slices.Sort(ends)
	fmt.Fprintln(&b, "shallow", ends)
	for _, id := range sp.Tips {
		fmt.Fprintln(&b, "tip", id)
	}
	for _, id := range sp.Except {
		fmt.Fprintln(&b, "not", id)
	}
	for _, id := range sp.Apart {
		fmt.Fprintln(&b, "apart", id)
	}
	names := make([]string, 0, len(refs))
	for n := range refs {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintln(&b, n, refs[n])
	}
	return b.String()
}

// file names the snapshot of a span; another state of the ledgers overwrites it.
func (c *Cache) file(sp Span, ref string, o Options) string {
	sum := sha256.Sum256([]byte(question(sp, ref, o, "", nil, nil, nil)))
	return hex.EncodeToString(sum[:12])
}

func (c *Cache) mac(name string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, c.key)
	_, _ = io.WriteString(m, cacheVersion+"\n"+name+"\n")
	for _, b := range parts {
		m.Write(b)
	}
	return m.Sum(nil)
}

// maxSnapshot bounds what is read; a longer span is verified anew.
const maxSnapshot = 256 << 20

// read returns what was written under a name, nil when there is nothing or somebody else wrote it.
func (c *Cache) read(name string) []byte {
	file := filepath.Join(c.dir, name)
	info, err := os.Stat(file)
	if err != nil || info.Size() > maxSnapshot || info.Size() < sha256.Size {
		return nil
	}
	b, err := os.ReadFile(file) //nolint:gosec // our own file, authenticated below
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	body := b[sha256.Size:]
	if !hmac.Equal(b[:sha256.Size], c.mac(name, body)) {
		return nil
	}
	return body
}

// write is a memory only: what can't be written is looked up again.
func (c *Cache) write(name string, parts ...[]byte) {
	size := 0
	for _, b := range parts {
		size += len(b)
	}
	if size > maxSnapshot || c.repo.WriteState("cache/"+name, slices.Insert(parts, 0, c.mac(name, parts...))...) != nil {
		return
	}
	entries, err := os.ReadDir(c.dir)
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), openedPrefix) }) // few, seldom written, and the dearest
	if err != nil || len(entries) <= kept {
		return
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return modified(a).Compare(modified(b)) })
	for _, e := range entries[:len(entries)-kept] {
		_ = os.Remove(filepath.Join(c.dir, e.Name()))
	}
}

// forget takes away what was written under a name.
func (c *Cache) forget(name string) { _ = os.Remove(filepath.Join(c.dir, name)) }

func modified(e os.DirEntry) time.Time {
	info, err := e.Info()
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// recall answers from the cache when nothing that the exams depend on has
// moved; nil when something did. Root and grants are read and folded anew.
func recall(ctx context.Context, s *git.Session, sp Span, o Options) *Report {
	if o.Cache == nil {
		return nil
	}
	ref, err := sp.UnderReview(s)
	if err != nil {
		return nil
	}
	file := o.Cache.file(sp, ref, o)
	if _, err := os.Stat(filepath.Join(o.Cache.dir, file)); err != nil {
		return nil // never asked before: spare the look at the refs
	}
	remembered := make(chan *snapshot, 1)
	go func() { remembered <- o.Cache.load(file) }() // while Git reads
	list, err := s.Tips(ledger.Prefix, notes.Ref, ForkPrefix)
	if err != nil {
		return nil
	}
	refs := map[string]oid.ID{}
	for _, r := range list {
		refs[r.Name] = r.ID
	}
	shallow, err := s.Repo().Shallow()
	if err != nil {
		return nil
	}
	root, err := o.Cache.OpenRoot(s, o.Pin)
	if err != nil || inForce(s, root, o.Now) != nil || sp.together(s, root) != nil {
		return nil // the long way says what is wrong
	}
	f := newFacts(root)
	if slices.ContainsFunc(list, func(r git.Ref) bool {
		return strings.HasPrefix(r.Name, ledger.Prefix+CapabilityTopic+"/") || strings.HasPrefix(r.Name, ForkPrefix+CapabilityTopic+"/")
	}) {
		if f, err = loadTopics(ctx, s, root, CapabilityTopic+"/"); err != nil {
			return nil
		}
		if f.Authority.Contested() {
			return nil // who saw what tells who was first: the long way
		}
	} else {
		f.Authority = capability.Fold(Persons(root), nil, nil)
	}
	snap := <-remembered
	if snap == nil || snap.Question != question(sp, ref, o, root.Digest, refs, shallow, rejected(s)) {
		return nil
	}
	if o.Origins && snap.Rewritten && !snap.Origins {
		return nil
	}
	f.seen = snap.Seen
	f.witness()
	if f.recent(snap.Newest, o.Now) != nil {
		return nil
	}
	f.seals = nil // not read: only what was examined is known
	if snap.Line != nil {
		f.lines = map[string]*verdict.Line{snap.Line.Ref: snap.Line}
	}
	var among map[oid.ID]bool
	if o.Among != nil {
		among = o.Among()
	}
	kept := snap.exams(among)
	if kept == nil {
		return nil
	}
	for i := range kept {
		if a := kept[i].Exam.Advance; a != nil && a.Root != "" {
			if _, known := f.policyOf(a.Root); !known && f.learn(s) != nil {
				return nil
			}
		}
	}
	r := &Report{Facts: f, Problems: snap.Problems}
	exams := make([]verdict.Exam, 0, len(kept))
	for i := range kept {
		k := &kept[i]
		r.Commits = append(r.Commits, git.Commit{ID: k.Exam.Commit, Subject: k.Subject, Committer: git.Ident{When: time.Unix(k.When, 0).UTC()}})
		exams = append(exams, k.Exam)
	}
	w := f.World()
	if o.Asker != nil {
		w.Authority = o.Asker(f.Root, f.Authority)
	}
	results := make([]verdict.Result, 0, len(exams))
	for exams := range slices.Chunk(exams, batchOf) {
		for i, r := range judgeAll(exams, w, o.Now) {
			if exams[i].Closed && !r.Verdict.OK() {
				return nil // it held without others' seals when it was examined, and does no more
			}
			results = append(results, r)
		}
	}
	r.Results = func(yield func(verdict.Result, error) bool) {
		for i := range results {
			if !yield(results[i], nil) {
				return
			}
		}
	}
	return r
}

// remember stores what was found true.
func (f *Facts) remember(s *git.Session, sp Span, o Options, r *Report, exams []verdict.Exam) {
	shallow, err := s.Repo().Shallow()
	if err != nil {
		return
	}
	ref, err := sp.UnderReview(s)
	if err != nil || sp.Ref != "" && len(sp.Except) == 0 && asks(f.Root.Policy, ref) { // then they depend on where the ref is, too
		return
	}
	refs := map[string]oid.ID{}
	for ref, id := range f.Tips {
		refs[ref] = id
	}
	for ref, id := range f.forkTips {
		refs[ref] = id
	}
	if !f.NotesTip.IsZero() {
		refs[notes.Ref] = f.NotesTip
	}
	snap := &snapshot{Question: question(sp, ref, o, f.Root.Digest, refs, shallow, rejected(s)), Problems: r.Problems, Origins: o.Origins, Newest: f.newest}
	for name, list := range f.seen {
		if strings.HasPrefix(name, CapabilityTopic+"/") {
			if snap.Seen == nil {
				snap.Seen = map[string][]seenAt{}
			}
			snap.Seen[name] = list
		}
	}
	if ref != "" {
		snap.Line = f.Line(ref)
	}
	if len(exams) != len(r.Commits) {
		return
	}
	kept := make([]keptExam, 0, len(exams))
	for i, c := range r.Commits {
		snap.Rewritten = snap.Rewritten || len(f.Rewritten[c.ID]) > 0 || exams[i].Derived.OfAny(func(id oid.ID) bool { return len(f.Rewritten[id]) > 0 })
		kept = append(kept, keptExam{c.Subject, c.Committer.When.Unix(), exams[i]})
	}
	o.Cache.store(o.Cache.file(sp, ref, o), snap, kept)
}

// Recall returns what was kept under a name for exactly this question, nil where nothing was. A nil cache remembers nothing.
func (c *Cache) Recall(name, question string) []byte {
	if c == nil {
		return nil
	}
	q, body, ok := bytes.Cut(c.read(name), []byte{0})
	if !ok || string(q) != question {
		return nil
	}
	return body
}

// Names returns the names with a prefix under which something may be kept. A nil cache has none.
func (c *Cache) Names(prefix string) []string {
	if c == nil {
		return nil
	}
	entries, _ := os.ReadDir(c.dir)
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out
}

// Sum is a digest of all that is kept under names with a prefix: an answer that depends on it is asked for with it.
func (c *Cache) Sum(prefix string) string {
	sum := sha256.New()
	for _, name := range c.Names(prefix) {
		_, _ = fmt.Fprintln(sum, name, sha256.Sum256(c.read(name)))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Keep remembers facts under a name, for one question.
func (c *Cache) Keep(name, question string, body []byte) {
	if c != nil {
		c.write(name, append([]byte(question), 0), body)
	}
}

// RecordQuestion writes down all that the facts of [Load] depend on: the trust root, the ledgers, and where history ends here.
// refs are other refs that an answer depends on.
func RecordQuestion(s *git.Session, root *Root, refs ...string) (string, error) {
	list, err := s.Tips(append([]string{ledger.Prefix, ForkPrefix, FormerPrefix}, refs...)...)
	if err != nil {
		return "", err
	}
	shallow, err := s.Repo().Shallow()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, cacheVersion, root.pin, root.Digest, rejected(s))
	ends := make([]string, 0, len(shallow))
	for id := range shallow {
		ends = append(ends, id.String())
	}
	slices.Sort(ends)
	fmt.Fprintln(&b, ends)
	for _, r := range list {
		fmt.Fprintln(&b, r.Name, r.ID)
	}
	return b.String(), nil
}
