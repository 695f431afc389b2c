package verdict

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Touched are the changes of a commit. Written down they are one text, the base64 of a line for each that ends in a NUL:
//
//	<status> <old mode> <new mode> <size> <path>
//
// Most of a remembered exam is its changes, and as objects of JSON they took most of the time of reading it.
type Touched []pluginapi.Change

var errTouched = errors.New("no list of changes")

// MarshalText implements [encoding.TextMarshaler].
func (t Touched) MarshalText() ([]byte, error) {
	n := 0
	for i := range t {
		n += len(t[i].Path) + len(t[i].Status) + len(t[i].OldMode) + len(t[i].NewMode) + 24
	}
	b := make([]byte, 0, n)
	for i := range t {
		c := &t[i]
		b = append(append(b, c.Status...), ' ')
		b = append(append(b, c.OldMode...), ' ')
		b = append(append(b, c.NewMode...), ' ')
		b = append(strconv.AppendInt(b, c.Size, 10), ' ')
		b = append(append(b, c.Path...), 0)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Touched) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return err
	}
	out := make(Touched, 0, bytes.Count(b, []byte{0}))
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte{0})
		status, line, _ := bytes.Cut(line, []byte(" "))
		was, line, _ := bytes.Cut(line, []byte(" "))
		is, line, _ := bytes.Cut(line, []byte(" "))
		size, path, all := bytes.Cut(line, []byte(" "))
		n, err := strconv.ParseInt(string(size), 10, 64)
		if !ended || !all || err != nil {
			return errTouched
		}
		out = append(out, pluginapi.Change{Path: path, Status: string(status), OldMode: string(was), NewMode: string(is), Size: n})
		b = rest
	}
	*t = out
	return nil
}
