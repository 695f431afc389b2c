//go:build linux

package pluginwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
)

// The test's own program plays the plugins: "act ROLE [ARGUMENT]…".
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "act" {
		role, ok := roles[os.Args[2]]
		if !ok {
			os.Exit(3)
		}
		role(os.Args[3:])
		return
	}
	_ = pluginwire.Adopt()
	os.Exit(m.Run())
}

type check func(ctx context.Context, rs []*pluginapi.Request) ([]pluginapi.Answer, error)

func (c check) Check(ctx context.Context, rs []*pluginapi.Request) ([]pluginapi.Answer, error) {
	return c(ctx, rs)
}

// each answers every request alike.
func each(f func(*pluginapi.Request) pluginapi.Answer) func([]string) {
	return func([]string) {
		pluginwire.Serve(check(func(_ context.Context, rs []*pluginapi.Request) ([]pluginapi.Answer, error) {
			as := make([]pluginapi.Answer, 0, len(rs))
			for _, r := range rs {
				as = append(as, f(r))
			}
			return as, nil
		}))
	}
}

func say(lines ...string) {
	for _, l := range lines {
		fmt.Println(l)
	}
}

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// child starts another role, in a session of its own when it is to get away.
func child(away bool, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"act"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: away}
	return cmd
}

var roles map[string]func([]string)

