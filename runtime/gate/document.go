package gate

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Version of the documents.
const Version = 1

// Builtin is the checker that is always asked, and first.
const Builtin = capability.Name

// MaxPlugins bounds how many plugins a document names.
const MaxPlugins = 16

// MaxDocument bounds a document, in bytes.
const MaxDocument = pluginapi.MaxMessage

// Document is what covenant-gate decide reads.
type Document struct {
	Version  int                  `json:"version"`
	Timeout  int64                `json:"timeout,omitempty"` // for all checkers together, in milliseconds
	Requests []*pluginapi.Request `json:"requests"`
	Plugins  []Plugin             `json:"plugins,omitempty"`
}

// rawDocument is a document with requests that are written already.
type rawDocument struct {
	Version  int               `json:"version"`
	Timeout  int64             `json:"timeout,omitempty"`
	Requests []json.RawMessage `json:"requests"`
	Plugins  []Plugin          `json:"plugins,omitempty"`
}

// Result is what covenant-gate decide writes: for each request, what each checker said.
type Result struct {
	Version int      `json:"version"`
	Answers [][]Said `json:"answers"`
}

// Said is what one checker said of one request: an answer, or why there is none.
type Said struct {
	Checker string            `json:"checker"`
	Answer  *pluginapi.Answer `json:"answer,omitempty"`
	Failure pluginapi.Failure `json:"failure,omitempty"`
	Error   string            `json:"error,omitempty"`
}

// ValidName reports whether a plugin may be called so: a letter, then letters, digits and hyphens, at most 64 in all.
func ValidName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && len(s) <= 64 && strings.Contains(letters, s[:1]) && strings.Trim(s, letters+"0123456789-") == ""
}

// DecodeDocument reads a document strictly. Its requests are valid.
func DecodeDocument(b []byte) (*Document, error) {
	d := new(Document)
	if err := pluginapi.Decode(b, d); err != nil {
		return nil, err
	}
	if d.Version != Version {
		return nil, fmt.Errorf("%w: %d, not %d", pluginapi.ErrVersion, d.Version, Version)
	}
	if len(d.Plugins) > MaxPlugins {
		return nil, fmt.Errorf("%w: %d plugins", pluginapi.ErrInvalid, len(d.Plugins))
	}
	for _, p := range d.Plugins {
		if !ValidName(p.Name) {
			return nil, fmt.Errorf("%w: %.80q is no name of a plugin", pluginapi.ErrInvalid, p.Name)
		}
	}
	for i, r := range d.Requests {
		if r == nil {
			return nil, fmt.Errorf("%w: request %d is null", pluginapi.ErrInvalid, i)
		}
		if r.Config != nil {
			return nil, fmt.Errorf("%w: request %d brings a configuration", pluginapi.ErrInvalid, i)
		}
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	return d, nil
}

// DecodeResult reads a result strictly.
func DecodeResult(b []byte) (*Result, error) {
	r := new(Result)
	if err := pluginapi.Decode(b, r); err != nil {
		return nil, err
	}
	if r.Version != Version {
		return nil, fmt.Errorf("%w: %d, not %d", pluginapi.ErrVersion, r.Version, Version)
	}
	return r, nil
}
