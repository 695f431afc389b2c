package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
)

// asks is what a child of the test asks on its terminal.
const asks = "COVENANT_TEST_ASKS"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(asks) {
	case "":
		os.Exit(m.Run())
	case "passphrase":
		_, err = terminal.Passphrase("a key")
	case "confirm":
		_, err = terminal.Confirm("sure?")
	}
	var by *terminal.InterruptedError
	if !errors.As(err, &by) {
		fmt.Println(err)
		os.Exit(1)
	}
}

// Who thinks better of it ends it at once, and sees again what they type.
func TestInterrupted(t *testing.T) {
	for _, what := range []string{"passphrase", "confirm"} {
		t.Run(what, func(t *testing.T) {
			master, slave := pair(t)
			cmd := exec.Command(os.Args[0]) //nolint:gosec // this test
			cmd.Env = append(os.Environ(), asks+"="+what)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			dog := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			defer dog.Stop()
			var said []byte
			for b := make([]byte, 256); !bytes.Contains(said, []byte("a key: ")) && !bytes.Contains(said, []byte("[y/N] ")); {
				n, err := master.Read(b)
				if err != nil {
					t.Fatalf("%v: %q", err, said)
				}
				said = append(said, b[:n]...)
			}
			for what == "passphrase" && echoes(t, slave) { // it asks, and then hides what is typed
				time.Sleep(time.Millisecond)
			}
			if _, err := master.Write([]byte{3}); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %q", err, said)
			}
			if !echoes(t, slave) {
				t.Error("what is typed afterwards does not show")
			}
		})
	}
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	as, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return as.Lflag&unix.ECHO != 0
}

// pair returns both ends of a terminal.
func pair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
