package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Object is one object with its content. Kind is "blob", "tree", "commit" or "tag"; Size is the
// length of Data in bytes.
type Object struct {
	ID   oid.ID
	Kind string
	Size int64
	Data []byte
}

// ErrMissing says that the repository lacks an object, or that a name does not lead to one. In a
// partial clone or beyond a shallow boundary that is no sign of damage. Nothing is ever fetched.
var ErrMissing = errors.New("no such object")

// DefaultLimit is the size limit in bytes of an object read with limit 0.
const DefaultLimit = 64 << 20

// TooLargeError says that something was not read because of its size in bytes.
type TooLargeError struct {
	Name        string
	Size, Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: %d bytes, more than the limit of %d", clip(e.Name), e.Size, e.Limit)
}

const (
	readPurpose = "cat-file"
	// batch is how many requests go to a child before it is asked to answer.
	batch = 64
)

// Object reads one object by any name that gitrevisions(7) describes: "HEAD", "refs/x^{tree}",
// "<tree>:path", an object name. A name that holds a newline or NUL, or ends in a carriage return,
// cannot be sent to Git and is [ErrMissing]; walk trees for such paths.
//
// Ref names are resolved by a child as old as the session's first read, which can miss that refs
// were packed twice within a second: take the tips that decide something from [Session.Refs].
//
// With limit 0 or less the limit is [DefaultLimit] bytes; a larger object is *[TooLargeError] and
// never held in memory. Objects that [Session.Put] queued are found by their object name.
func (s *Session) Object(name string, limit int64) (Object, error) {
	return s.object(s.request(name, limit))
}

func (s *Session) object(req request) (Object, error) {
	name := req.name
	if !req.sent {
		return req.o, req.err
	}
	if o, ok := s.near(req); ok {
		return o, nil
	}
	p, err := s.reader()
	if err != nil {
		return Object{}, fmt.Errorf("read object %s: %w", clip(name), err)
	}
	if err = ask(p.w, req); err == nil {
		err = flushAsk(p.w)
	}
	if err != nil {
		return Object{}, fmt.Errorf("read object %s: %w", clip(name), p.failure(err))
	}
	o, err, broken := answer(p, req)
	if broken {
		return Object{}, err
	}
	s.give(readPurpose, p)
	return o, err
}

// Objects reads many objects; one result per name, in order. Names are those of [Session.Object].
// A missing or too large object is yielded as an error with a zero Object, and the sequence goes
// on; any other error ends it.
//
// The names are pulled from another goroutine, ahead of the results: names must not wait for a
// result of this same call.
func (s *Session) Objects(names iter.Seq[string], limit int64) iter.Seq2[Object, error] {
	return s.objects(names, limit, false)
}

func (s *Session) objects(names iter.Seq[string], limit int64, head bool) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		reqs := func(yield func(request) bool) {
			for name := range names {
				req := s.request(name, limit)
				req.head = head
				if !yield(req) {
					return
				}
			}
		}
		if !s.has(readPurpose) {
			next, stop := iter.Pull(reqs)
			defer stop()
			var more bool
			if reqs, more = s.nearest(next, yield); !more {
				return
			}
		}
		l := line[request, Object]{
			start: s.reader,
			write: ask,
			flush: flushAsk,
			read:  answer,
			give:  func(p *process) { s.give(readPurpose, p) },
		}
		l.run(reqs, yield)
	}
}

var readArgs = []string{"cat-file", "--batch-command", "--buffer"}

func (s *Session) reader() (*process, error) {
	env, err := s.readEnv()
	if err != nil {
		return nil, err
	}
	return s.take(readPurpose, env, readArgs...)
}

// headLimit is how many bytes of a commit are read at most: its headers and the beginning of its message.
const headLimit = 1 << 20

// Commit reads one commit by any name of [Session.Object]; "^{commit}" peels a tag. However long
// its message is, only its beginning is read.
func (s *Session) Commit(name string) (Commit, error) {
	req := s.request(name, headLimit)
	req.head = true
	return s.parseCommit(s.object(req))
}

func (s *Session) parseCommit(o Object, err error) (Commit, error) {
	if err == nil && o.Kind != "commit" {
		err = fmt.Errorf("%w: %s is a %s, not a commit", ErrMissing, o.ID, o.Kind)
	}
	if err != nil {
		return Commit{}, err
	}
	return ParseCommit(s.repo.format, o.ID, o.Data)
}

// Commits reads many commits; one result per name, in order. What [Session.Objects] says of names and errors holds; a
// malformed commit, or another kind of object, is yielded as an error too.
func (s *Session) Commits(names iter.Seq[string]) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		for o, err := range s.objects(names, headLimit, true) {
			if !yield(s.parseCommit(o, err)) {
				return
			}
		}
	}
}

// Sizes returns the size in bytes of many objects without reading them; one result per name, in
// order. What [Session.Objects] says of names and errors holds.
func (s *Session) Sizes(names iter.Seq[string]) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		l := line[request, Object]{
			start: s.reader, write: ask, flush: flushAsk, read: answer,
			give: func(p *process) { s.give(readPurpose, p) },
		}
		l.run(func(yield func(request) bool) {
			for name := range names {
				req := s.request(name, 1<<62)
				req.info = true
				if !yield(req) {
					return
				}
			}
		}, func(o Object, err error) bool { return yield(o.Size, err) })
	}
}

