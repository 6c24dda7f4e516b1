package collector_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"parsl-collector/clients/go/batch"
	pb "parsl-collector/clients/go/collectorpb"
	"parsl-collector/clients/go/datagram"
	"parsl-collector/clients/go/internal/records"
	"parsl-collector/clients/go/spool"
)

func TestEnvelopesComeBackByteForByte(t *testing.T) {
	var vectors map[string]struct {
		Envelope hexBytes
		JSON     json.RawMessage
	}
	readVectors(t, "envelope.json", &vectors)
	for name, vector := range vectors {
		t.Run(name, func(t *testing.T) {
			var parsed, fromJSON pb.Envelope
			check(t, proto.Unmarshal(vector.Envelope, &parsed))
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&parsed)
			check(t, err)
			wantBytes(t, again, vector.Envelope)

			check(t, protojson.Unmarshal(vector.JSON, &fromJSON))
			again, err = proto.MarshalOptions{Deterministic: true}.Marshal(&fromJSON)
			check(t, err)
			wantBytes(t, again, vector.Envelope)
		})
	}
}

func TestBatches(t *testing.T) {
	faults := map[string]error{
		"": nil, "empty": batch.ErrEmpty, "truncated": batch.ErrTruncated, "damaged": batch.ErrDamaged, "foreign": batch.ErrForeign,
	}
	var vectors map[string]struct {
		Envelopes []hexBytes
		Fault     string
	}
	readVectors(t, "batch.json", &vectors)
	for name, vector := range vectors {
		t.Run(name, func(t *testing.T) {
			file := readVector(t, name)

			envelopes, err := batch.Decode(file)

			want, known := faults[vector.Fault]
			if !known || !errors.Is(err, want) {
				t.Errorf("fault %v, want %q", err, vector.Fault)
			}
			wantAll(t, envelopes, vector.Envelopes)
			wantSameRecords(t, file, "PCBATCH1")
			again, err := batch.Decode(batch.Encode(envelopes...))
			check(t, err)
			wantAll(t, again, vector.Envelopes)
			if name == "batch.bin" {
				wantBytes(t, batch.Encode(envelopes...), file)
			}
		})
	}
}

func TestSegments(t *testing.T) {
	var vectors map[string]struct {
		Owner     spool.Owner
		Envelopes []hexBytes
		RestBytes int `json:"rest_bytes"`
		Foreign   bool
	}
	readVectors(t, "segment.json", &vectors)
	for name, vector := range vectors {
		t.Run(name, func(t *testing.T) {
			file := readVector(t, name)

			owner, envelopes, restBytes, err := spool.Decode(file)

			if vector.Foreign {
				if !errors.Is(err, spool.ErrForeign) {
					t.Errorf("error %v, want %v", err, spool.ErrForeign)
				}
				return
			}
			check(t, err)
			wantAll(t, envelopes, vector.Envelopes)
			if restBytes != vector.RestBytes {
				t.Errorf("%d bytes left, want %d", restBytes, vector.RestBytes)
			}
			if !reflect.DeepEqual(owner, vector.Owner) {
				t.Errorf("owner %+v, want %+v", owner, vector.Owner)
			}
			wantSameRecords(t, file, "PCSPOOL1")
			written, err := spool.Begin(owner)
			check(t, err)
			for _, envelope := range envelopes {
				written = spool.Append(written, envelope)
			}
			again, envelopes, restBytes, err := spool.Decode(written)
			check(t, err)
			if !reflect.DeepEqual(again, vector.Owner) || restBytes != 0 {
				t.Errorf("owner %+v, want %+v; %d bytes left", again, vector.Owner, restBytes)
			}
			wantAll(t, envelopes, vector.Envelopes)
		})
	}
}

func TestDatagrams(t *testing.T) {
	faults := map[string]error{"malformed": datagram.ErrMalformed, "forged": datagram.ErrForged}
	var vectors struct {
		Sealed []struct {
			Key, Stream, Envelope, Datagram hexBytes
			Counter                         uint64
		}
		Refused []struct {
			Why           string
			Key, Datagram hexBytes
		}
		Split []struct {
			Envelope, Note hexBytes
			MostBytes      int `json:"most_bytes"`
			Parts          []hexBytes
		}
	}
	readVectors(t, "datagram.json", &vectors)
	for _, vector := range vectors.Sealed {
		stream, counter, envelope, err := datagram.Open(vector.Key, vector.Datagram)
		check(t, err)
		if counter != vector.Counter {
			t.Errorf("counter %d, want %d", counter, vector.Counter)
		}
		wantBytes(t, stream[:], vector.Stream)
		wantBytes(t, envelope, vector.Envelope)
		wantBytes(t, datagram.Seal(vector.Key, datagram.Stream(vector.Stream), vector.Counter, vector.Envelope), vector.Datagram)
	}
	for i, vector := range vectors.Refused {
		if _, _, _, err := datagram.Open(vector.Key, vector.Datagram); err == nil || !errors.Is(err, faults[vector.Why]) {
			t.Errorf("refused %d: error %v, want %q", i, err, vector.Why)
		}
	}
	for _, vector := range vectors.Split {
		parts, note, err := datagram.Split(vector.Envelope, vector.MostBytes)
		check(t, err)
		wantAll(t, parts, vector.Parts)
		wantBytes(t, note, vector.Note)
	}
	if len(vectors.Sealed) == 0 || len(vectors.Refused) == 0 || len(vectors.Split) == 0 {
		t.Error("datagram.json: a part is missing")
	}
}

// hexBytes are written in JSON as hexadecimal digits.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) error {
	decoded, err := hex.DecodeString(string(text))
	*b = decoded
	return err
}

func readVector(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "tests", "vectors", name))
	check(t, err)
	return file
}

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	check(t, json.Unmarshal(readVector(t, name), into))
}

// wantSameRecords takes the whole records of a file apart, unknown kinds too, and puts them together again.
func wantSameRecords(t *testing.T, file []byte, magic string) {
	t.Helper()
	whole, rest, ok := records.Read(file, magic)
	if !ok {
		return
	}
	again := []byte(magic)
	for _, record := range whole {
		again = records.Append(again, record.Kind, record.Payload)
	}
	wantBytes(t, again, file[:len(file)-len(rest)])
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func wantAll(t *testing.T, got [][]byte, want []hexBytes) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d envelopes, want %d", len(got), len(want))
	}
	for i := range got {
		wantBytes(t, got[i], want[i])
	}
}
