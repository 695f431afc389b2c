package pluginapi_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

func request(chains int) *pluginapi.Request {
	r := &pluginapi.Request{
		Version: pluginapi.Version, ID: "00112233445566778899aabbccddeeff", Repository: "sha256:ab", At: "2026-11-24T07:22:23Z",
		Action: "repo.commit", Principal: pluginapi.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}, Ref: "refs/heads/main",
		Changes: []pluginapi.Change{{Path: []byte("src/\xff.go"), Status: "A", NewMode: "100644", Size: 3}},
	}
	for range chains {
		r.Chains = append(r.Chains, pluginapi.Chain{{ID: "g", Action: "repo.*", Scope: []byte(`{"version":1}`), By: "ada", To: "coder"}})
	}
	return r
}

func TestRequestsThatBreakTheContract(t *testing.T) {
	if err := request(2).Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*pluginapi.Request){
		"version":         func(r *pluginapi.Request) { r.Version = 2 },
		"no id":           func(r *pluginapi.Request) { r.ID = "" },
		"capital id":      func(r *pluginapi.Request) { r.ID = strings.ToUpper(r.ID) },
		"no action":       func(r *pluginapi.Request) { r.Action = "" },
		"no principal":    func(r *pluginapi.Request) { r.Principal.Name = "" },
		"no kind":         func(r *pluginapi.Request) { r.Principal.Kind = "" },
		"no time":         func(r *pluginapi.Request) { r.At = "" },
		"local time":      func(r *pluginapi.Request) { r.At = "2026-11-24T07:22:23+01:00" },
		"empty path":      func(r *pluginapi.Request) { r.Changes[0].Path = nil },
		"path with a NUL": func(r *pluginapi.Request) { r.Changes[0].Path = []byte("a\x00b") },
		"status":          func(r *pluginapi.Request) { r.Changes[0].Status = "R" },
		"mode":            func(r *pluginapi.Request) { r.Changes[0].NewMode = "100648" },
		"size":            func(r *pluginapi.Request) { r.Changes[0].Size = -1 },
		"empty chain":     func(r *pluginapi.Request) { r.Chains[1] = nil },
		"long chain":      func(r *pluginapi.Request) { r.Chains[0] = make(pluginapi.Chain, pluginapi.MaxLinks+1) },
		"many chains": func(r *pluginapi.Request) {
			r.Chains = slices.Repeat([]pluginapi.Chain{{pluginapi.Grant{}}}, pluginapi.MaxChains+1)
		},
	} {
		r := request(2)
		spoil(r)
		if err := r.Validate(); !errors.Is(err, pluginapi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := pluginapi.EncodeBatch(nil, []*pluginapi.Request{r}); !errors.Is(err, pluginapi.ErrInvalid) {
			t.Errorf("%s is sent: %v", name, err)
		}
	}
}

func TestAnswersThatBreakTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(*pluginapi.Answer)
		failure pluginapi.Failure
	}{
		"version":       {func(a *pluginapi.Answer) { a.Version = 2 }, pluginapi.OtherVersion},
		"other request": {func(a *pluginapi.Answer) { a.ID = strings.Repeat("0", 32) }, pluginapi.OtherRequest},
		"no chain":      {func(a *pluginapi.Answer) { a.Chains = nil }, pluginapi.Garbage},
		"chain -1":      {func(a *pluginapi.Answer) { a.Chains = []int{-1} }, pluginapi.Garbage},
		"chain beyond":  {func(a *pluginapi.Answer) { a.Chains = []int{0, 2} }, pluginapi.Garbage},
		"chain twice":   {func(a *pluginapi.Answer) { a.Chains = []int{1, 1} }, pluginapi.Garbage},
		"long reason":   {func(a *pluginapi.Answer) { a.Reason = strings.Repeat("x", pluginapi.MaxReason+1) }, pluginapi.Garbage},
		"long refused":  {func(a *pluginapi.Answer) { a.Refused = strings.Repeat("x", pluginapi.MaxReason+1) }, pluginapi.Garbage},
	} {
		r := request(2)
		a := pluginapi.AllowAll(r)
		if err := a.Answers(r); err != nil {
			t.Fatal(err)
		}
		c.spoil(&a)
		err := a.Answers(r)
		if !errors.Is(err, pluginapi.ErrInvalid) || pluginapi.FailureOf(err) != c.failure {
			t.Errorf("%s: %v, which is %s", name, err, pluginapi.FailureOf(err))
		}
	}
	r := request(0)
	if a := pluginapi.AllowAll(r); a.Answers(r) != nil {
		t.Error("an operator needs no chain")
	}
	if a := pluginapi.Allow(r, 0); a.Answers(r) == nil {
		t.Error("there is no chain 0")
	}
	if err := pluginapi.Match([]*pluginapi.Request{r, r}, []pluginapi.Answer{pluginapi.AllowAll(r)}); !errors.Is(err, pluginapi.ErrInvalid) {
		t.Errorf("one answer to two requests: %v", err)
	}
}

