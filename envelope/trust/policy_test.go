package trust_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

func TestParsePolicy(t *testing.T) {
	p, err := trust.ParsePolicy([]byte(`{
  "version": 1,
  "protected": ["refs/heads/release/**", "refs/heads/main"],
  "modes": ["witness", "vouch"],
  "operators": [],
  "reviews": 0,
  "presence": "",
  "rules": [{"paths": ["b/**", "a/**"], "kinds": ["human"]}]
}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := canonical.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"operators":[],"protected":["refs/heads/main","refs/heads/release/**"],"rules":[{"kinds":["human"],"paths":["a/**","b/**"]}],"version":1}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	for _, text := range []string{`{"version":1}`, `{"version":1,"coverage":["own","blob"],"modes":["vouch","witness"],"protected":[]}`, ` {"version":1,"evidence":null} `} {
		if p, err := trust.ParsePolicy([]byte(text)); err != nil || p != nil {
			t.Errorf("%s is not the default: %+v, %v", text, p, err)
		}
	}
	for text, says := range map[string]string{
		``:                                                             "line 1",
		"{\n\"version\": 1,\n}":                                        "line 3",
		`{"version":1,"version":1}`:                                    "name occurs twice",
		`{"version":1,"protect":["x"]}`:                                `unknown field "protect"`,
		`{"version":1,"Protected":["x"]}`:                              `unknown field "Protected"`,
		`{"version":1,"rules":[{"x":1}]}`:                              `unknown field "x"`,
		`{}`:                                                           "version 0",
		`{"version":2}`:                                                "version 2",
		`[]`:                                                           "the document: array stands where an object belongs",
		`{"version":1,"reviews":1.5}`:                                  "plain integer",
		`{"version":1,"reviews":"two"}`:                                `"reviews": string stands where a number belongs`,
		`{"version":1,"reviews":-1}`:                                   "reviews: -1",
		`{"version":1,"reviews":17}`:                                   "reviews: 17",
		`{"version":1,"modes":[]}`:                                     "modes: the list is empty",
		`{"version":1,"modes":["x"]}`:                                  `modes: "x" is none of witness, vouch`,
		`{"version":1,"coverage":["blob"]}`:                            `coverage: "own" must be`,
		`{"version":1,"exempt":["agent"]}`:                             "exempt",
		`{"version":1,"presence":"maybe"}`:                             "presence",
		`{"version":1,"protected":["/x"]}`:                             "protected",
		`{"version":1,"protected":["refs/a","refs/a"]}`:                "twice",
		`{"version":1,"operators":["*"]}`:                              "operators",
		`{"version":1,"operators":["repo.*.x"]}`:                       "operators",
		`{"version":1,"maxCheckpointAge":"1 day"}`:                     "maxCheckpointAge",
		`{"version":1,"maxCheckpointAge":"-1h"}`:                       "maxCheckpointAge",
		`{"version":1,"evidence":["a b"]}`:                             "evidence",
		`{"version":1,"rules":[{"paths":["a"]}]}`:                      "rules[0] demands nothing",
		`{"version":1,"rules":[{"kinds":["human"]}]}`:                  "rules[0].paths",
		`{"version":1,"rules":[{"paths":["a"],"kinds":["robot"]}]}`:    "rules[0].kinds",
		`{"version":1,"plugins":[{"name":"A"}]}`:                       "plugins[0].name",
		`{"version":1,"plugins":[{"name":"../x"}]}`:                    "plugins[0].name",
		`{"version":1,"plugins":[{"name":"a"},{"name":"a"}]}`:          "out of order",
		`{"version":1,"plugins":[{"name":"a","pins":{"linux":"x"}}]}`:  "pin",
		`{"version":1,"plugins":[{"name":"a","config":{"../b":"x"}}]}`: "no file name",
		`{"version":1,"plugins":[{"name":"a","config":{".hid":"x"}}]}`: "no file name",
	} {
		_, err := trust.ParsePolicy([]byte(text))
		if !errors.Is(err, trust.ErrPolicy) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestPolicyAnswers(t *testing.T) {
	var none *trust.Policy
	if none.Protects("refs/heads/main") || !none.OperatorMay("repo.push") || none.RulesFor("a") != nil || !none.Accepts(trust.Vouch) || none.Accepts("x") ||
		!none.CoveredBy(trust.Blob) || none.CoveredBy(trust.Patch) || none.Exempts(trust.Human) || none.AsksPresence() != "" {
		t.Error("no policy is not the default")
	}
	if _, ok := none.CheckpointAge(); ok {
		t.Error("no policy needs a checkpoint")
	}
	p := &trust.Policy{
		Version: 1, Protected: []string{"refs/heads/main", "refs/heads/release/**"}, Operators: []string{"repo.commit", "trust.*"}, Modes: []string{trust.Witness},
		Coverage: []string{trust.Own}, Exempt: []string{"human"}, Presence: trust.SK, MaxCheckpointAge: "36h",
		Rules: []trust.Rule{{Paths: []string{"a/**"}, Reviews: 1}, {Paths: []string{"**/*.go"}, Reviews: 2}},
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]bool{"refs/heads/main": true, "refs/heads/release/1/x": true, "refs/heads/mainx": false, "main": false} {
		if p.Protects(ref) != want {
			t.Errorf("%s is protected: %v", ref, !want)
		}
	}
	for action, want := range map[string]bool{"repo.commit": true, "repo.commits": false, "trust.sign": true, "trust": false, "trusted.x": false} {
		if p.OperatorMay(action) != want {
			t.Errorf("operators may %s: %v", action, !want)
		}
	}
	if r := p.RulesFor("a/x.go"); len(r) != 2 || r[1].Reviews != 2 {
		t.Errorf("%+v", r)
	}
	if r := p.RulesFor("b"); len(r) != 0 {
		t.Errorf("%+v", r)
	}
	if p.Accepts(trust.Vouch) || p.CoveredBy(trust.Blob) || !p.Exempts(trust.Human) || p.Exempts(trust.Agent) || p.AsksPresence() != trust.SK {
		t.Error("the policy is not read")
	}
	if d, ok := p.CheckpointAge(); !ok || d != 36*time.Hour {
		t.Errorf("%v, %v", d, ok)
	}
	if p.Operators = []string{}; p.OperatorMay("repo.commit") {
		t.Error("an empty list lets operators do something")
	}
}

// TestDocument: what is written for people reads back to the same policy.
func TestDocument(t *testing.T) {
	for _, text := range []string{
		`{"version":1}`, `{"version":1,"operators":[],"modes":["witness"],"protected":["refs/heads/<main>"],"reviews":2}`,
		`{"version":1,"plugins":[{"name":"a","config":{"x":"1"},"pins":{"linux/amd64":"sha256:` + strings.Repeat("a", 64) + `"}}],"presence":"sk","maxCheckpointAge":"1h","rules":[{"paths":["a"],"reviews":1}]}`,
	} {
		p, err := trust.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := p.Document()
		if err != nil {
			t.Fatal(err)
		}
		again, err := trust.ParsePolicy(doc)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		a, aerr := canonical.Marshal(p)
		b, berr := canonical.Marshal(again)
		if aerr != nil || berr != nil || string(a) != string(b) {
			t.Errorf("%s became %s by way of\n%s", a, b, doc)
		}
	}
}

func TestTools(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"version":1,"tools":{"granted":["tool.call.*"]}}`: true, `{"version":1,"tools":{"granted":["tool.call.bash","tool.call.mcp__x__y"],"hidden":"refuse","unrecorded":"refuse"}}`: true,
		`{"version":1,"tools":{"network":"granted","secrets":["**/.env","~/.aws/**"]}}`: true, `{"version":1,"tools":{"network":"refuse"}}`: false, `{"version":1,"tools":{"secrets":["/etc/x"]}}`: false, `{"version":1,"tools":{"secrets":["b","a"]}}`: false, `{"version":1,"tools":{"secrets":[]}}`: false,
		`{"version":1,"tools":{}}`: false, `{"version":1,"tools":{"granted":[]}}`: false, `{"version":1,"tools":{"granted":["bash"]}}`: false, `{"version":1,"tools":{"granted":["repo.commit"]}}`: false,
		`{"version":1,"tools":{"granted":["tool.call.b","tool.call.b"]}}`: false, `{"version":1,"tools":{"hidden":"pass"}}`: false, `{"version":1,"tools":{"unrecorded":""}}`: false, `{"version":1,"tools":{"more":1}}`: false,
	} {
		if p, err := trust.ParsePolicy([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: %v, %+v", text, err, p)
		}
	}
	p, err := trust.ParsePolicy([]byte(`{"version":1,"tools":{"granted":["tool.call.bash","tool.call.mcp.*"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for action, governed := range map[string]bool{"tool.call.bash": true, "tool.call.bash2": false, "tool.call.read": false, "tool.call.mcp.x": true} {
		if p.AgentTools().Govern(action) != governed {
			t.Errorf("%s: %v", action, !governed)
		}
	}
	if none := (*trust.Policy)(nil).AgentTools(); none.Govern("tool.call.bash") || none.RefuseHidden() || none.RefuseUnrecorded() {
		t.Error("no policy demands something")
	}
}
