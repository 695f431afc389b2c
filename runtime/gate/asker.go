package gate

import (
	"context"
	"path/filepath"
	"runtime"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Asker answers queries of an authority through a gate.
type Asker struct {
	Authority *capability.Authority
	Gate      *Gate
	Context   context.Context //nolint:containedctx // of the one command or moment it lives for
}

// Decide asks the checkers one query.
func (a *Asker) Decide(q capability.Query) capability.Decision {
	return a.DecideAll([]capability.Query{q})[0]
}

// DecideAll asks the checkers many queries in one batch; one decision for each, in their order.
func (a *Asker) DecideAll(queries []capability.Query) []capability.Decision {
	out := make([]capability.Decision, len(queries))
	var requests []*pluginapi.Request
	var at []int
	for i := range queries {
		r, err := a.Authority.Request(&queries[i])
		if err != nil {
			out[i] = capability.Decision{Reason: err.Error()}
			continue
		}
		requests, at = append(requests, r), append(at, i)
	}
	if len(requests) == 0 {
		return out
	}
	decisions, _ := a.Gate.Ask(a.Context, requests) // with an error all are denied, and say why
	for i, d := range decisions {
		out[at[i]] = a.Authority.Conclude(&queries[at[i]], requests[i], d.Allowed, d.Chains, d.Checkers, d.Reason, d.Refused)
		out[at[i]].Unanswered = d.Failure != ""
	}
	return out
}

// Local says where a gate's programs are found on this machine.
type Local struct {
	Program string                             // covenant-gate
	Dirs    []string                           // where programs of plugins stand
	Path    func(plugin string) (string, bool) // what the user configured for one: covenant.plugin.<name>.path
	Socket  string                             // of the resident host
	Host    bool                               // use it
	Env     []string                           // of covenant-gate itself
}

// HostKey is the configuration variable that lets a resident host answer.
const HostKey = "covenant.host"

// PathKey is the configuration variable that says where the program of a plugin is.
func PathKey(plugin string) string { return "covenant.plugin." + plugin + ".path" }

// Here returns what is beside the program exe, and what the configuration of a repository and the
// user's environment say.
func Here(exe, configDir string, config, lookup func(key string) (string, bool)) Local {
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	dir := filepath.Dir(exe)
	name := "covenant-gate"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	run, _ := lookup("XDG_RUNTIME_DIR")
	host, _ := config(HostKey)
	return Local{
		Program: filepath.Join(dir, name), Dirs: []string{dir, filepath.Join(configDir, "plugins")}, Socket: SocketPath(run, configDir), Host: host == "true",
		Path: func(plugin string) (string, bool) { return config(PathKey(plugin)) },
	}
}

// For returns the gate of a policy: the built-in checker and every plugin it pins, as
// pinned for this platform. One that is not found, or not pinned for this platform, is asked all the
// same: it fails, and so everything is denied.
func (l Local) For(p *trust.Policy) *Gate {
	g := &Gate{Program: l.Program, Socket: l.Socket, Resident: l.Host, Env: l.Env}
	if p == nil {
		return g
	}
	for _, plugin := range p.Plugins {
		configured := ""
		if l.Path != nil {
			configured, _ = l.Path(plugin.Name)
		}
		path, err := Find(plugin.Name, configured, l.Dirs...)
		if err != nil && path == "" {
			path = Prefix + plugin.Name
		}
		g.Plugins = append(g.Plugins, Plugin{Name: plugin.Name, Path: path, Digest: plugin.Pins[runtime.GOOS+"/"+runtime.GOARCH], Config: plugin.Config})
	}
	return g
}
