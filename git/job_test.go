package git_test

import (
	"context"
	"os"
	"runtime"
	"testing"
)

// jobs are what the test binary does when it is started again as another process.
var jobs = map[string]func() error{}

func runJob(name string) int {
	if err := jobs[name](); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

var errCanceled = context.Canceled

func contextWithCancel() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }

func TestMain(m *testing.M) {
	if runtime.GOOS == "windows" {
		os.Exit(0) // the suite needs shell hooks, modes and links
	}
	if job := os.Getenv("GIT_TEST_JOB"); job != "" {
		os.Exit(runJob(job))
	}
	os.Exit(m.Run())
}
