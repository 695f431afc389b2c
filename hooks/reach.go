package hooks

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// maxReached bounds the hosts that are asked about one by one.
const maxReached = 64

// secrets returns those of the places that a tool reads which the policy calls secret, as the policy names them, sorted.
func (b *bench) secrets(reads []agent.Named) []string {
	tools := b.root.Policy.AgentTools()
	if !tools.HasSecrets() {
		return nil
	}
	lower := *tools // some systems take letters of any case for one
	lower.Secrets = slices.Clone(tools.Secrets)
	for i, s := range lower.Secrets {
		lower.Secrets[i] = strings.ToLower(s)
	}
	secret := func(name string) bool { return tools.Secret(name) || lower.Secret(strings.ToLower(name)) }
	work, home := b.workTree(), b.t.Home
	if real, err := follow(home, true); home != "" && err == nil {
		home = real
	}
	var out []string
	for _, r := range reads {
		if r.Idle {
			continue
		}
		for _, last := range []bool{false, true} { // by what it is called, and by where a link leads
			at, err := follow(r.Path, last)
			if err != nil {
				continue
			}
			for base, prefix := range map[string]string{work: "", home: "~/"} {
				rel, ok := below(base, at)
				if base == "" || !ok || rel == "." {
					continue
				}
				name := prefix + filepath.ToSlash(rel)
				switch {
				case secret(name):
					out = append(out, name)
				case r.Whole && secret(name+"/_"): // a folder of secrets
					out = append(out, filesBelow(at, name)...)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// filesBelow returns the files in a folder by a name of the folder; that name itself where they are too many.
func filesBelow(dir, name string) []string {
	files, err := spread(agent.Write{Path: dir, Tree: true})
	if err != nil {
		return []string{name}
	}
	out := make([]string, 0, len(files))
	for _, f := range files {
		if rel, ok := below(dir, f); ok && rel != "." {
			out = append(out, name+"/"+filepath.ToSlash(rel))
		}
	}
	return out
}

// readsOf asks to read secrets, where there are any.
func readsOf(secrets []string, q capability.Query) question {
	if len(secrets) == 0 {
		return question{}
	}
	q.Action, q.Resource = capability.ReadSecret, map[string]any{"paths": texts(secrets)}
	return question{Query: q}
}

func texts(list []string) []any {
	out := make([]any, 0, len(list))
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// reached is which hosts a tool would reach.
type reached struct {
	hosts   []string
	unnamed []string // what reaches hosts that it does not name
}

func (r *reached) none() bool { return len(r.hosts) == 0 && len(r.unnamed) == 0 }

// reach finds out which hosts a tool would reach, where the policy wants to be asked.
func (b *bench) reach(ctx context.Context) reached {
	if !b.root.Policy.AgentTools().GrantedNetwork() {
		return reached{}
	}
	named, more := agent.ArgumentHosts(b.e)
	r := reached{hosts: append(named, b.out.Hosts...), unnamed: slices.Clone(b.out.Online)}
	if more {
		r.unnamed = append(r.unnamed, b.e.Tool)
	}
	for _, at := range b.out.Remotes {
		hosts, ok := b.remoteHosts(ctx, at)
		if r.hosts = append(r.hosts, hosts...); !ok {
			what := "the remote that Git takes"
			if at.Name != "" && at.Name != "*" {
				what = "the remote " + quoted(at.Name)
			}
			r.unnamed = append(r.unnamed, what)
		}
	}
	slices.Sort(r.hosts)
	r.hosts = slices.Compact(r.hosts)
	if len(r.hosts) > maxReached {
		r.hosts, r.unnamed = nil, append(r.unnamed, "so many hosts")
	}
	return r
}

// remoteHosts returns the hosts of a remote as the configuration of its repository has it; ok tells whether all are known.
func (b *bench) remoteHosts(ctx context.Context, r agent.Remote) (hosts []string, ok bool) {
	config := b.s.Repo().Config()
	at, err := follow(r.Dir, true)
	if err != nil {
		return nil, false
	}
	_, named := agent.PathHost(r.Name)
	named = named || strings.Contains(r.Name, "://")
	if top := treeOf(at); top == "" || top != b.workTree() {
		repo, err := git.Open(ctx, git.Options{Dir: at, Env: b.in.Env, Memory: provenance.MemoryFor(b.in.ConfigDir, b.in.lookup)})
		switch {
		case err == nil:
			config = repo.Config()
		case !named || !errors.Is(err, git.ErrNotRepository):
			return nil, false
		}
	}
	var urls []string
	found := false
	switch {
	case named:
		urls, found = []string{r.Name}, true
	default:
		for _, key := range config.Keys("remote.") {
			name, field := key[len("remote."):], key[strings.LastIndexByte(key, '.')+1:]
			name = strings.TrimSuffix(name, "."+field)
			if r.Name != "" && r.Name != "*" && r.Name != name { // which one Git takes by itself is told by many settings: any may be it
				continue
			}
			switch field {
			case "url", "pushurl":
				urls, found = append(urls, config.All(key)...), true
			case "vcs":
				return nil, false
			}
		}
	}
	if r.Name == "" {
		for _, key := range append(config.Keys("branch."), "remote.pushdefault") {
			if strings.HasSuffix(strings.ToLower(key), "remote") || key == "remote.pushdefault" {
				for _, v := range config.All(key) { // a name, or a URL
					if strings.Contains(v, ":") {
						urls, found = append(urls, v), true
					}
				}
			}
		}
	}
	keys := config.Keys("url.")
	for _, url := range urls {
		all := rewritten(config, keys, url)
		if named { // Git may be about to make another repository, or none be here: then what this one rewrites does not count
			users := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !slices.Contains([]string{"global", "system"}, config.Scope(key)) })
			all = append(all, rewritten(config, users, url)...)
		}
		for _, to := range all {
			host, local := repositoryHost(to)
			switch {
			case host != "":
				hosts = append(hosts, host)
			case !local:
				return hosts, false
			}
		}
	}
	return hosts, found || r.Name == "*"
}

// rewritten is a URL as Git takes it to fetch, and to push where that is another: of these keys url.<base>.insteadOf and pushInsteadOf put another beginning in front, the longest that fits.
func rewritten(config git.Config, keys []string, url string) []string {
	out := []string{url}
	for i, setting := range []string{".insteadof", ".pushinsteadof"} {
		best, to := "", ""
		for _, key := range keys {
			if !strings.HasSuffix(strings.ToLower(key), setting) {
				continue
			}
			for _, from := range config.All(key) {
				if strings.HasPrefix(url, from) && len(from) > len(best) {
					best, to = from, key[len("url."):len(key)-len(setting)]
				}
			}
		}
		switch {
		case best == "":
		case i == 0:
			out[0] = to + url[len(best):]
		default:
			out = append(out, to+url[len(best):])
		}
	}
	return out
}

// repositoryHost returns the host of where a repository is, "" where it has no name; local says that it is on this machine.
func repositoryHost(url string) (host string, local bool) {
	if scheme, _, found := strings.Cut(url, "://"); found && !strings.ContainsAny(scheme, "/:") {
		host, _, ok := agent.URLHost(url)
		return host, !ok
	}
	host, remote := agent.PathHost(url)
	if remote && strings.HasPrefix(url[strings.IndexByte(url, ':'):], "::") && !strings.HasPrefix(url, "[") { // a program of its own
		return "", false
	}
	if agent.Loopback(host) {
		return "", true
	}
	return host, !remote
}

// asked is what is asked about hosts: those that no grant allows by itself, all where none does; nothing where each is allowed. Where some host is not named, a grant that
// names none is needed, and such a one allows the others, too.
func (r *reached) asked(a *acting, by verdict.Asker, q capability.Query) question {
	q.Action = capability.Connect
	if len(r.unnamed) > 0 {
		q.Resource = map[string]any{}
		return question{Query: q}
	}
	var left []string
	for _, h := range r.hosts {
		q.Resource = map[string]any{"hosts": texts([]string{h})}
		if d := a.may(q, by); !d.Allowed {
			left = append(left, h)
		}
	}
	if len(left) == 0 {
		return question{}
	}
	q.Resource = map[string]any{"hosts": texts(left)}
	return question{Query: q}
}

// hints say what else could be done than to ask for a grant.
func (r *reached) hints(q *question) []string {
	if q.Action != capability.Connect || len(r.unnamed) == 0 {
		return nil
	}
	return []string{"it does not say which host is reached: " + strings.Join(r.unnamed[:min(len(r.unnamed), 4)], ", ")}
}
