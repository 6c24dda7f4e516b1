// Package spool is the format of a spool's segments: what a sender keeps on its own disk while no collector takes
// it. When segments are written, read and removed is in docs/WIRE.md.
package spool

import (
	"encoding/json"
	"errors"
	"fmt"

	"parsl-collector/clients/go/internal/records"
)

const magic = "PCSPOOL1"

const ownerKind = 1

// ErrForeign means that a file is no segment.
var ErrForeign = errors.New("decode segment: the file does not begin with " + magic + " and its owner")

// An Owner is the sender whose messages a segment holds, and the process that may still append to it.
type Owner struct {
	SenderID string `json:"sender_id"`
	RunID    string `json:"run_id"`
	Hostname string `json:"hostname"`
	PID      int    `json:"pid"`
	// Field 22 of /proc/<pid>/stat, in clock ticks since the host's boot; nil where there is none.
	ProcessStarted *uint64 `json:"process_started"`
}

// Begin returns the beginning of a new segment.
func Begin(owner Owner) ([]byte, error) {
	payload, err := json.Marshal(owner)
	if err != nil {
		return nil, fmt.Errorf("encode owner of segment: %w", err)
	}
	return records.Append([]byte(magic), ownerKind, payload), nil
}

// Append adds a serialized Envelope to a segment.
func Append(segment, envelope []byte) []byte {
	return records.Append(segment, records.Envelope, envelope)
}

// Decode returns the owner, the serialized Envelopes up to the first record that is short or fails its checksum,
// and the number of bytes from there on. Records of unknown kinds are skipped. The envelopes share the segment's
// memory.
func Decode(segment []byte) (owner Owner, envelopes [][]byte, restBytes int, err error) {
	whole, rest, _ := records.Read(segment, magic)
	if len(whole) == 0 || whole[0].Kind != ownerKind {
		return Owner{}, nil, 0, ErrForeign
	}
	if err := json.Unmarshal(whole[0].Payload, &owner); err != nil {
		return Owner{}, nil, 0, fmt.Errorf("decode owner of segment: %w", err)
	}
	for _, record := range whole[1:] {
		if record.Kind == records.Envelope {
			envelopes = append(envelopes, record.Payload)
		}
	}
	return owner, envelopes, len(rest), nil
}
