// Package witness is both ends of C2SP tlog-witness over HTTP: a [Witness] cosigns checkpoints of the logs it knows, and
// an [Endpoint] asks one. What a witness decides is package tlog's; here are its memory, which outlives
// it, and the wire.
//
// A cosignature says that the witness saw the log so at a time, and never in a state that this one does not
// continue. So what it saw is on disk before the cosignature is made, and one process at a time has that memory.
package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// path is the one thing that a witness answers to.
const path = "/add-checkpoint"

// ErrClock says that the clock stands before the time of a cosignature that was given.
var ErrClock = errors.New("the clock stands before the last cosignature")

// stepBack is how far a clock may be set back while a witness runs; cosignatures then keep the last one's time.
const stepBack = 5 * time.Minute

// A Witness cosigns the checkpoints of some logs.
type Witness struct {
	// Log is told one line about each request, and about what went wrong; it is free of control characters.
	Log func(line string)

	key    tlog.WitnessKey
	signer identity.Signer
	now    func() time.Time
	dir    *Dir
	logs   map[tlog.Origin]*watched
}

// watched is a log, with the lock that is held from the look at what was seen to the storing of what is.
type watched struct {
	mu   sync.Mutex
	key  tlog.LogKey
	seen Seen
}

// New returns a witness of some logs that remembers in dir. The signer is that of dir's key.
func New(dir *Dir, signer identity.Signer, logs []tlog.LogKey, now func() time.Time) (*Witness, error) {
	w := &Witness{Log: func(string) {}, key: dir.key, signer: signer, now: now, dir: dir, logs: make(map[tlog.Origin]*watched, len(logs))}
	if k, err := tlog.NewWitnessKey(dir.key.Name(), signer.Public()); err != nil {
		return nil, err
	} else if k != dir.key {
		return nil, fmt.Errorf("%w: it is %s, and its memory is of %s", tlog.ErrKeyType, k, dir.key)
	}
	for _, k := range logs {
		if w.logs[k.Origin()] != nil {
			return nil, fmt.Errorf("%w: %s has two keys", tlog.ErrOrigin, k.Origin())
		}
		seen, err := dir.Load(k)
		if err != nil {
			return nil, err
		}
		w.logs[k.Origin()] = &watched{key: k, seen: seen}
	}
	return w, nil
}

// Key returns the key by which its cosignatures are verified.
func (w *Witness) Key() tlog.WitnessKey { return w.key }

// Seen returns what the witness cosigned last of a log; the zero Seen when nothing, or when it does not know the log.
func (w *Witness) Seen(o tlog.Origin) Seen {
	l := w.logs[o]
	if l == nil {
		return Seen{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// An answer is what goes back.
type answer struct {
	status int
	typ    string
	body   []byte
	err    error // why not
	origin tlog.Origin
	size   uint64
}

func refuse(status int, err error) answer {
	return answer{status: status, typ: "text/plain; charset=utf-8", body: []byte(say.Line(err.Error()) + "\n"), err: err}
}

// addCheckpoint decides about the body of a request, and remembers before it signs.
func (w *Witness) addCheckpoint(body []byte) answer {
	var l *watched
	var origin tlog.Origin
	defer func() {
		if l != nil {
			l.mu.Unlock()
		}
	}()
	d := tlog.Witness(body, func(o tlog.Origin) (tlog.LogKey, tlog.Tree, bool) {
		origin = o
		found := w.logs[o]
		if found == nil {
			return tlog.LogKey{}, tlog.Tree{}, false
		}
		found.mu.Lock()
		l = found
		return l.key, l.seen.Tree, true
	})
	if d.Status != tlog.StatusCosign {
		a := refuse(d.Status, d.Err)
		if d.Status == tlog.StatusConflict {
			a.typ, a.body = tlog.SizeType, d.Body(nil)
		}
		a.origin, a.size = origin, d.Size
		return a
	}
	a := w.cosign(l, d)
	a.origin, a.size = origin, d.Cosign.Tree().Size
	return a
}

// cosign stores a checkpoint and signs it. The caller holds the log's lock.
func (w *Witness) cosign(l *watched, d tlog.Decision) answer {
	at := w.now().UTC().Truncate(time.Second)
	// Of two cosignatures the one with the larger tree is never the earlier one.
	if back := l.seen.Time.Sub(at); back > stepBack {
		return refuse(http.StatusInternalServerError, fmt.Errorf("%w: %s is before %s", ErrClock, envelope.Timestamp(at), envelope.Timestamp(l.seen.Time)))
	} else if back > 0 {
		at = l.seen.Time
	}
	seen := Seen{Tree: d.Cosign.Tree(), Time: at, checkpoint: d.Cosign}
	if err := w.dir.Store(seen); err != nil {
		w.Log(say.Line("not stored: " + err.Error()))
		return refuse(http.StatusInternalServerError, errors.New("the witness cannot store what it saw"))
	}
	l.seen = seen
	line, err := tlog.Cosign(d.Cosign, w.key.Name(), w.signer, at)
	if err != nil {
		w.Log(say.Line("not signed: " + err.Error()))
		return refuse(http.StatusInternalServerError, errors.New("the witness cannot sign"))
	}
	return answer{status: http.StatusOK, typ: "text/plain; charset=utf-8", body: d.Body(line)}
}

// ServeHTTP implements [http.Handler].
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	start := w.now()
	a := w.answer(rw, r)
	h := rw.Header()
	h.Set("Content-Type", a.typ)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	rw.WriteHeader(a.status)
	_, werr := rw.Write(a.body)

	line := fmt.Sprintf("%s %s %d", envelope.Timestamp(start), r.RemoteAddr, a.status)
	if a.origin != "" {
		line += " " + string(a.origin)
	} else {
		line += fmt.Sprintf(" %.20s %.80q", r.Method, r.URL.Path)
	}
	if a.status == http.StatusOK {
		line += fmt.Sprintf(" %d entries", a.size)
	} else if a.err != nil {
		line += ": " + a.err.Error()
	}
	if werr != nil {
		line += "; not answered: " + werr.Error()
	}
	w.Log(say.Line(line))
}

func (w *Witness) answer(rw http.ResponseWriter, r *http.Request) answer {
	switch {
	case r.URL.Path != path:
		return refuse(http.StatusNotFound, errors.New("a witness answers to POST "+path))
	case r.Method != http.MethodPost:
		rw.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, errors.New("a checkpoint is sent with POST"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, tlog.MaxRequest))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, fmt.Errorf("a request has at most %d bytes", large.Limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		rw.Header().Set("Connection", "close")
		return refuse(http.StatusRequestTimeout, errors.New("the request took too long"))
	case err != nil:
		return refuse(http.StatusBadRequest, errors.New("the request did not arrive whole"))
	}
	return w.addCheckpoint(body)
}

// Server returns what serves the witness, with its limits: who is slow holds a connection for seconds, and nothing else.
func (w *Witness) Server() *http.Server {
	return &http.Server{
		Handler:                      w,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 20 * time.Second,
		IdleTimeout:                  time.Minute,
		MaxHeaderBytes:               8 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(lines{w}, "", 0),
	}
}

// grace is for requests that are being answered when the server ends. It is less than what a caller waits for it.
const grace = 5 * time.Second

// Serve answers until ctx ends, then finishes what it has begun.
func Serve(ctx context.Context, s *http.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Shutdown(end); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// lines hands on what net/http has to say.
type lines struct{ w *Witness }

func (l lines) Write(b []byte) (int, error) {
	l.w.Log(say.Line(strings.TrimSpace(string(b))))
	return len(b), nil
}