func init() {
	roles = map[string]func([]string){
		"good":  each(func(r *pluginapi.Request) pluginapi.Answer { return pluginapi.AllowAll(r) }),
		"deny":  each(func(r *pluginapi.Request) pluginapi.Answer { return pluginapi.Deny(r, "not today") }),
		"panic": each(func(*pluginapi.Request) pluginapi.Answer { panic("oh") }),
		"hang in the call": each(func(*pluginapi.Request) pluginapi.Answer {
			forever()
			return pluginapi.Answer{}
		}),
		"die in the call": each(func(*pluginapi.Request) pluginapi.Answer {
			fmt.Fprintln(os.Stderr, "lost")
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			forever()
			return pluginapi.Answer{}
		}),
		"exit in the call": each(func(*pluginapi.Request) pluginapi.Answer {
			os.Exit(0)
			return pluginapi.Answer{}
		}),
		"another request": each(func(r *pluginapi.Request) pluginapi.Answer {
			a := pluginapi.AllowAll(r)
			a.ID = strings.Repeat("0", 32)
			return a
		}),
		"another version's answer": each(func(r *pluginapi.Request) pluginapi.Answer {
			a := pluginapi.AllowAll(r)
			a.Version = 2
			return a
		}),
		"a chain out of range": each(func(r *pluginapi.Request) pluginapi.Answer { return pluginapi.Allow(r, 0, 7) }),
		// What an author in another language writes: docs/spec/plugins.md and nothing else.
		"by hand": func([]string) {
			at := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
			l, err := net.Listen("unix", at)
			if err != nil || os.Getenv("PLUGIN_MAGIC_COOKIE") != "covenant.capability.v1.Checker" {
				os.Exit(1)
			}
			s := grpc.NewServer(grpc.MaxRecvMsgSize(33 << 20))
			s.RegisterService(&grpc.ServiceDesc{ServiceName: "covenant.capability.v1.Checker", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
				MethodName: "Check",
				Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
					in := new(wrapperspb.BytesValue)
					if err := decode(in); err != nil {
						return nil, err
					}
					var b struct {
						Requests []struct{ ID string }
					}
					if err := json.Unmarshal(in.GetValue(), &b); err != nil {
						return nil, err
					}
					return wrapperspb.Bytes(fmt.Appendf(nil, `{"version":1,"answers":[{"version":1,"id":%q,"allowed":true,"chains":[1]}]}`, b.Requests[0].ID)), nil
				},
			}}}, nil)
			say("1|1|unix|" + at + "|grpc")
			_ = s.Serve(l)
		},
		"a huge answer": each(func(r *pluginapi.Request) pluginapi.Answer {
			a := pluginapi.AllowAll(r)
			a.Reason = strings.Repeat("x", pluginapi.MaxMessage-200) // gRPC lets it through, the contract does not
			return a
		}),
		"too huge an answer": each(func(r *pluginapi.Request) pluginapi.Answer {
			a := pluginapi.AllowAll(r)
			a.Reason = strings.Repeat("x", pluginapi.MaxMessage+200)
			return a
		}),
		"the world": each(func(r *pluginapi.Request) pluginapi.Answer {
			wd, _ := os.Getwd()
			n, err := os.Stdin.Read(make([]byte, 1))
			fds, _ := os.ReadDir("/proc/self/fd")
			var open []string
			for _, fd := range fds {
				l, err := os.Readlink("/proc/self/fd/" + fd.Name())
				if err == nil {
					open = append(open, l)
				}
			}
			_, terr := os.OpenFile("/dev/tty", os.O_RDWR, 0)
			return pluginapi.Deny(r, fmt.Sprintf("%s\nstdin %d %v\nwd %s\ntty %v\n%s", strings.Join(os.Environ(), "\n"), n, err, wd, terr, strings.Join(open, "\n")))
		}),
		"too many": func([]string) {
			pluginwire.Serve(check(func(_ context.Context, rs []*pluginapi.Request) ([]pluginapi.Answer, error) {
				return []pluginapi.Answer{pluginapi.AllowAll(rs[0]), pluginapi.AllowAll(rs[0])}, nil
			}))
		},
		"too few": func([]string) {
			pluginwire.Serve(check(func(context.Context, []*pluginapi.Request) ([]pluginapi.Answer, error) { return nil, nil }))
		},
		"an error": func([]string) {
			pluginwire.Serve(check(func(context.Context, []*pluginapi.Request) ([]pluginapi.Answer, error) {
				return nil, errors.New("the policy does not parse")
			}))
		},
		"flood": each(func(r *pluginapi.Request) pluginapi.Answer {
			for range 4000 {
				_, _ = os.Stderr.WriteString(strings.Repeat("flood ", 400)) // what go-plugin carries
				_, _ = syscall.Write(2, []byte(strings.Repeat("flood ", 400)))
				_, _ = syscall.Write(1, []byte(strings.Repeat("flood ", 400)))
			}
			return pluginapi.AllowAll(r)
		}),
		"hang before the handshake": func([]string) { forever() },
		"end at once":               func([]string) { fmt.Fprintln(os.Stderr, "no license") },
		"garbage before the handshake": func([]string) {
			say("hello!")
			roles["good"](nil)
		},
		"garbage without end": func([]string) {
			for {
				fmt.Print("la")
			}
		},
		"another protocol version": func([]string) {
			say("1|2|unix|" + filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s") + "|grpc|")
			forever()
		},
		"another core version": func([]string) {
			say("2|1|unix|" + filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s") + "|grpc|")
			forever()
		},
		"net/rpc": func([]string) {
			say("1|1|unix|" + filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s") + "|netrpc|")
			forever()
		},
		"nobody listens": func([]string) {
			say("1|1|unix|" + filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s") + "|grpc|")
			forever()
		},
		"elsewhere": func([]string) {
			say("1|1|unix|/tmp/elsewhere|grpc|")
			forever()
		},
		"over the net": func([]string) {
			say("1|1|tcp|127.0.0.1:10000|grpc|")
			forever()
		},
		"mute socket": func([]string) {
			fd, _ := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			at := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s")
			_ = syscall.Bind(fd, &syscall.SockaddrUnix{Name: at})
			_ = syscall.Listen(fd, 5)
			say("1|1|unix|" + at + "|grpc|")
			forever()
		},
		// Somebody else serves at the plugin's socket.
		"an impostor": func([]string) {
			_ = child(true, "good").Start()
			forever()
		},
		"children that stay": func(args []string) {
			for i, away := range []bool{false, true} {
				_ = child(away, "leave a child", filepath.Join(args[0], strconv.Itoa(i)), strconv.FormatBool(away)).Run()
			}
			roles["good"](nil)
		},
		// It ends, and what it started does not.
		"leave a child": func(args []string) { _ = child(args[1] == "true", "stay", args[0]).Start() },
		"stay": func(args []string) {
			_ = os.WriteFile(args[0], []byte(strconv.Itoa(os.Getpid())), 0o600)
			forever()
		},
		"children, then the end": func(args []string) {
			_ = child(true, "stay", filepath.Join(args[0], "0")).Start()
			_ = child(false, "stay", filepath.Join(args[0], "1")).Start()
			each(func(*pluginapi.Request) pluginapi.Answer {
				os.Exit(1)
				return pluginapi.Answer{}
			})(nil)
		},
		"host": func(args []string) {
			proc, err := pluginwire.Start(context.Background(), playing("good"))
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			_ = os.WriteFile(filepath.Join(args[0], "pid"), []byte(strconv.Itoa(proc.Pid())), 0o600)
			forever()
		},
	}
}
