// Package records is the framing that a spool's segments and a shared directory's batches have in common: a magic
// of 8 bytes, then records of length, checksum, kind and payload.
package records

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// headBytes is what a record has before its payload: length (4), CRC-32 of kind and payload (4), kind (1).
const headBytes = 9

// Envelope is the kind of a record that holds the bytes of an Envelope.
const Envelope = 2

// A Record is one kind and its payload.
type Record struct {
	Kind    byte
	Payload []byte
}

// Append adds one record to a file.
func Append(file []byte, kind byte, payload []byte) []byte {
	start := len(file)
	file = binary.LittleEndian.AppendUint32(file, uint32(len(payload)))
	file = append(file, 0, 0, 0, 0, kind)
	file = append(file, payload...)
	binary.LittleEndian.PutUint32(file[start+4:], crc32.ChecksumIEEE(file[start+8:]))
	return file
}

// Read returns the records up to the first that is short or fails its checksum, and the rest from there on. ok is
// false when the file begins otherwise. Payloads share the file's memory.
func Read(file []byte, magic string) (whole []Record, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(file, []byte(magic))
	if !ok {
		return nil, file, false
	}
	for !IsShort(rest) {
		end := headBytes + int(binary.LittleEndian.Uint32(rest))
		if crc32.ChecksumIEEE(rest[8:end]) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		whole = append(whole, Record{Kind: rest[8], Payload: rest[headBytes:end:end]})
		rest = rest[end:]
	}
	return whole, rest, true
}

// IsShort tells whether the record at the beginning of rest ends in the middle, or is not there at all.
func IsShort(rest []byte) bool {
	return len(rest) < headBytes || uint64(len(rest)-headBytes) < uint64(binary.LittleEndian.Uint32(rest))
}
