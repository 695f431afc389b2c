package report

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	homepage    = "https://github.com/open-covenant/covenant-git"

	// maxResults is what GitHub takes of one run; it refuses a file with more.
	maxResults = 25_000
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool              sarifTool         `json:"tool"`
	AutomationDetails sarifID           `json:"automationDetails"`
	Invocations       []sarifInvocation `json:"invocations"`
	Versions          []sarifVersion    `json:"versionControlProvenance,omitempty"`
	Results           []sarifResult     `json:"results"`
	Properties        map[string]string `json:"properties"`
}

type sarifID struct {
	ID string `json:"id"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	ShortDescription sarifText `json:"shortDescription"`
	HelpURI          string    `json:"helpUri"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool          `json:"executionSuccessful"`
	Notifications []sarifNotice `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotice struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifVersion struct {
	RepositoryURI string `json:"repositoryUri"`
	RevisionID    string `json:"revisionId"`
	Branch        string `json:"branch,omitempty"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Level        string            `json:"level"`
	Message      sarifText         `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI       string `json:"uri"`
	URIBaseID string `json:"uriBaseId"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
	EndLine   int `json:"endLine,omitempty"`
}

type sarifLogical struct {
	Name string `json:"name"`
	Full string `json:"fullyQualifiedName"`
	Kind string `json:"kind"`
}

// sarif collects at most maxResults results, since the rules they name go before them.
type sarif struct {
	w       io.Writer
	run     Run
	out     sarifRun
	index   map[verdict.Code]int
	seen    counter
	dropped int
}

func newSARIF(w io.Writer, run Run) Encoder {
	s := &sarif{w: w, run: run, index: map[verdict.Code]int{}, seen: counter{}}
	if s.run.Limit <= 0 {
		s.run.Limit = maxResults
	}
	s.out = sarifRun{
		Tool:              sarifTool{sarifDriver{Name: "covenant", Version: run.Version, InformationURI: homepage, Rules: []sarifRule{}}},
		AutomationDetails: sarifID{"covenant/verify/"},
		Invocations:       []sarifInvocation{{Successful: true}},
		Results:           []sarifResult{},
		Properties:        map[string]string{"covenantRoot": run.Root, "covenantPinned": run.Pinned},
	}
	if run.Repository != "" {
		for _, t := range run.Tips {
			s.out.Versions = append(s.out.Versions, sarifVersion{run.Repository, t.Commit, strings.TrimPrefix(say.Line(run.Ref), "refs/heads/")})
		}
	}
	return s
}

// pathURI is a path as a relative reference (RFC 3986): a byte that is no character of a
// path segment is percent-encoded, and ":" too, so bytes that are not UTF-8 survive, and
// no path reads as a scheme, a host or a query.
func pathURI(path string) string {
	rest := strings.TrimLeft(path, "/") // a tree with an empty name has such a path
	root := strings.Repeat("%2F", len(path)-len(rest))
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		switch parts[i] = strings.ReplaceAll(url.PathEscape(p), ":", "%3A"); p {
		case ".", "..": // a reader must not resolve them
			parts[i] = strings.ReplaceAll(p, ".", "%2E")
		}
	}
	return root + strings.Join(parts, "/")
}

// message is a plain text message. SARIF has links in these, [text](target), which
// somebody else's text must not make.
func message(s string) sarifText { return sarifText{strings.ReplaceAll(s, "](", "] (")} }

func (s *sarif) rule(c verdict.Code) int {
	i, ok := s.index[c]
	if !ok {
		i = len(s.out.Tool.Driver.Rules)
		s.index[c] = i
		r := ruleOf(c)
		s.out.Tool.Driver.Rules = append(s.out.Tool.Driver.Rules, sarifRule{string(c), sarifText{r.meaning}, r.help()})
	}
	return i
}

func (s *sarif) add(level, lead, path string, at sarifLogical, f verdict.Finding) {
	lines := firstLines(f)
	if len(s.out.Results) >= s.run.Limit {
		s.dropped++
		return
	}
	s.out.Results = append(s.out.Results, sarifResult{
		RuleID: string(f.Code), RuleIndex: s.rule(f.Code), Level: level, Message: message(lead + text(f)),
		Locations: []sarifLocation{{
			// GitHub refuses a file with a result that has a logical location only.
			Physical: sarifPhysical{sarifArtifact{pathURI(path), "%SRCROOT%"}, sarifRegion{lines.Start, lines.End}},
			Logical:  []sarifLogical{at},
		}},
		Fingerprints: map[string]string{"covenantFinding/v1": s.seen.fingerprint(at.Full, f)},
	})
}

func (s *sarif) Commit(c Commit) error {
	level := "error"
	if c.Verdict.OK() {
		level = "warning"
	}
	lead := "commit " + short(c) + ": "
	at := sarifLogical{short(c), c.Result.Commit.String(), "commit"}
	for _, f := range c.Findings {
		s.add(level, lead, place(c, f), at, f)
	}
	for _, f := range c.Warnings {
		s.add("warning", lead, place(c, f), at, f)
	}
	return nil
}

func (s *sarif) Problem(f verdict.Finding, refused bool) error {
	if refused {
		name := say.Line(f.Object)
		s.add("error", name+": ", f.Object, sarifLogical{name, name, "ref"}, f)
		return nil
	}
	s.notice("warning", string(f.Code)+": "+text(about(f)))
	return nil
}

func (s *sarif) Ref(r Ref) error {
	name := say.Line(r.RefState.Ref)
	at := sarifLogical{strings.TrimPrefix(name, "refs/heads/"), name, "ref"}
	for _, f := range r.Findings {
		s.add("error", name+": ", r.RefState.Ref, at, f)
	}
	for _, f := range r.Warnings {
		s.add("warning", name+": ", r.RefState.Ref, at, f)
	}
	return nil
}

func (s *sarif) notice(level, text string) {
	const most = 1000
	inv := &s.out.Invocations[0]
	if len(inv.Notifications) < most {
		inv.Notifications = append(inv.Notifications, sarifNotice{level, message(text)})
	}
}

func (s *sarif) End(sum Summary) error {
	const root = "refs/covenant/trust/root"
	for _, f := range sum.Findings {
		s.add("error", "", root, sarifLogical{"root", root, "ref"}, f)
	}
	inv := &s.out.Invocations[0]
	if sum.Undecided != "" {
		inv.Successful = false
		s.notice("error", sum.Undecided)
	}
	if s.dropped > 0 {
		inv.Notifications = append([]sarifNotice{{"warning", sarifText{
			fmt.Sprintf("%d more findings are not listed, since GitHub takes at most %d; all of them: covenant verify --json", s.dropped, s.run.Limit),
		}}}, inv.Notifications...)
	}
	s.out.Properties["covenantAnswer"] = sum.answer()
	enc := json.NewEncoder(s.w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return enc.Encode(sarifLog{sarifSchema, "2.1.0", []sarifRun{s.out}})
}
