package git

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// CommandError is a git child that exited with a status other than zero, or was killed.
type CommandError struct {
	Args   []string // the arguments, without the -c settings this package adds
	Code   int      // the exit status, -1 when a signal ended it
	Stderr string   // the last 8 KiB of what it said, in English
}

// maxShown is how many bytes of a command line are told: no more than a line.
const maxShown = 160

func (e *CommandError) Error() string {
	var b strings.Builder
	b.WriteString("git")
	for i := 0; i < len(e.Args); i++ {
		a := e.Args[i]
		if a == "-c" && b.Len() == len("git") { // settings say nothing of what failed
			i++
			continue
		}
		a = withoutSecret(a)
		if strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r == 0x7f }) || a == "" {
			a = strconv.Quote(a)
		}
		if a = clip(a); b.Len()+1+len(a) > maxShown {
			b.WriteString(" …")
			break
		}
		b.WriteString(" " + a)
	}
	if e.Code < 0 {
		b.WriteString(": killed")
	} else {
		b.WriteString(": exit status " + strconv.Itoa(e.Code))
	}
	if s := strings.TrimSpace(e.Stderr); s != "" {
		b.WriteString(": " + s)
	}
	return b.String()
}

// withoutSecret takes the name and password out of an address.
func withoutSecret(arg string) string {
	scheme, rest, ok := strings.Cut(arg, "://")
	host, path, slash := strings.Cut(rest, "/")
	i := strings.LastIndexByte(host, '@')
	if !ok || i < 0 {
		return arg
	}
	if host = host[i+1:]; slash {
		host += "/" + path
	}
	return scheme + "://" + host
}

// Run runs one git child to its end and returns what it wrote to standard output, up to 256 MiB.
// A nil stdin is the null device. The child is killed when ctx ends.
//
// The error is *[CommandError] when the child exits with another status than zero; the output is
// returned all the same. In a context that is [Unattended] nothing is asked. Run never fetches missing objects of a partial clone, with one exception:
// subcommands that talk to remotes (fetch, pull, push and the like) run as they are.
func (r *Repo) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	env := r.localEnv()
	if talksToRemotes(args) {
		env = r.env
	}
	if unattended(ctx) && talksToRemotes(args) {
		env = r.quiet(env)
	}
	return r.capture(ctx, env, stdin, captureLimit, args...)
}

// localEnv is the environment of children that fetch nothing, whatever they lack.
func (r *Repo) localEnv() []string {
	if !r.view {
		return r.env
	}
	return withEnv(r.env, "GIT_ALLOW_PROTOCOL=")
}

func talksToRemotes(args []string) bool {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-c" || a == "-C":
			i++
		case strings.HasPrefix(a, "-"):
		default:
			switch a {
			case "fetch", "pull", "push", "clone", "ls-remote", "remote", "submodule", "fetch-pack", "send-pack":
				return true
			}
			return false
		}
	}
	return false
}

// capture runs one child to its end.
func (r *Repo) capture(ctx context.Context, env []string, stdin io.Reader, limit int64, args ...string) ([]byte, error) {
	p, err := r.start(ctx, env, stdin, args...)
	if err != nil {
		return nil, err
	}
	out, err := p.readAll(limit)
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, p.wait()
}

func (p *process) readAll(limit int64) ([]byte, error) {
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(p.out, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, &TooLargeError{Name: "output", Size: n, Limit: limit}
	}
	return buf.Bytes(), nil
}
