package capability

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Tiers of memory.
var tiers = []string{"working", "episodic", "longterm"}

// readTier begins the actions that read one tier: memory.read.<tier>.
const readTier = "memory.read."

// memoryApplies reports whether an action changes memory; known is false of one whose name does not tell.
func memoryApplies(action string) (applies, known bool) {
	switch {
	case action == "memory.read", strings.HasPrefix(action, readTier), strings.HasSuffix(action, ".dry_run"):
		return false, true
	case action == "memory.write", action == "memory.purge", strings.HasSuffix(action, ".apply"):
		return true, true
	}
	return false, false
}

// contradicts says where a request on memory says something else than its action does. Such a request is refused whatever
// the scope: who asks acts by one of the two, and it is not known by which.
func contradicts(r *pluginapi.Request) string {
	if said, ok := r.Resource["apply"]; ok {
		if applies, known := memoryApplies(r.Action); known && said != applies {
			return fmt.Sprintf("apply: it is asked with %v, and %s is %v", said, r.Action, applies)
		}
	}
	if tier, ok := strings.CutPrefix(r.Action, readTier); ok {
		asked, err := tiersOf(r)
		if err != nil || slices.ContainsFunc(asked, func(t string) bool { return t != tier }) {
			return fmt.Sprintf("tiers: it is asked of %v, and %s reads %s", r.Resource["tiers"], r.Action, tier)
		}
	}
	return ""
}

// tiersOf returns the tiers that a request names, nil where it names none.
func tiersOf(r *pluginapi.Request) ([]string, error) {
	switch list := r.Resource["tiers"].(type) {
	case nil:
		return nil, nil
	case []string:
		return list, nil
	case []any:
		out := make([]string, 0, len(list))
		for _, t := range list {
			name, ok := t.(string)
			if !ok {
				return nil, errors.New("one of them is no string")
			}
			out = append(out, name)
		}
		return out, nil
	}
	return nil, errors.New("they are no list")
}

// refusesTiers: a request names its tiers, or acts on one by its action; one that names none, or that detaches
// records from parents of any tier, acts on all three.
func (s *Scope) refusesTiers(r *pluginapi.Request) error {
	asked, err := tiersOf(r)
	if err != nil {
		return err
	}
	if tier, ok := strings.CutPrefix(r.Action, readTier); ok {
		asked = []string{tier}
	}
	if asked == nil || detaches(r) {
		asked = tiers
	}
	for _, t := range asked {
		if !slices.Contains(s.Tiers, t) {
			return fmt.Errorf("%q is none of its %q", t, s.Tiers)
		}
	}
	if len(asked) == 0 {
		return errAbsent
	}
	return nil
}

func detaches(r *pluginapi.Request) bool {
	said, ok := r.Resource["detach_stale_parents"]
	return ok && said != false
}

// refusesApply goes by the action where that tells, and by the request where it does not.
func (s *Scope) refusesApply(r *pluginapi.Request) error {
	does, known := memoryApplies(r.Action)
	if !known {
		if does, known = r.Resource["apply"].(bool); !known {
			return errAbsent
		}
	}
	if does != *s.Apply {
		return fmt.Errorf("%v is not its %v", does, *s.Apply)
	}
	return nil
}

// refusesBefore: up to before_ms goes what a request says of a span, and before it was made what it says of one
// record. What a request says of both must hold of both; a purge or a compaction is always of a span.
func (s *Scope) refusesBefore(r *pluginapi.Request) error {
	limit := *s.BeforeMS
	end, span := number(r.Resource["before_ms"])
	created, record := number(r.Resource["created_at"])
	_, saidEnd := r.Resource["before_ms"]
	_, saidCreated := r.Resource["created_at"]
	switch {
	case saidEnd != span, saidCreated != record:
		return errors.New("it is no whole number")
	case !span && (spans(r.Action) || !record):
		return errAbsent
	case span && end > limit:
		return fmt.Errorf("%d is more than its %d", end, limit)
	case record && created >= limit:
		return fmt.Errorf("the record of %d is not older than its %d", created, limit)
	}
	return nil
}

func spans(action string) bool {
	return action == "memory.purge" || strings.HasPrefix(action, "memory.compact.")
}
