package collector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
	"unicode/utf8"
)

const (
	defaultBufferBytes = 32 << 20
	// Longest name of a run or a host, in characters, that the collector takes.
	maxNameLength = 256
	// The collector takes a run for lost of which it has not heard for 90 s.
	heartbeatInterval = 30 * time.Second
)

// Options say who sends, and how. The zero value sends without TLS and names no run.
type Options struct {
	// The run of every message that has no run_id of its own; 256 characters at most.
	RunID string
	// The host of every message that has no hostname of its own; 256 characters at most. Default: this host's name.
	Hostname string
	// Send waits while messages of more than so many bytes are not acknowledged. Default: 32 MiB.
	BufferBytes int
	// Nil for a connection without TLS. RootCAs is whom to trust (see TrustFile), Certificates what is shown to a
	// collector that asks for one, ServerName another name than the address's for which its certificate is good.
	TLS *tls.Config
	// Shown to the collector with each stream. Without TLS everybody on the way can read it.
	Token string
	// Called for each message that the collector keeps as rejected because no table takes it; it is not sent again.
	// Default: a warning of slog's. Calls come one after the other and hold up the client: return soon, and do not
	// call Send, Flush or Close.
	OnRejected func(sequence uint64, reason string)
	// Called once when the connection is in trouble, with nil once the collector acknowledges again, and when it has
	// refused the client for good. Default: a warning of slog's. The same holds for its calls.
	OnConnection func(trouble error)

	// Pause before a heartbeat; heartbeatInterval but in tests.
	heartbeat time.Duration
}

// TrustFile returns TLS options that trust the certificates in a PEM file, such as a collector's own collector.crt.
func TrustFile(path string) (*tls.Config, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates to trust: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read certificates to trust: %s holds no certificate in PEM form", path)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// withDefaults fills in what is not said and tells of everything that is wrong.
func (o Options) withDefaults(address string) (Options, error) {
	var faults []error
	if _, _, err := net.SplitHostPort(address); err != nil {
		faults = append(faults, fmt.Errorf("address: expected host:port, got %q", address))
	}
	if o.Hostname == "" {
		// A host without a name sends without one.
		o.Hostname, _ = os.Hostname()
	}
	for option, name := range map[string]string{"RunID": o.RunID, "Hostname": o.Hostname} {
		if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxNameLength {
			faults = append(faults, fmt.Errorf("%s: expected UTF-8 of at most %d characters, got %q", option, maxNameLength, name))
		}
	}
	if o.BufferBytes < 0 {
		faults = append(faults, fmt.Errorf("BufferBytes: expected a number from 0 up, got %d", o.BufferBytes))
	} else if o.BufferBytes == 0 {
		o.BufferBytes = defaultBufferBytes
	}
	if o.heartbeat == 0 {
		o.heartbeat = heartbeatInterval
	}
	if o.OnRejected == nil {
		o.OnRejected = func(sequence uint64, reason string) {
			slog.Warn("the collector rejected a message", "sequence", sequence, "reason", reason)
		}
	}
	if o.OnConnection == nil {
		o.OnConnection = func(trouble error) {
			if trouble == nil {
				slog.Info("the collector acknowledges again", "address", address)
			} else {
				slog.Warn("the collector does not acknowledge", "address", address, "error", trouble)
			}
		}
	}
	return o, errors.Join(faults...)
}
