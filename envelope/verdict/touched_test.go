package verdict_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

func TestTouchedComesBack(t *testing.T) {
	in := verdict.Touched{
		{Path: []byte("a b/\xff\n\"c"), Status: "A", NewMode: "100644", Size: 1 << 40},
		{Path: []byte(" "), Status: "D", OldMode: "120000"},
		{Path: []byte("x"), Status: "M", OldMode: "100644", NewMode: "100755"},
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out verdict.Touched
	if err := json.Unmarshal(text, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%s came back as %+v: %v", text, out, err)
	}
}

// Whatever is read as changes means the same when it is written and read again.
func FuzzTouched(f *testing.F) {
	for _, t := range []verdict.Touched{nil, {{Path: []byte("p"), Status: "M", OldMode: "100644", NewMode: "100644"}}, {{Path: []byte("p q"), Status: "D", OldMode: "160000", Size: 7}, pluginapi.Change{}}} {
		text, err := t.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("TSAxMDA2NDQ="))
	f.Fuzz(func(t *testing.T, text []byte) {
		var x verdict.Touched
		if x.UnmarshalText(text) != nil {
			return
		}
		again, err := x.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var y verdict.Touched
		if err := y.UnmarshalText(again); err != nil || !reflect.DeepEqual(x, y) {
			t.Fatalf("%q was read as %+v, written as %q, and read as %+v: %v", text, x, again, y, err)
		}
	})
}
