// Package batch is the file format of the filesystem radio: envelopes in one file of a shared directory. Where such
// files go, and how they are named and handed over, is in docs/WIRE.md.
package batch

import (
	"errors"
	"strings"

	"parsl-collector/clients/go/internal/records"
)

const magic = "PCBATCH1"

// Why a file is no batch, or not a whole one.
var (
	ErrEmpty     = errors.New("decode batch: the file is empty")
	ErrTruncated = errors.New("decode batch: the file ends in the middle of a record")
	ErrDamaged   = errors.New("decode batch: a record's checksum is wrong")
	ErrForeign   = errors.New("decode batch: the file does not begin with " + magic)
)

// Encode returns a file with these serialized Envelopes.
func Encode(envelopes ...[]byte) []byte {
	file := []byte(magic)
	for _, envelope := range envelopes {
		file = records.Append(file, records.Envelope, envelope)
	}
	return file
}

// Decode returns the serialized Envelopes up to the first fault, and that fault as one of the errors above.
// Records of unknown kinds are skipped. The envelopes share the file's memory.
func Decode(file []byte) (envelopes [][]byte, err error) {
	whole, rest, ok := records.Read(file, magic)
	for _, record := range whole {
		if record.Kind == records.Envelope {
			envelopes = append(envelopes, record.Payload)
		}
	}
	switch {
	case len(file) == 0:
		return nil, ErrEmpty
	case !ok && strings.HasPrefix(magic, string(file)):
		return nil, ErrTruncated
	case !ok:
		return nil, ErrForeign
	case len(rest) == 0:
		return envelopes, nil
	case records.IsShort(rest):
		return envelopes, ErrTruncated
	default:
		return envelopes, ErrDamaged
	}
}
