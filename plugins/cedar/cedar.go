package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// The types of entities that policies speak of.
const (
	principalType = cedar.EntityType("Covenant::Principal")
	actionType    = cedar.EntityType("Covenant::Action")
	refType       = cedar.EntityType("Covenant::Ref")
	pathType      = cedar.EntityType("Covenant::Path")
	directoryType = cedar.EntityType("Covenant::Directory")
	resourceType  = cedar.EntityType("Covenant::Resource")
)

// checker answers from the policies of each request's configuration.
type checker struct{}

func (checker) Check(ctx context.Context, requests []*pluginapi.Request) ([]pluginapi.Answer, error) {
	var policies *cedar.PolicySet
	var config map[string]string
	answers := make([]pluginapi.Answer, 0, len(requests))
	for _, r := range requests {
		if policies == nil || !maps.Equal(config, r.Config) {
			var err error
			if policies, err = parse(r.Config); err != nil {
				return nil, err
			}
			config = r.Config
		}
		why, err := refusal(ctx, policies, r)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			why = err.Error()
		case why == "":
			answers = append(answers, pluginapi.AllowAll(r))
			continue
		}
		answers = append(answers, pluginapi.Deny(r, why))
	}
	return answers, nil
}

// parse reads all policies, in the order of the files' names. A policy is called by its
// annotation @id, else by its file and line.
func parse(config map[string]string) (*cedar.PolicySet, error) {
	set := cedar.NewPolicySet()
	for _, file := range slices.Sorted(maps.Keys(config)) {
		if !strings.HasSuffix(file, ".cedar") {
			return nil, fmt.Errorf("%.100q is no file of policies: its name does not end in .cedar", file)
		}
		list, err := cedar.NewPolicyListFromBytes(file, []byte(config[file]))
		if err != nil {
			return nil, errors.New(strings.ReplaceAll(err.Error(), "<input>", file))
		}
		for _, p := range list {
			at := p.Position()
			id := fmt.Sprintf("%s:%d", file, at.Line)
			if name := string(p.Annotations()["id"]); name != "" {
				id = name + " (" + id + ")"
			}
			for !set.Add(cedar.PolicyID(id), p) { // two on a line
				return nil, fmt.Errorf("%s:%d:%d: a second policy on this line", file, at.Line, at.Column)
			}
		}
	}
	return set, nil
}

// refusal asks about everything the request touches, and says what was refused; "" when nothing was.
func refusal(ctx context.Context, policies *cedar.PolicySet, r *pluginapi.Request) (string, error) {
	principal := cedar.Entity{
		UID: cedar.NewEntityUID(principalType, cedar.String(r.Principal.Name)),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"kind": cedar.String(r.Principal.Kind), "accountable": cedar.String(r.Principal.Accountable), "operator": cedar.Boolean(r.Principal.Operator),
		}),
	}
	facts, err := contextOf(r)
	if err != nil {
		return "", err
	}
	ask := func(resource cedar.Entity, what string) string {
		entities := cedar.EntityMap{principal.UID: principal, resource.UID: resource}
		decision, why := cedar.Authorize(policies, entities, cedar.Request{
			Principal: principal.UID, Action: cedar.NewEntityUID(actionType, cedar.String(r.Action)), Resource: resource.UID, Context: facts,
		})
		if len(why.Errors) > 0 { // Cedar passes over it, and a forbid with it
			return fmt.Sprintf("policy %s cannot be applied to %s of %s: %s", why.Errors[0].PolicyID, r.Action, what, why.Errors[0].Message)
		}
		if decision == cedar.Allow {
			return ""
		}
		if len(why.Reasons) == 0 {
			return fmt.Sprintf("no policy permits %s of %s", r.Action, what)
		}
		ids := make([]string, 0, len(why.Reasons))
		for _, reason := range why.Reasons {
			ids = append(ids, string(reason.PolicyID))
		}
		slices.Sort(ids)
		return fmt.Sprintf("policy %s forbids %s of %s", strings.Join(ids, ", "), r.Action, what)
	}
	switch {
	case len(r.Changes) > 0:
		for i := range r.Changes {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			if why := ask(pathEntity(&r.Changes[i]), fmt.Sprintf("%.200q", r.Changes[i].Path)); why != "" {
				return why, nil
			}
		}
		return "", nil
	case r.Ref != "":
		return ask(cedar.Entity{
			UID:        cedar.NewEntityUID(refType, cedar.String(r.Ref)),
			Attributes: cedar.NewRecord(cedar.RecordMap{"name": cedar.String(r.Ref)}),
		}, r.Ref), nil
	}
	attributes, err := value(r.Resource)
	if err != nil {
		return "", err
	}
	record, _ := attributes.(cedar.Record)
	return ask(cedar.Entity{UID: cedar.NewEntityUID(resourceType, cedar.String(r.Action)), Attributes: record}, "it"), nil
}

