package pluginapi

import (
	"encoding/json"
	"fmt"
)

// Batch is the message that asks a checker. Its configuration is that of every request in it.
type Batch struct {
	Version  int               `json:"version"`
	Config   map[string]string `json:"config,omitempty"`
	Requests []*Request        `json:"requests"`
}

// Reply is the message that answers a [Batch], one answer for each request and in their order.
type Reply struct {
	Version int      `json:"version"`
	Answers []Answer `json:"answers"`
}

// EncodeBatch writes requests that share a configuration. Their own Config is left out.
func EncodeBatch(config map[string]string, requests []*Request) ([]byte, error) {
	b := Batch{Version: Version, Config: config, Requests: make([]*Request, len(requests))}
	for i, r := range requests {
		bare := *r
		bare.Config = nil
		if err := bare.Validate(); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		b.Requests[i] = &bare
	}
	return encode(b)
}

// DecodeBatch reads requests, checks them, and gives each the configuration of the batch.
func DecodeBatch(msg []byte) ([]*Request, error) {
	if err := ofOurVersion(msg); err != nil {
		return nil, err
	}
	var b Batch
	if err := Decode(msg, &b); err != nil {
		return nil, err
	}
	for i, r := range b.Requests {
		if r == nil {
			return nil, fmt.Errorf("%w: request %d is null", ErrInvalid, i)
		}
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		r.Config = b.Config
	}
	return b.Requests, nil
}

// EncodeReply writes answers.
func EncodeReply(answers []Answer) ([]byte, error) {
	return encode(Reply{Version: Version, Answers: answers})
}

// DecodeReply reads the answers to requests, and checks that they are.
func DecodeReply(msg []byte, requests []*Request) ([]Answer, error) {
	if err := ofOurVersion(msg); err != nil {
		return nil, err
	}
	var r Reply
	if err := Decode(msg, &r); err != nil {
		return nil, err
	}
	return r.Answers, Match(requests, r.Answers)
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	case len(b) > MaxMessage:
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(b))
	}
	return b, nil
}

// ofOurVersion looks at the version first: what else a message of another version holds is unknown.
func ofOurVersion(msg []byte) error {
	if len(msg) > MaxMessage {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, len(msg))
	}
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(msg, &v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if v.Version != Version {
		return fmt.Errorf("%w: %d, not %d", ErrVersion, v.Version, Version)
	}
	return nil
}
