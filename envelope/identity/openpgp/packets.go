package openpgp

import (
	"encoding/binary"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// Packet types (RFC 9580, section 5).
const (
	tagSignature     = 2
	tagSecretKey     = 5
	tagPublicKey     = 6
	tagSecretSubkey  = 7
	tagTrust         = 12
	tagUserID        = 13
	tagPublicSubkey  = 14
	tagUserAttribute = 17
)

// maxPackets bounds how many packets are read from one text or file. A well-known key with years of
// certifications has some thousands.
const maxPackets = 20000

// A raw packet is its type and its content.
type raw struct {
	tag  byte
	body []byte
}

// split cuts b into packets with definite lengths, of either header format (RFC 9580, section 4.2);
// their bodies are parts of b. Lengths must be in their shortest form.
func split(b []byte) ([]raw, error) {
	var packets []raw
	for len(b) > 0 {
		if len(packets) == maxPackets {
			return nil, fmt.Errorf("%w: more than %d packets", identity.ErrKeyFormat, maxPackets)
		}
		tag, size, header, ok := readHeader(b)
		if !ok || size > uint64(len(b)-header) {
			return nil, fmt.Errorf("%w: packet %d has a broken header or is cut", identity.ErrKeyFormat, len(packets)+1)
		}
		end := header + int(size)
		packets = append(packets, raw{tag: tag, body: b[header:end:end]})
		b = b[end:]
	}
	return packets, nil
}

// readHeader returns type, length of the content and length of the header of the packet b begins with.
func readHeader(b []byte) (tag byte, size uint64, header int, ok bool) {
	first := b[0]
	var field int // length of the length
	switch {
	case first&0x80 == 0:
		return 0, 0, 0, false
	case first&0x40 == 0: // old format; 3 is a packet without a length
		if first&3 == 3 {
			return 0, 0, 0, false
		}
		tag, field = first>>2&0xf, 1<<(first&3)
		if len(b) < 1+field {
			return 0, 0, 0, false
		}
		for _, c := range b[1 : 1+field] {
			size = size<<8 | uint64(c)
		}
		shortest := field == 1 || (field == 2 && size > 0xff) || (field == 4 && size > 0xffff)
		return tag, size, 1 + field, shortest
	}
	tag = first & 0x3f
	switch {
	case len(b) < 2:
		return 0, 0, 0, false
	case b[1] < 192:
		return tag, uint64(b[1]), 2, true
	case b[1] < 224:
		if len(b) < 3 {
			return 0, 0, 0, false
		}
		return tag, uint64(b[1]-192)<<8 + uint64(b[2]) + 192, 3, true
	case b[1] == 255:
		if len(b) < 6 {
			return 0, 0, 0, false
		}
		size = uint64(binary.BigEndian.Uint32(b[2:]))
		return tag, size, 6, size >= 8384
	}
	return 0, 0, 0, false // a part of a packet
}

// join writes packets with headers of the current format.
func join(packets []raw) []byte {
	var b []byte
	for _, p := range packets {
		b = append(b, 0xc0|p.tag)
		switch n := len(p.body); {
		case n < 192:
			b = append(b, byte(n))
		case n < 8384:
			b = append(b, byte((n-192)>>8)+192, byte(n-192))
		default:
			b = binary.BigEndian.AppendUint32(append(b, 255), uint32(n))
		}
		b = append(b, p.body...)
	}
	return b
}
