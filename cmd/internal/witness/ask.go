package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope/tlog"
)

// Answers of a witness that are a no, and what the caller does about them.
var (
	// ErrBehind: the witness has seen more of the log than there is here. Somebody rolled the log back, or what is newer was not fetched.
	ErrBehind = errors.New("the witness has seen more of this log")
	// ErrSplit: the witness has seen this log otherwise. Of one log there are two, and its signer signed both.
	ErrSplit = errors.New("the witness has seen another log under this name")
	// ErrRefused: any other no, such as that it does not know the log.
	ErrRefused = errors.New("the witness refuses")
	// ErrAnswer: what answered is no witness, or a broken one.
	ErrAnswer = errors.New("this is no answer of a witness")
)

// An AskError says with which numbers a witness refused. It is ErrBehind, ErrSplit, ErrRefused or ErrAnswer.
type AskError struct {
	Kind   error
	Status int
	Own    uint64 // entries of the checkpoint that it was asked to cosign
	Seen   uint64 // entries of the one it cosigned last, as far as it told
	Reason string // in its own words
}

func (e *AskError) Error() string {
	s := e.Kind.Error()
	switch {
	case e.Is(ErrBehind):
		s += fmt.Sprintf(": %d entries, and the checkpoint has %d", e.Seen, e.Own)
	case e.Is(ErrSplit):
		s += fmt.Sprintf(": what it saw with %d entries is not how these %d begin", e.Seen, e.Own)
	default:
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Is reports whether target is its kind.
func (e *AskError) Is(target error) bool { return target == e.Kind }

// An Endpoint is where a witness is asked.
type Endpoint struct {
	text, url string
	client    *http.Client
}

// NewEndpoint reads where a witness is: https://HOST/PREFIX, http://HOST/PREFIX, or unix:PATH for a socket. proxy says through what a
// request goes, nil for none.
func NewEndpoint(text string, proxy func(*url.URL) (*url.URL, error)) (*Endpoint, error) {
	transport := &http.Transport{MaxResponseHeaderBytes: 16 << 10, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true}
	e := &Endpoint{text: text, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if file, ok := strings.CutPrefix(text, "unix:"); ok && file != "" {
		e.url = "http://witness" + path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", file)
		}
		return e, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("a witness is at https://HOST/PREFIX, http://HOST/PREFIX or unix:PATH")
	}
	if proxy != nil {
		transport.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawPath = ""
	e.url = u.String()
	return e, nil
}

// String returns what the endpoint was read from.
func (e *Endpoint) String() string { return e.text }

// Close ends its connections.
func (e *Endpoint) Close() { e.client.CloseIdleConnections() }

// maxTries bounds how often a witness may say that it has seen something else meanwhile.
const maxTries = 4

// Ask has the witness cosign a checkpoint, and returns the signature lines that it answered, which nobody has verified yet. old is
// the number of entries that it is thought to have seen; when that is wrong it says so, and is asked again. prove returns
// the proof that the checkpoint continues the log of so many entries. A no is an [*AskError]; any other error says that the
// witness could not be asked.
func (e *Endpoint) Ask(ctx context.Context, c *tlog.Checkpoint, old uint64, prove func(old uint64) ([]tlog.Hash, error)) ([]byte, error) {
	own := c.Tree().Size
	if old > own {
		old = 0 // it tells, and we need not be believed
	}
	for range maxTries {
		var proof []tlog.Hash
		if old > 0 {
			var err error
			if proof, err = prove(old); err != nil {
				return nil, fmt.Errorf("proof from %d to %d entries: %w", old, own, err)
			}
		}
		body, err := tlog.Request{Old: old, Proof: proof, Checkpoint: c.Bytes()}.Bytes()
		if err != nil {
			return nil, err
		}
		status, typ, text, err := e.post(ctx, body)
		if err != nil {
			return nil, err
		}
		no := &AskError{Kind: ErrRefused, Status: status, Own: own, Seen: old}
		switch status {
		case tlog.StatusCosign:
			return text, nil
		case tlog.StatusConflict:
			seen, ok := parseSize(typ, text)
			no.Seen = seen
			switch {
			case !ok || seen == old && old != own:
				no.Kind = ErrAnswer
			case seen == old:
				no.Kind = ErrSplit
			case seen > own:
				no.Kind = ErrBehind
			default:
				old = seen
				continue
			}
			return nil, no
		case tlog.StatusUnprocessable:
			no.Kind = ErrSplit
		case tlog.StatusBadRequest, tlog.StatusForbidden, tlog.StatusNotFound:
		default:
			no.Kind = ErrAnswer
		}
		no.Reason = reason(text)
		return nil, no
	}
	return nil, &AskError{Kind: ErrAnswer, Status: tlog.StatusConflict, Own: own, Seen: old, Reason: "it goes on telling other sizes"}
}

// parseSize reads the body of a conflict.
func parseSize(typ string, text []byte) (uint64, bool) {
	s, ok := strings.CutSuffix(string(text), "\n")
	n, err := strconv.ParseUint(s, 10, 64)
	return n, ok && typ == tlog.SizeType && err == nil && n <= tlog.MaxSize && strconv.FormatUint(n, 10) == s
}

// reason is the first line of what a witness says for people.
func reason(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(line[:min(len(line), 300)])
}

func (e *Endpoint) post(ctx context.Context, body []byte) (status int, typ string, text []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	r.Header.Set("User-Agent", "covenant-witness")
	answer, err := e.client.Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(answer.Body, tlog.MaxCheckpoint+1))
	if err == nil && len(text) > tlog.MaxCheckpoint {
		err = &AskError{Kind: ErrAnswer, Status: answer.StatusCode, Reason: "too long"}
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), text, err
}
