package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

func request(paths ...string) *pluginapi.Request {
	r := &pluginapi.Request{
		Version: pluginapi.Version, ID: "00112233445566778899aabbccddeeff", At: "2026-11-24T07:22:23Z",
		Action: "repo.commit", Principal: pluginapi.Principal{Name: "coder", Kind: "agent", Accountable: "ada"}, Ref: "refs/heads/main",
		Chains: []pluginapi.Chain{{{ID: "g"}}, {{ID: "h"}}},
	}
	for _, p := range paths {
		r.Changes = append(r.Changes, pluginapi.Change{Path: []byte(p), Status: "A", NewMode: "100644", Size: 10})
	}
	return r
}

func one(t *testing.T, policies string, r *pluginapi.Request) pluginapi.Answer {
	t.Helper()
	r.Config = map[string]string{"a.cedar": policies}
	as, err := checker{}.Check(t.Context(), []*pluginapi.Request{r})
	if err != nil {
		t.Fatal(err)
	}
	if err := pluginapi.Match([]*pluginapi.Request{r}, as); err != nil {
		t.Fatal(err)
	}
	return as[0]
}

func TestPolicies(t *testing.T) {
	const all = "permit(principal, action, resource);\n"
	other := request()
	other.Ref, other.Action = "", "memory.write"
	other.Resource = map[string]any{"tiers": []any{"working"}, "apply": true, "n": float64(3), "box": map[string]any{"s": "x"}}
	half := request()
	half.Ref, half.Resource = "", map[string]any{"n": 1.5}
	null := request()
	null.Ref, null.Resource = "", map[string]any{"n": nil}
	nothing := request()
	nothing.Ref = ""
	for name, c := range map[string]struct {
		policies string
		r        *pluginapi.Request
		why      string // "" when it is allowed
	}{
		"no policy":             {"", request("a"), `no policy permits repo.commit of "a"`},
		"all":                   {all, request("a", "b/c"), ""},
		"this principal":        {`permit(principal == Covenant::Principal::"coder", action == Covenant::Action::"repo.commit", resource);`, request("a"), ""},
		"another principal":     {`permit(principal == Covenant::Principal::"eve", action, resource);`, request("a"), "no policy permits"},
		"another action":        {`permit(principal, action == Covenant::Action::"repo.vouch", resource);`, request("a"), "no policy permits"},
		"attributes":            {`permit(principal, action, resource) when { principal.kind == "agent" && principal.accountable == "ada" && !principal.operator };`, request("a"), ""},
		"every path":            {`permit(principal, action, resource in Covenant::Directory::"src");`, request("src/a", "src/x/b"), ""},
		"all paths but one":     {`permit(principal, action, resource in Covenant::Directory::"src");`, request("src/a", "srcs/b"), `of "srcs/b"`},
		"pattern":               {`permit(principal, action, resource) when { resource.name like "*.go" };`, request("src/a.go"), ""},
		"this path":             {`permit(principal, action, resource == Covenant::Path::"src/a.go");`, request("src/a.go"), ""},
		"odd path":              {`permit(principal, action, resource in Covenant::Directory::"src") when { resource.encoded };`, request("src/\xff"), ""},
		"odd path, as it looks": {`permit(principal, action, resource) when { resource.name like "src/*" };`, request("src/\xff"), "no policy permits"},
		"forbid by directory":   {all + `@id("no-secrets") forbid(principal, action, resource in Covenant::Directory::"secret");`, request("a", "secret/\xff"), `policy no-secrets (a.cedar:2) forbids repo.commit of "secret/\xff"`},
		"context":               {`permit(principal, action, resource) when { context.files == 2 && context.bytes == 20 && context.modes.contains("100644") && context.ref like "refs/heads/*" && context.at < datetime("2027-01-01") };`, request("a", "b"), ""},
		"too many":              {all + `forbid(principal, action, resource) when { context.files > 1 };`, request("a", "b"), "policy a.cedar:2 forbids"},
		"a policy that errs":    {all + `forbid(principal, action, resource) when { context.nonesuch > 1 };`, request("a"), "policy a.cedar:2 cannot be applied"},
		"a ref":                 {`permit(principal, action, resource == Covenant::Ref::"refs/heads/main");`, request(), ""},
		"refs by name":          {`permit(principal, action, resource is Covenant::Ref) when { resource.name like "refs/tags/*" };`, request(), "of refs/heads/main"},
		"resource":              {`permit(principal, action == Covenant::Action::"memory.write", resource) when { resource.apply && resource.tiers.contains("working") && resource.n == 3 && resource.box.s == "x" };`, other, ""},
		"no fractions":          {all, half, "Cedar has no number 1.5"},
		"no null":               {all, null, "Cedar has no <nil>"},
		"no resource":           {all, nothing, ""},
	} {
		a := one(t, c.policies, c.r)
		switch {
		case c.why == "" && (!a.Allowed || len(a.Chains) != 2):
			t.Errorf("%s: %s", name, a.Reason)
		case c.why != "" && (a.Allowed || !strings.Contains(a.Reason, c.why)):
			t.Errorf("%s: %v, %s", name, a.Allowed, a.Reason)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	for want, config := range map[string]map[string]string{
		"b.cedar:2:17":            {"a.cedar": "permit(principal, action, resource);", "b.cedar": "\npermit principal"},
		`"policy.ceder"`:          {"policy.ceder": "forbid(principal, action, resource);"},
		"a.cedar:1:38: a second ": {"a.cedar": "permit(principal, action, resource);\tpermit(principal, action, resource);"},
	} {
		r := request("a")
		r.Config = config
		as, err := checker{}.Check(t.Context(), []*pluginapi.Request{r})
		if err == nil || !strings.Contains(err.Error(), want) || as != nil {
			t.Errorf("%s: %v, %v", want, as, err)
		}
	}
}

// TestGuide: the example of the guide is what it says.
func TestGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/guide/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```cedar\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatal("the guide shows no policies")
	}
	policies := string(m[1])
	if a := one(t, policies, request("src/a.go")); !a.Allowed {
		t.Error(a.Reason)
	}
	for path, why := range map[string]string{
		"README.md": "no policy permits", ".github/workflows/x.yml": "keep-ci", "src/\xff": "plain-names",
	} {
		if a := one(t, policies, request(path)); a.Allowed || !strings.Contains(a.Reason, why) {
			t.Errorf("%q: %s", path, a.Reason)
		}
	}
	op := request("README.md")
	op.Principal = pluginapi.Principal{Name: "ada", Kind: "human", Accountable: "ada", Operator: true}
	if a := one(t, policies, op); !a.Allowed {
		t.Error(a.Reason)
	}
}

// FuzzPolicies: no policy and no path makes the checker panic, and what has no permit is denied.
func FuzzPolicies(f *testing.F) {
	f.Add("permit(principal, action, resource);", "a/b")
	f.Add(`@id("x") forbid(principal, action, resource in Covenant::Directory::"a") when { context.files > 3 };`, "a/\xff")
	f.Fuzz(func(t *testing.T, policies, path string) {
		r := request(path)
		if r.Validate() != nil {
			return
		}
		r.Config = map[string]string{"a.cedar": policies}
		as, err := checker{}.Check(t.Context(), []*pluginapi.Request{r})
		if err != nil {
			return
		}
		if err := pluginapi.Match([]*pluginapi.Request{r}, as); err != nil {
			t.Fatal(err)
		}
		if as[0].Allowed && !strings.Contains(policies, "permit") {
			t.Fatalf("allowed by %q", policies)
		}
	})
}
