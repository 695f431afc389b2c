package git

import "context"

type unattendedKey struct{}

// Unattended marks what is done while somebody waits for something else, and with a time limit: children that talk to remotes ask
// for no password, whoever would show the question, and they and their helpers end with the context.
func Unattended(ctx context.Context) context.Context {
	return context.WithValue(ctx, unattendedKey{}, true)
}

func unattended(ctx context.Context) bool {
	v, _ := ctx.Value(unattendedKey{}).(bool)
	return v
}

// quiet is the environment of a child that must not ask anything. Who configured how ssh is called is not overruled.
func (r *Repo) quiet(env []string) []string {
	env = withEnv(env, "GIT_ASKPASS=", "SSH_ASKPASS", // an empty one comes before core.askPass, and asks nobody
		"SSH_ASKPASS_REQUIRE=never", "GCM_INTERACTIVE=never")
	_, command := lookupEnv(env, "GIT_SSH_COMMAND")
	_, program := lookupEnv(env, "GIT_SSH")
	_, configured := r.config.Get("core.sshcommand")
	if !command && !program && !configured {
		env = withEnv(env, "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	}
	return env
}
