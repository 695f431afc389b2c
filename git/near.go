package git

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// near reads what is asked for from files of loose objects, so that one who needs the two or three objects written last need not
// start Git. It knows "<object>" and "<commit or tree>:<name>". Git is asked what it can't answer: of what is packed, borrowed, damaged or
// too large, and wherever a child waits already.
func (s *Session) near(req request) (Object, bool) {
	if !req.sent || req.info || s.has(readPurpose) {
		return Object{}, false
	}
	name, entry, within := strings.Cut(req.name, ":")
	id, err := oid.Parse(name)
	if err != nil || id.Format() != s.repo.format {
		return Object{}, false
	}
	o, ok := s.repo.readLoose(id, req.limit)
	if !within || !ok {
		return o, ok
	}
	if o.Kind == "commit" {
		c, err := ParseCommit(s.repo.format, id, o.Data)
		if err != nil {
			return Object{}, false
		}
		if o, ok = s.repo.readLoose(c.Tree, req.limit); !ok {
			return Object{}, false
		}
	}
	if o.Kind != "tree" {
		return Object{}, false
	}
	entries, err := ParseTree(s.repo.format, o.Data)
	at := slices.IndexFunc(entries, func(e TreeEntry) bool { return e.Name == entry })
	if err != nil || at < 0 || entries[at].Mode.IsGitlink() {
		return Object{}, false
	}
	return s.repo.readLoose(entries[at].ID, req.limit)
}

// nearby is how many objects of many are read here at most: of more, Git reads some while others are looked at.
const nearby = 16

// nearest yields the first results, as long as what is asked for is near, and returns what is still to be asked; false where nothing is.
func (s *Session) nearest(next func() (request, bool), yield func(Object, error) bool) (rest iter.Seq[request], more bool) {
	for range nearby {
		req, ok := next()
		if !ok {
			return nil, false
		}
		o, err := req.o, req.err
		if req.sent {
			if o, ok = s.near(req); !ok {
				return following(next, &req), true
			}
		}
		if !yield(o, err) {
			return nil, false
		}
	}
	return following(next, nil), true
}

// following is what has not been pulled yet, behind one that was put back.
func following(next func() (request, bool), back *request) iter.Seq[request] {
	return func(yield func(request) bool) {
		if back != nil && !yield(*back) {
			return
		}
		for req, ok := next(); ok; req, ok = next() {
			if !yield(req) {
				return
			}
		}
	}
}

// has reports whether a child waits for a purpose.
func (s *Session) has(purpose string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idle[purpose] != nil
}

// readLoose reads an object of at most limit bytes that has a file of its own; false where it has none, or another content than its name says.
func (r *Repo) readLoose(id oid.ID, limit int64) (Object, bool) {
	name := id.String()
	f, err := os.Open(filepath.Join(r.objectDir(), name[:2], name[2:]))
	if err != nil {
		return Object{}, false
	}
	defer f.Close()
	o, ok := inflate(f, limit)
	o.ID = id
	return o, ok && r.format.Hash(o.Kind, o.Data) == id
}

// inflate reads the file of a loose object: a zlib stream of "<kind> SP <size> NUL <body>", and nothing behind it.
func inflate(file io.Reader, limit int64) (Object, bool) {
	in := bufio.NewReader(file)
	z, err := zlib.NewReader(in)
	if err != nil {
		return Object{}, false
	}
	body := bufio.NewReaderSize(z, 512)
	head, err := body.Peek(len("commit ") + 20)
	if err != nil && err != io.EOF { //nolint:errorlint // of bufio, and bare
		return Object{}, false
	}
	head, _, ended := bytes.Cut(head, []byte{0})
	kind, digits, spaced := strings.Cut(string(head), " ")
	size, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case !ended, !spaced, err != nil, strconv.FormatInt(size, 10) != digits, size < 0, size > limit:
		return Object{}, false
	case kind != "blob" && kind != "tree" && kind != "commit" && kind != "tag":
		return Object{}, false
	}
	if _, err := body.Discard(len(head) + 1); err != nil {
		return Object{}, false
	}
	// Not all of it at once on a file's word: what is said to be long may be short.
	data, err := io.ReadAll(io.LimitReader(body, size+1))
	if err != nil || int64(len(data)) != size {
		return Object{}, false
	}
	if _, err := in.ReadByte(); err != io.EOF { //nolint:errorlint // likewise
		return Object{}, false
	}
	return Object{Kind: kind, Size: size, Data: data}, true
}
