package pluginapi

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestFoundIsHeldToTheTexts(t *testing.T) {
	texts := []string{"a secret: hunter2", "nénénéné", strings.Repeat("x", 5000)}
	for name, c := range map[string]struct {
		msg  string
		want error
	}{
		"as it should be":     {`{"version":1,"found":[[{"start":10,"end":17,"rule":"password"}],[{"start":1,"end":12,"rule":"x.y_z-1"}],[{"start":0,"end":4096,"rule":"x"},{"start":4096,"end":5000,"rule":"x"}]]}`, nil},
		"nothing":             {`{"version":1,"found":[null,[],[]]}`, nil},
		"of another text":     {`{"version":1,"found":[[],[{"start":0,"end":17,"rule":"x"}],[]]}`, ErrInvalid},
		"half a character":    {`{"version":1,"found":[[],[{"start":2,"end":9,"rule":"x"}],[]]}`, ErrInvalid},
		"of nothing":          {`{"version":1,"found":[[{"start":3,"end":3,"rule":"x"}],[],[]]}`, ErrInvalid},
		"backwards":           {`{"version":1,"found":[[{"start":9,"end":3,"rule":"x"}],[],[]]}`, ErrInvalid},
		"before the text":     {`{"version":1,"found":[[{"start":-1,"end":7,"rule":"x"}],[],[]]}`, ErrInvalid},
		"shorter than may be": {`{"version":1,"found":[[{"start":1,"end":6,"rule":"x"}],[],[]]}`, ErrInvalid},
		"longer than may be":  {`{"version":1,"found":[[],[],[{"start":0,"end":4097,"rule":"x"}]]}`, ErrInvalid},
		"without a rule":      {`{"version":1,"found":[[{"start":1,"end":9,"rule":""}],[],[]]}`, ErrInvalid},
		"a rule of two lines": {`{"version":1,"found":[[{"start":1,"end":9,"rule":"a\nb"}],[],[]]}`, ErrInvalid},
		"for one text":        {`{"version":1,"found":[[]]}`, ErrInvalid},
		"a field more":        {`{"version":1,"found":[[],[],[]],"ok":true}`, ErrInvalid},
		"of a newer version":  {`{"version":2,"found":[[],[],[]]}`, ErrVersion},
		"no JSON":             {`found`, ErrInvalid},
	} {
		if _, err := DecodeFound([]byte(c.msg), texts); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := EncodeTexts([]string{"a\xff"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a text that is not UTF-8: %v", err)
	}
}

// What is read as a question is the question, and what is read as an answer lies in the texts.
func FuzzFound(f *testing.F) {
	f.Add("a secret: hunter2", `{"version":1,"found":[[{"start":10,"end":17,"rule":"password"}]]}`)
	f.Fuzz(func(t *testing.T, text, msg string) {
		if b, err := EncodeTexts([]string{text}); err == nil {
			if got, err := DecodeTexts(b); err != nil || !reflect.DeepEqual(got, []string{text}) {
				t.Fatalf("%q became %q, %v", text, got, err)
			}
		}
		found, err := DecodeFound([]byte(msg), []string{text})
		if err != nil {
			return
		}
		for _, s := range found[0] {
			if secret := text[s.Start:s.End]; secret == "" || !strings.Contains(text, secret) {
				t.Fatalf("%+v of %q", s, text)
			}
		}
	})
}
