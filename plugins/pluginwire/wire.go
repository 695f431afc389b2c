// Package pluginwire carries the contracts of [pluginapi] between a host and a
// plugin, a subprocess of hashicorp/go-plugin over gRPC. A plugin's main is one
// call of [Serve], or of [ServeRedactor]; a host calls [Start].
//
// docs/spec/plugins.md describes the wire for authors in other languages.
//
// # What a plugin is given
//
// A plugin starts in the directory "/", with /dev/null for standard input, an
// environment that holds nothing of its host's, and its standard streams read and cut
// short by the host. It runs from the very bytes whose digest was taken: the file is
// opened once and copied while it is hashed, into sealed memory on Linux, else into a
// private directory. It is killed with all it started when its [Process] is closed.
//
// Whatever goes wrong is a [*pluginapi.Error], and denies.
package pluginwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// A kind of plugin, by its names on the wire.
type kind struct{ service, method string }

var (
	checkers  = kind{"covenant.capability.v1.Checker", "Check"}
	redactors = kind{"covenant.redaction.v1.Redactor", "Find"}
)

const cookieKey = "PLUGIN_MAGIC_COOKIE"

// maxFrame is what a message may hold beside its JSON.
const maxFrame = pluginapi.MaxMessage + 64

func (k kind) handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: pluginapi.Version, MagicCookieKey: cookieKey, MagicCookieValue: k.service}
}

// quiet is a logger that is off. hclog's null logger is not known to be, and go-plugin
// would parse each line for it.
func quiet() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
}

// Serve is the main function of a capability plugin. It returns when the host has gone.
func Serve(checker pluginapi.Checker) {
	checkers.serve(func(ctx context.Context, msg []byte) ([]byte, error) { return check(ctx, checker, msg) })
}

// ServeRedactor is the main function of a redactor. It returns when the host has gone.
func ServeRedactor(r pluginapi.Redactor) {
	redactors.serve(func(ctx context.Context, msg []byte) ([]byte, error) { return find(ctx, r, msg) })
}

func (k kind) serve(answer answerer) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: k.handshake(),
		Plugins:         plugin.PluginSet{dispensed: &oneCall{kind: k, answer: answer}},
		Logger:          quiet(),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			last := &lastConn{}
			last.server = grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxFrame), grpc.StatsHandler(last))...)
			return last.server
		},
	})
}

// dispensed is what go-plugin calls the one service of a plugin.
const dispensed = "plugin"

// An answerer answers one message with another.
type answerer func(ctx context.Context, msg []byte) ([]byte, error)

// oneCall is both sides of a plugin, as go-plugin wants it.
type oneCall struct {
	plugin.NetRPCUnsupportedPlugin
	kind   kind
	answer answerer
}

func (p *oneCall) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: p.kind.service,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: p.kind.method,
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order is grpc's
				in := new(wrapperspb.BytesValue)
				if err := decode(in); err != nil {
					return nil, err
				}
				out, err := careful(ctx, p.answer, in.GetValue())
				if err != nil {
					return nil, err
				}
				return wrapperspb.Bytes(out), nil
			},
		}},
	}, p)
	return nil
}

func (p *oneCall) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// careful answers. A panic is an error of this message, not the end of the plugin.
func careful(ctx context.Context, answer answerer, msg []byte) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, status.Errorf(codes.Internal, "panic: %.200v", p)
		}
	}()
	return answer(ctx, msg)
}

// find asks a redactor.
func find(ctx context.Context, r pluginapi.Redactor, msg []byte) ([]byte, error) {
	texts, err := pluginapi.DecodeTexts(msg)
	if err != nil {
		return nil, status.Errorf(badRequest(err), "%v", err)
	}
	found, err := r.Find(ctx, texts)
	if err != nil {
		return nil, status.Errorf(codes.Unknown, "%.1000s", err.Error())
	}
	out, err := pluginapi.EncodeFound(found)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "%v", err)
	}
	return out, nil
}

// check asks a checker.
func check(ctx context.Context, checker pluginapi.Checker, msg []byte) ([]byte, error) {
	requests, err := pluginapi.DecodeBatch(msg)
	if err != nil {
		return nil, status.Errorf(badRequest(err), "%v", err)
	}
	answers, err := checker.Check(ctx, requests)
	if err != nil {
		return nil, status.Errorf(codes.Unknown, "%.1000s", err.Error())
	}
	out, err := pluginapi.EncodeReply(answers)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "%v", err)
	}
	return out, nil
}

// badRequest is the code of a request that was not understood: FailedPrecondition says it
// is of another version.
func badRequest(err error) codes.Code {
	if errors.Is(err, pluginapi.ErrVersion) {
		return codes.FailedPrecondition
	}
	return codes.InvalidArgument
}

// ask sends one message and returns the one that came back.
func (k kind) ask(ctx context.Context, conn *grpc.ClientConn, msg []byte) ([]byte, error) {
	out := new(wrapperspb.BytesValue)
	err := conn.Invoke(ctx, "/"+k.service+"/"+k.method, wrapperspb.Bytes(msg), out, grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame))
	return out.GetValue(), err
}

// failureOf says what the error of a call means. gone reports whether the process has ended.
func (k kind) failureOf(err error, gone bool) (pluginapi.Failure, error) {
	s := status.Convert(err)
	said := fmt.Errorf("%.1000s", s.Message())
	switch s.Code() {
	case codes.DeadlineExceeded, codes.Canceled:
		if gone {
			return pluginapi.Died, said
		}
		return pluginapi.Timeout, said
	case codes.Unavailable:
		return pluginapi.Died, said
	case codes.Unimplemented:
		return pluginapi.OtherVersion, fmt.Errorf("it does not serve %s: %w", k.service, said)
	case codes.FailedPrecondition:
		return pluginapi.OtherVersion, said
	case codes.ResourceExhausted:
		return pluginapi.Garbage, said
	}
	if gone {
		return pluginapi.Died, said
	}
	return pluginapi.Failed, said
}

// lastConn ends a plugin whose host has gone without a word, where the kernel does not.
type lastConn struct {
	mu     sync.Mutex
	open   int
	server *grpc.Server
}

func (l *lastConn) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (l *lastConn) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (l *lastConn) HandleRPC(context.Context, stats.RPCStats)                         {}

func (l *lastConn) HandleConn(_ context.Context, s stats.ConnStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s.(type) {
	case *stats.ConnBegin:
		l.open++
	case *stats.ConnEnd:
		if l.open--; l.open == 0 {
			go l.server.Stop()
		}
	}
}
