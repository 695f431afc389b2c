package gate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// What a client waits for the host to accept it, and the least it leaves the cold path.
const (
	patience = 100 * time.Millisecond
	// maxSocket is what a socket's address may have, in bytes; macOS takes 103.
	maxSocket = 100
)

// Ready is the byte a host greets a client with.
const Ready = 'R'

// ErrOtherHost says that a socket or its directory is not ours alone.
var ErrOtherHost = errors.New("it is not private to this user")

// Call is what a host is sent.
type Call struct {
	Version  int             `json:"version"`
	Program  string          `json:"program"` // [ProgramID] of the program the client would run
	Document json.RawMessage `json:"document,omitempty"`
}

// Reply is what a host sends back: a result, or why it does not answer.
type Reply struct {
	Version int             `json:"version"`
	Result  json.RawMessage `json:"result,omitempty"`
	Refused string          `json:"refused,omitempty"`
}

// SocketPath returns where the resident host of this user listens. runtimeDir is the value
// of XDG_RUNTIME_DIR, configDir the user's configuration directory of this program. It is empty when the
// path would be too long for a socket.
func SocketPath(runtimeDir, configDir string) string {
	dir := filepath.Join(configDir, "run")
	if filepath.IsAbs(runtimeDir) {
		dir = filepath.Join(runtimeDir, "covenant-"+strconv.Itoa(os.Getuid()))
	}
	if p := filepath.Join(dir, "gate.sock"); filepath.IsAbs(p) && len(p) <= maxSocket {
		return p
	}
	return ""
}

// ProgramID tells one build of a program from the next without reading it.
func ProgramID(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:%d:%d", inode(st), st.Size(), st.ModTime().UnixNano()), nil
}

// CheckPrivate reports whether a directory is this user's, and nobody else may enter it.
func CheckPrivate(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || !private(st) {
		return fmt.Errorf("%s: %w", dir, ErrOtherHost)
	}
	return nil
}

// CheckPeer reports whether the other end of a connection is this user's process, and whether it
// runs this program, which is taken for granted where the kernel does not tell.
func CheckPeer(conn net.Conn, program string) (same bool, err error) {
	uid, exe, err := peer(conn)
	if err != nil {
		return false, err
	}
	if uid != os.Getuid() {
		return false, fmt.Errorf("the other end: %w", ErrOtherHost)
	}
	if exe == "" {
		return true, nil
	}
	theirs, err := os.Stat(exe)
	if err != nil {
		return false, err
	}
	ours, err := os.Stat(program)
	if err != nil {
		return false, err
	}
	return os.SameFile(theirs, ours), nil
}

// WriteFrame writes a value as JSON after its length, four bytes, the highest first.
func WriteFrame(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > MaxDocument {
		return fmt.Errorf("%w: %d bytes", pluginapi.ErrInvalid, len(b))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) //nolint:gosec // bounded above
	return err
}

// ReadFrame reads a value that WriteFrame wrote.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > MaxDocument {
		return fmt.Errorf("%w: %d bytes", pluginapi.ErrInvalid, n)
	}
	b, err := io.ReadAll(io.LimitReader(r, n))
	if err != nil {
		return err
	}
	if int64(len(b)) < n {
		return io.ErrUnexpectedEOF
	}
	return pluginapi.Decode(b, v)
}

// askHost asks the resident host, for so long. When there is none it starts one for the next time.
func (g *Gate) askHost(ctx context.Context, doc []byte, limit time.Duration) ([]byte, bool) {
	if g.Socket == "" {
		return nil, false
	}
	switch err := CheckPrivate(filepath.Dir(g.Socket)); {
	case errors.Is(err, os.ErrNotExist):
		g.startHost()
		return nil, false
	case err != nil:
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b, err := g.callHost(ctx, doc)
	if err != nil {
		if !errors.Is(err, ErrOtherHost) && ctx.Err() == nil {
			g.startHost()
		}
		return nil, false
	}
	return b, true
}

func (g *Gate) callHost(ctx context.Context, doc []byte) ([]byte, error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", g.Socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	same, err := CheckPeer(conn, g.Program)
	if err != nil {
		return nil, err
	}
	id, err := ProgramID(g.Program)
	if err != nil {
		return nil, err
	}
	// One that does not greet is stuck, and will not be waited for.
	stuck := time.AfterFunc(patience, func() { conn.Close() })
	var hello [1]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return nil, err
	}
	stuck.Stop()
	if hello[0] != Ready {
		return nil, fmt.Errorf("%w: it greets with %q", pluginapi.ErrInvalid, hello[:])
	}
	call := Call{Version: Version, Program: id}
	if same { // else it only learns that its time is over
		call.Document = doc
	}
	if err := WriteFrame(conn, call); err != nil {
		return nil, err
	}
	if !same {
		return nil, errors.New("the host is another program")
	}
	var r Reply
	if err := ReadFrame(conn, &r); err != nil {
		return nil, err
	}
	if r.Version != Version || r.Refused != "" || r.Result == nil {
		return nil, fmt.Errorf("the host does not answer: %.200s", r.Refused)
	}
	return r.Result, nil
}

// startHost starts a host that outlives us and holds nothing of ours. It ends at once when
// there is one already.
func (g *Gate) startHost() {
	cmd := exec.Command(g.Program, "serve", "--socket", g.Socket) //nolint:gosec // the program of our own installation
	cmd.Env = append([]string{}, g.Env...)
	cmd.Dir = filepath.VolumeName(g.Program) + string(filepath.Separator)
	cmd.SysProcAttr = detached()
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}