func TestDenialsFit(t *testing.T) {
	r := request(1)
	for _, reason := range []string{"", "no", strings.Repeat("é", pluginapi.MaxReason), "\xff" + strings.Repeat("x", 2*pluginapi.MaxReason)} {
		a := pluginapi.Deny(r, reason)
		if err := a.Answers(r); err != nil || a.Allowed || !utf8.ValidString(a.Reason) {
			t.Errorf("%.10q…: %v", reason, err)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for _, s := range []string{"", "{", `{"version":1} {}`, `{"version":1}}`, `{"version":1}]`, `{"version":1}x`, `{"version":1,"more":2}`} {
		var r pluginapi.Reply
		if err := pluginapi.Decode([]byte(s), &r); !errors.Is(err, pluginapi.ErrInvalid) {
			t.Errorf("%s: %v", s, err)
		}
	}
	var r pluginapi.Reply
	if err := pluginapi.Decode([]byte(" {\"version\":1}\n"), &r); err != nil {
		t.Error(err)
	}
}

func TestTheVersionIsReadFirst(t *testing.T) {
	if _, err := pluginapi.DecodeBatch([]byte(`{"version":2,"asks":[]}`)); !errors.Is(err, pluginapi.ErrVersion) {
		t.Error(err)
	}
	if _, err := pluginapi.DecodeReply([]byte(`{"version":2,"yes":true}`), nil); !errors.Is(err, pluginapi.ErrVersion) {
		t.Error(err)
	}
}

func TestABatchCarriesItsConfigurationOnce(t *testing.T) {
	rs := []*pluginapi.Request{request(1), request(0)}
	rs[1].ID = strings.Repeat("1", 32)
	rs[0].Config = map[string]string{"not": "this"}
	b, err := pluginapi.EncodeBatch(map[string]string{"a.cedar": "forbid"}, rs)
	if err != nil || strings.Count(string(b), "forbid") != 1 || strings.Contains(string(b), "not") {
		t.Fatalf("%v: %s", err, b)
	}
	got, err := pluginapi.DecodeBatch(b)
	if err != nil || len(got) != 2 {
		t.Fatal(err)
	}
	for i := range got {
		want := *rs[i]
		want.Config = map[string]string{"a.cedar": "forbid"}
		if !reflect.DeepEqual(*got[i], want) {
			t.Errorf("%+v, not %+v", got[i], want)
		}
	}
}

// FuzzBatch: what is read as requests is written and read again as the same requests.
func FuzzBatch(f *testing.F) {
	b, err := pluginapi.EncodeBatch(map[string]string{"f": "x"}, []*pluginapi.Request{request(2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"requests":[null]}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		rs, err := pluginapi.DecodeBatch(msg)
		if err != nil || len(rs) == 0 {
			return
		}
		again, err := pluginapi.EncodeBatch(rs[0].Config, rs)
		if err != nil {
			t.Fatal(err)
		}
		once, err := pluginapi.DecodeBatch(again)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := pluginapi.EncodeBatch(once[0].Config, once)
		if err != nil || string(twice) != string(again) {
			t.Fatalf("%v\n%s\n%s", err, again, twice)
		}
	})
}

// FuzzReply: a reply that is taken allows nothing but chains that were asked about.
func FuzzReply(f *testing.F) {
	r := request(3)
	b, err := pluginapi.EncodeReply([]pluginapi.Answer{pluginapi.Allow(r, 2, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"answers":[{"version":1,"id":"00112233445566778899aabbccddeeff","allowed":true,"chains":[3]}]}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		as, err := pluginapi.DecodeReply(msg, []*pluginapi.Request{r})
		if err != nil {
			return
		}
		if len(as) != 1 || as[0].ID != r.ID || as[0].Allowed && len(as[0].Chains) == 0 {
			t.Fatalf("%+v", as)
		}
		for i, c := range as[0].Chains {
			if as[0].Allowed && (c < 0 || c > 2 || slices.Contains(as[0].Chains[:i], c)) {
				t.Fatalf("%+v", as)
			}
		}
	})
}
