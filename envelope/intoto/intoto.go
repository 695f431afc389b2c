// Package intoto holds what all statements about Git objects have in common: the form of an in-toto Statement, version 1
// (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md). What a predicate says is its own package's business.
package intoto

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/git/oid"
)

// StatementType is the _type of a statement.
const StatementType = "https://in-toto.io/Statement/v1"

// Subject is a ResourceDescriptor with one digest, such as gitCommit, gitTree or sha256.
type Subject struct {
	Digest map[string]string `json:"digest"`
	Name   string            `json:"name"`
}

// Keys of digests that name objects.
const (
	Commit = "gitCommit"
	Tree   = "gitTree"
	Tag    = "gitTag"
)

// Of returns the subject that is an object, under the key of its kind.
func Of(name, key string, id oid.ID) Subject {
	return Subject{Name: name, Digest: map[string]string{key: id.String()}}
}

// Change returns the subjects of a statement about a commit and its tree.
func Change(commit, tree oid.ID) []Subject {
	return []Subject{Of("commit", Commit, commit), Of("tree", Tree, tree)}
}

// Object returns the object that a subject names, zero when there is no such subject or it names none.
func Object(subjects []Subject, i int, key string) oid.ID {
	if i >= len(subjects) {
		return oid.ID{}
	}
	id, err := oid.Parse(subjects[i].Digest[key])
	if err != nil {
		return oid.ID{}
	}
	return id
}

// PredicateType says what an opened statement is about, "" where it does not say.
func PredicateType(o *envelope.Opened) string {
	var p struct {
		PredicateType string `json:"predicateType"`
	}
	if json.Unmarshal(o.Payload, &p) != nil {
		return ""
	}
	return p.PredicateType
}

// Read reads an opened statement whose predicate is of one of these types; what is wrong with it otherwise, validate says. Of a newer version of the first of them the
// error wraps [envelope.ErrNewer]; of what can't be read it wraps invalid.
func Read[T any](o *envelope.Opened, invalid error, validate func(*T) error, types ...string) (*T, error) {
	if typ := PredicateType(o); len(types) > 0 && !slices.Contains(types, typ) {
		if err := envelope.VersionError(typ, types[0]); errors.Is(err, envelope.ErrNewer) {
			return nil, err
		}
	}
	s := new(T)
	if err := canonical.Unmarshal(o.Payload, s); err != nil {
		return nil, fmt.Errorf("%w: %w", invalid, err)
	}
	if err := validate(s); err != nil {
		return nil, err
	}
	return s, nil
}
