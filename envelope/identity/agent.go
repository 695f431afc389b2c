package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const (
	// listTimeout bounds how long an agent may take to list its keys.
	listTimeout = 10 * time.Second
	// signTimeout bounds how long an agent may take to sign: its user may have to find the
	// security key, touch it, or confirm.
	signTimeout = 3 * time.Minute
	// maxAgentBytes bounds what is read from an agent in one conversation. OpenSSH's own limit of
	// one message is 256 KiB.
	maxAgentBytes = 1 << 20
)

// AgentKeys returns the accepted keys that the ssh-agent at the Unix socket sock holds, in its order.
// Certificates and other kinds that ParsePublicKey refuses are left out. The error wraps ErrNoAgent if
// nothing answers there.
func AgentKeys(sock string) ([]PublicKey, error) {
	keys, err := listAgent(sock)
	if err != nil {
		return nil, err
	}
	public := make([]PublicKey, len(keys))
	for i, key := range keys {
		public[i] = key
	}
	return public, nil
}

// FromAgent returns a signer that asks the ssh-agent at the Unix socket sock (draft-miller-ssh-agent)
// each time. keyID is the ID of the key, or empty for the only key the agent holds. The error wraps
// ErrNoAgent if nothing answers, ErrNoKey if the key is not there or several are and none is named.
//
// Sign of the result connects anew, waits up to three minutes for the agent's user, checks the
// signature, and returns ErrRefused if the agent would not sign.
func FromAgent(sock, keyID string) (Signer, error) {
	keys, err := listAgent(sock)
	if err != nil {
		return nil, err
	}
	if keyID == "" && len(keys) > 1 {
		return nil, fmt.Errorf("%w: the ssh-agent holds %d keys and none was named", ErrNoKey, len(keys))
	}
	for _, key := range keys {
		if keyID == "" || key.ID() == keyID {
			remote := &agentKey{sock: sock, key: key.key}
			if key.key.Type() == ssh.KeyAlgoED25519 {
				return &agentSigner{public: key, remote: remote}, nil
			}
			return &wrapSigner{public: key, signer: remote}, nil
		}
	}
	return nil, fmt.Errorf("%w: the ssh-agent does not hold %s", ErrNoKey, keyID)
}

// agentSigner signs with a plain ed25519 key in an agent.
type agentSigner struct {
	public *sshKey
	remote *agentKey
}

func (s *agentSigner) Public() PublicKey { return s.public }

func (s *agentSigner) Sign(msg []byte) ([]byte, error) {
	if err := checkMessage(msg); err != nil {
		return nil, err
	}
	sig, err := s.remote.Sign(nil, msg)
	if err != nil {
		return nil, fmt.Errorf("signing with %s: %w", s.public.ID(), err)
	}
	if sig.Format != ssh.KeyAlgoED25519 || len(sig.Rest) != 0 || len(sig.Blob) != ed25519.SignatureSize {
		return nil, fmt.Errorf("signing with %s: %w: the ssh-agent answered with another kind of signature", s.public.ID(), ErrSignature)
	}
	if err := s.public.Verify(msg, sig.Blob); err != nil {
		return nil, fmt.Errorf("checking the ssh-agent's signature: %w", err)
	}
	return sig.Blob, nil
}

// agentKey is one key of an agent as an ssh.AlgorithmSigner.
type agentKey struct {
	sock string
	key  ssh.PublicKey
}

func (k *agentKey) PublicKey() ssh.PublicKey { return k.key }

func (k *agentKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	return k.sign(data, 0)
}

func (k *agentKey) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	switch algorithm {
	case k.key.Type():
		return k.sign(data, 0)
	case ssh.KeyAlgoRSASHA512:
		return k.sign(data, agent.SignatureFlagRsaSha512)
	}
	return nil, fmt.Errorf("%w: algorithm %s", ErrKeyType, algorithm)
}

func (k *agentKey) sign(data []byte, flags agent.SignatureFlags) (*ssh.Signature, error) {
	c, err := dialAgent(k.sock, signTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	sig, err := c.SignWithFlags(k.key, data, flags)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, c.fault(err))
	}
	if size := rsaSize(k.key); size > 0 && len(sig.Blob) < size {
		// Some agents leave out leading zero bytes (RFC 8332, section 3 wants them).
		padded := make([]byte, size)
		copy(padded[size-len(sig.Blob):], sig.Blob)
		sig.Blob = padded
	}
	return sig, nil
}

func listAgent(sock string) ([]*sshKey, error) {
	c, err := dialAgent(sock, listTimeout)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.List()
	if err != nil {
		return nil, fmt.Errorf("listing the keys of the ssh-agent at %s: %w: %w", sock, ErrNoAgent, c.fault(err))
	}
	var keys []*sshKey
	for _, entry := range list {
		if key, err := parseWire(entry.Blob); err == nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// conversation is a connection to an agent that ends after a while.
type conversation struct {
	agent.ExtendedAgent
	conn  net.Conn
	timer *time.Timer
}

var errAgentSlow = errors.New("the ssh-agent took too long")

// fault returns err, or the reason behind it when the time is up.
func (c *conversation) fault(err error) error {
	if !c.timer.Stop() {
		return errAgentSlow
	}
	return err
}

func (c *conversation) Close() {
	c.timer.Stop()
	c.conn.Close()
}

func dialAgent(sock string, timeout time.Duration) (*conversation, error) {
	if sock == "" {
		return nil, fmt.Errorf("%w: no socket is named", ErrNoAgent)
	}
	conn, err := net.DialTimeout("unix", sock, listTimeout)
	if err != nil {
		return nil, fmt.Errorf("%w at %s: %w", ErrNoAgent, sock, err)
	}
	// Without a Close method in sight the client needs no goroutine of its own.
	stream := struct {
		io.Reader
		io.Writer
	}{io.LimitReader(conn, maxAgentBytes), conn}
	return &conversation{
		ExtendedAgent: agent.NewClient(stream),
		conn:          conn,
		timer:         time.AfterFunc(timeout, func() { conn.Close() }),
	}, nil
}
