package capability

import (
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Narrowest returns the scope of an action, of another namespace than repo, that allows what a request says of its resource and
// as little else as a scope can say. The error wraps ErrInvalid: what is said has no place in a scope, or no scope allows it.
func Narrowest(action string, resource map[string]any) (Scope, error) {
	r := &pluginapi.Request{Action: action, Resource: resource}
	fields := map[string]any{}
	for _, f := range namespaces[Namespace(action)] {
		if v, ok := resource[f]; ok {
			fields[f] = v
		}
	}
	if v, ok := fields["arguments"]; ok {
		fields["arguments"] = map[string]any{"allow": v}
	}
	if v, ok := fields["duplicate_risk"].(string); ok {
		fields["duplicate_risk"] = strings.ReplaceAll(v, "_", "-")
	}
	if Namespace(action) == "memory" {
		end, _ := number(resource["before_ms"])
		if created, ok := number(resource["created_at"]); ok && (end > 0 || !spans(action)) {
			fields["before_ms"] = max(end, created+1)
		}
		if _, ok := fields["tiers"]; ok && detaches(r) {
			fields["tiers"] = tiers
		}
	}
	text, err := canonical.Marshal(fields)
	if err != nil {
		return Scope{}, fmt.Errorf("%w: scope: %w", ErrInvalid, err)
	}
	s, err := ParseScope(text)
	if err != nil {
		return Scope{}, err
	}
	if err := s.Validate(action); err != nil {
		return Scope{}, err
	}
	if why := s.refuses(r); why != "" {
		return Scope{}, fmt.Errorf("%w: no scope of %s allows this: %s", ErrInvalid, action, why)
	}
	return s, nil
}
