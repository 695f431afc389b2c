package redaction

import (
	"errors"
	"io"
	"slices"
)

// chunk is how much text is gathered before it is looked at.
const chunk = 64 << 10

// A stream redacts a text that arrives in pieces.
type stream struct {
	x     *Redactor
	buf   []byte // what is not written yet, after what matchers may look back at
	from  int    // every anchor before it is decided
	out   int    // everything before it is written
	seen  int    // len(buf) when it was last looked at
	spans []span // claimed, and not written yet
	at    place
	hits  []Hit
}

// step appends to dst what can be told of the text so far; all of it if it is final.
func (s *stream) step(dst []byte, final bool) []byte {
	text := string(s.buf)
	s.seen = len(s.buf)
	var decided int
	s.spans, decided, _ = s.x.machine.find(text, s.from, final, s.spans)
	s.from = decided
	bound := len(text)
	if !final {
		bound = max(s.out, decided-hold)
	}
	slices.SortFunc(s.spans, order)
	rest := s.spans[:0]
	for _, sp := range s.spans {
		if sp.start >= bound {
			rest = append(rest, sp)
			continue
		}
		if sp.start = max(sp.start, s.out); sp.end <= sp.start {
			continue
		}
		dst = s.copy(dst, text[s.out:sp.start])
		s.hits = append(s.hits, s.at.hit(sp))
		dst = append(dst, s.x.mark(sp.rule, text[sp.start:sp.end])...)
		s.at.advance(text[sp.start:sp.end])
		s.out = sp.end
	}
	s.spans = rest
	if s.out < bound {
		dst = s.copy(dst, text[s.out:bound])
		s.out = bound
	}
	s.forget(min(s.from, s.out) - Back - maxMark)
	return dst
}

func (s *stream) copy(dst []byte, text string) []byte {
	s.at.advance(text)
	return append(dst, text...)
}

// forget drops the first n bytes of the buffer.
func (s *stream) forget(n int) {
	if n <= 0 {
		return
	}
	s.buf = s.buf[:copy(s.buf, s.buf[n:])]
	s.from, s.out, s.seen = s.from-n, s.out-n, s.seen-n
	for i := range s.spans {
		s.spans[i].start -= n
		s.spans[i].end -= n
	}
}

func (x *Redactor) stream() stream { return stream{x: x, at: place{line: 1, column: 1}} }

// ErrClosed says that a [Writer] was written to after it was closed.
var ErrClosed = errors.New("redaction: write after close")

// A Writer redacts what is written to it. It keeps back text until it is known to be harmless, at most
// about 2*[Window] bytes, and writes the rest when it is closed. It is not for many goroutines.
type Writer struct {
	w   io.Writer
	s   stream
	err error
}

// Writer returns a writer that redacts and writes on to w. It does not close w.
func (x *Redactor) Writer(w io.Writer) *Writer { return &Writer{w: w, s: x.stream()} }

// Write takes text. An error of the writer below comes back from every later call; what was kept back
// is then never written.
func (w *Writer) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if w.err != nil {
			return total - len(p), w.err
		}
		n := min(len(p), chunk)
		w.s.buf = append(w.s.buf, p[:n]...)
		p = p[n:]
		if len(w.s.buf)-w.s.seen >= chunk {
			w.write(false)
		}
	}
	return total, w.err
}

// Close writes what was kept back.
func (w *Writer) Close() error {
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	if w.err == nil {
		w.write(true)
	}
	err := w.err
	w.err = ErrClosed
	w.s.buf = nil
	return err
}

// Hits returns the hits so far; after Close, those that [Redactor.Redact] gives for the whole text.
func (w *Writer) Hits() []Hit { return w.s.hits }

func (w *Writer) write(final bool) {
	if out := w.s.step(nil, final); len(out) > 0 {
		_, w.err = w.w.Write(out)
	}
}

// A Reader redacts what is read through it.
type Reader struct {
	r     io.Reader
	s     stream
	ready []byte
	err   error
}

// Reader returns a reader of what r has, redacted. It reads ahead, at most about 2*[Window] bytes.
func (x *Redactor) Reader(r io.Reader) *Reader { return &Reader{r: r, s: x.stream()} }

// Read reads redacted text. What the reader below gave before an error comes first, and then the
// error.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.ready) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// Hits returns the hits so far; after io.EOF, all of them.
func (r *Reader) Hits() []Hit { return r.s.hits }

// fill reads until there is enough to look at.
func (r *Reader) fill() {
	for r.err == nil && len(r.s.buf)-r.s.seen < chunk {
		n := len(r.s.buf)
		r.s.buf = slices.Grow(r.s.buf, 4096)
		m, err := r.r.Read(r.s.buf[n:cap(r.s.buf)])
		r.s.buf, r.err = r.s.buf[:n+m], err
	}
	r.ready = r.s.step(r.ready[:0:0], r.err != nil)
}