// pathEntity is a changed path. It is in each directory above it. What is no UTF-8 is
// written in base64.
func pathEntity(c *pluginapi.Change) cedar.Entity {
	text, encoded := name(c.Path)
	var above []cedar.EntityUID
	for i, b := range c.Path {
		if b == '/' {
			dir, _ := name(c.Path[:i])
			above = append(above, cedar.NewEntityUID(directoryType, cedar.String(dir)))
		}
	}
	return cedar.Entity{
		UID:     cedar.NewEntityUID(pathType, cedar.String(text)),
		Parents: cedar.NewEntityUIDSet(above...),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"name": cedar.String(text), "encoded": cedar.Boolean(encoded), "status": cedar.String(c.Status),
			"oldMode": cedar.String(c.OldMode), "newMode": cedar.String(c.NewMode), "size": cedar.Long(c.Size),
		}),
	}
}

func name(path []byte) (text string, encoded bool) {
	if utf8.Valid(path) {
		return string(path), false
	}
	return base64.StdEncoding.EncodeToString(path), true
}

// contextOf is what the request is as a whole.
func contextOf(r *pluginapi.Request) (cedar.Record, error) {
	at, err := time.Parse(time.RFC3339, r.At)
	if err != nil {
		return cedar.Record{}, fmt.Errorf("%w: time %.40q", pluginapi.ErrInvalid, r.At)
	}
	var bytes int64
	modes := make(map[string]bool)
	for _, c := range r.Changes {
		if c.Size > math.MaxInt64-bytes {
			return cedar.Record{}, fmt.Errorf("%w: the sizes add up to too much", pluginapi.ErrInvalid)
		}
		bytes += c.Size
		if c.NewMode != "" {
			modes[c.NewMode] = true
		}
	}
	var set []cedar.Value
	for _, m := range slices.Sorted(maps.Keys(modes)) {
		set = append(set, cedar.String(m))
	}
	return cedar.NewRecord(cedar.RecordMap{
		"ref": cedar.String(r.Ref), "intent": cedar.String(r.Intent), "files": cedar.Long(len(r.Changes)), "bytes": cedar.Long(bytes),
		"modes": cedar.NewSet(set...), "at": cedar.NewDatetime(at),
	}), nil
}

// value writes JSON as Cedar has it. It has no null and no fractions.
func value(v any) (cedar.Value, error) {
	switch v := v.(type) {
	case bool:
		return cedar.Boolean(v), nil
	case string:
		return cedar.String(v), nil
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%w: Cedar has no number %v", pluginapi.ErrInvalid, v)
		}
		return cedar.Long(int64(v)), nil
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return nil, fmt.Errorf("%w: Cedar has no number %s", pluginapi.ErrInvalid, v)
		}
		return cedar.Long(n), nil
	case []any:
		set := make([]cedar.Value, 0, len(v))
		for _, e := range v {
			w, err := value(e)
			if err != nil {
				return nil, err
			}
			set = append(set, w)
		}
		return cedar.NewSet(set...), nil
	case map[string]any:
		record := make(cedar.RecordMap, len(v))
		for k, e := range v {
			w, err := value(e)
			if err != nil {
				return nil, err
			}
			record[cedar.String(k)] = w
		}
		return cedar.NewRecord(record), nil
	}
	return nil, fmt.Errorf("%w: Cedar has no %T", pluginapi.ErrInvalid, v)
}