// request is one object that is asked for.
type request struct {
	name  string
	limit int64
	head  bool // of a larger object the first limit bytes are wanted
	info  bool // only kind and size are wanted
	sent  bool // Git is asked; otherwise o and err are the answer
	o     Object
	err   error
}

func (s *Session) request(name string, limit int64) request {
	if limit <= 0 {
		limit = DefaultLimit
	}
	req := request{name: name, limit: limit}
	if name == "" || len(name) > pathLimit || strings.ContainsAny(name, "\n\x00") || strings.HasSuffix(name, "\r") {
		req.err = fmt.Errorf("%w: %q", ErrMissing, clip(name))
		return req
	}
	if id, err := oid.Parse(name); err == nil {
		if q, ok := s.queuedObject(id); ok {
			if q.Size > limit {
				req.err = &TooLargeError{Name: name, Size: q.Size, Limit: limit}
			} else {
				req.o = q
			}
			return req
		}
	}
	req.sent = true
	return req
}

// ask writes a request; flushAsk makes Git answer what was asked (git-cat-file(1), --batch-command
// with --buffer).
func ask(w *bufio.Writer, req request) error {
	if !req.sent {
		return nil
	}
	if req.info {
		w.WriteString("info ")
	} else {
		w.WriteString("contents ")
	}
	w.WriteString(req.name)
	return w.WriteByte('\n')
}

func flushAsk(w *bufio.Writer) error {
	w.WriteString("flush\n")
	return w.Flush()
}

// answer reads the answer to a request: "<name> SP <kind> SP <size> LF <content> LF", or one line
// that ends in the word that says why there is none. broken means that the child cannot be used
// any more and was ended.
func answer(p *process, req request) (o Object, err error, broken bool) {
	if !req.sent {
		return req.o, req.err, false
	}
	head, err := p.out.ReadSlice('\n')
	if err != nil {
		return Object{}, fmt.Errorf("read object %s: %w", clip(req.name), p.failure(err)), true
	}
	head = head[:len(head)-1]
	// The name is repeated as it was sent, so it is compared before anything in it is parsed.
	if rest, ok := bytes.CutPrefix(head, []byte(req.name)); ok {
		switch string(rest) {
		case " missing":
			return Object{}, fmt.Errorf("%w: %s", ErrMissing, clip(req.name)), false
		case " ambiguous":
			return Object{}, fmt.Errorf("%w: %s is ambiguous", ErrMissing, clip(req.name)), false
		}
	}
	if id, ok := bytes.CutSuffix(head, []byte(" submodule")); ok {
		if _, err := oid.Parse(string(id)); err == nil {
			return Object{}, fmt.Errorf("%w: %s is a commit of a submodule", ErrMissing, clip(req.name)), false
		}
	}
	o, err = parseHeader(head)
	if err == nil && len(req.name) == len(o.ID.String()) {
		if id, perr := oid.Parse(req.name); perr == nil && id != o.ID {
			err = fmt.Errorf("got %s", o.ID)
		}
	}
	if err != nil {
		p.kill()
		return Object{}, fmt.Errorf("read object %s: git cat-file: %w", clip(req.name), err), true
	}
	if req.info {
		return o, nil, false
	}
	want := o.Size
	if want > req.limit && req.head {
		want = req.limit
	}
	if want > req.limit {
		if err := discard(p.out, o.Size+1); err != nil {
			return Object{}, fmt.Errorf("read object %s: %w", clip(req.name), p.failure(err)), true
		}
		return Object{}, &TooLargeError{Name: req.name, Size: o.Size, Limit: req.limit}, false
	}
	data := make([]byte, want+1)
	_, err = io.ReadFull(p.out, data[:want])
	if err == nil {
		err = discard(p.out, o.Size-want)
	}
	if err == nil {
		data[want], err = p.out.ReadByte()
	}
	if err != nil {
		return Object{}, fmt.Errorf("read object %s: %w", clip(req.name), p.failure(err)), true
	}
	if data[want] != '\n' {
		p.kill()
		return Object{}, fmt.Errorf("read object %s: git cat-file: unexpected answer", clip(req.name)), true
	}
	o.Data = data[:want:want]
	return o, nil, false
}

// parseHeader reads "<oid> SP <kind> SP <size>".
func parseHeader(head []byte) (Object, error) {
	f := strings.Split(string(head), " ")
	if len(f) != 3 {
		return Object{}, fmt.Errorf("unexpected answer %q", clip(string(head)))
	}
	id, err := oid.Parse(f[0])
	if err != nil {
		return Object{}, err
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 || !isKind(f[1]) {
		return Object{}, fmt.Errorf("unexpected answer %q", clip(string(head)))
	}
	return Object{ID: id, Kind: f[1], Size: size}, nil
}

func isKind(s string) bool { return s == "blob" || s == "tree" || s == "commit" || s == "tag" }

// discard skips n bytes; bufio.Reader.Discard takes an int, which may have 32 bits.
func discard(r *bufio.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, r, n)
	return err
}
