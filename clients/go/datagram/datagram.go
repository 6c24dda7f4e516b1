// Package datagram is the format of the UDP radio: one envelope a datagram, sealed with the run's key. Pace, sizes
// and the repeats of the closing note are in docs/WIRE.md.
package datagram

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	magic     = "PCU1"
	headBytes = len(magic) + sha256.Size + 16 + 8

	maxCounter = 1<<53 - 1
)

// Why bytes are no datagram of the run.
var (
	ErrMalformed = errors.New("open datagram: too short, not beginning with " + magic + ", or a counter beyond 1 to 2^53 - 1")
	ErrForged    = errors.New("open datagram: not sealed with this key")
)

// A Stream names the datagrams of one socket: random bytes, drawn anew for each.
type Stream [16]byte

// Seal returns the datagram with a serialized Envelope. counter is 1, 2, 3, … with each datagram of the stream,
// sent again or not; key is the bytes of the collector's --key-file.
func Seal(key []byte, stream Stream, counter uint64, envelope []byte) []byte {
	datagram := make([]byte, len(magic)+sha256.Size, headBytes+len(envelope))
	copy(datagram, magic)
	datagram = append(datagram, stream[:]...)
	datagram = binary.BigEndian.AppendUint64(datagram, counter)
	datagram = append(datagram, envelope...)
	copy(datagram[len(magic):], seal(key, datagram))
	return datagram
}

// Open returns what Seal was given, or ErrMalformed or ErrForged. The envelope shares the datagram's memory.
func Open(key, datagram []byte) (stream Stream, counter uint64, envelope []byte, err error) {
	if len(datagram) < headBytes || string(datagram[:len(magic)]) != magic {
		return Stream{}, 0, nil, ErrMalformed
	}
	counter = binary.BigEndian.Uint64(datagram[headBytes-8:])
	if counter == 0 || counter > maxCounter {
		return Stream{}, 0, nil, ErrMalformed
	}
	if !hmac.Equal(seal(key, datagram), datagram[len(magic):len(magic)+sha256.Size]) {
		return Stream{}, 0, nil, ErrForged
	}
	return Stream(datagram[headBytes-24:]), counter, datagram[headBytes:], nil
}

// seal is the HMAC of everything behind it in the datagram.
func seal(key, datagram []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(datagram[len(magic)+sha256.Size:])
	return mac.Sum(nil)
}
