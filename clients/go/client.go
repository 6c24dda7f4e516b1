// Package collector sends monitoring messages to a parsl-collector and loses none: a message whose Send returned is
// kept until the collector has it on its disk, and sent again after every broken connection. The messages are those
// of package collectorpb.
package collector

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "parsl-collector/clients/go/collectorpb"
)

// The collector takes requests of 64 MiB, and a text that is cut to fit is better cut long before.
const maxMessageBytes = 32 << 20

//go:generate ../../node_modules/.bin/buf generate ../.. --template buf.gen.yaml

// ErrClosed is what Send returns after Close.
var ErrClosed = errors.New("the client is closed")

// A Client is one sender. Its methods may be called from any number of goroutines.
type Client struct {
	address  string
	options  Options
	senderID string
	// The run of a stream ends with it.
	cancel context.CancelFunc
	// Closed when nothing is sent any more.
	done chan struct{}

	mu sync.Mutex
	// Tells of every change of what is below.
	changed  sync.Cond
	window   window
	rejected uint64
	failures int   // since the last acknowledgement
	trouble  error // what the last failure was, until the next acknowledgement
	err      error // why nothing is sent any more
}

// Stats counts a client's messages.
type Stats struct {
	Sent uint64
	// On the collector's disk, the rejected ones among them.
	Acknowledged uint64
	// Those that no table takes; the collector keeps them with the reason.
	Rejected uint64
}

// Connect returns a client for the collector at address, as "127.0.0.1:4711". It returns at once, and fails only for
// options that cannot be: the connection is made in the background, and made again for ever. Close the client, or
// what was sent last may be lost.
func Connect(address string, options Options) (*Client, error) {
	options, err := options.withDefaults(address)
	if err != nil {
		return nil, fmt.Errorf("connect to collector: %w", err)
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		address:  address,
		options:  options,
		senderID: hex.EncodeToString(id[:]),
		cancel:   cancel,
		done:     make(chan struct{}),
	}
	c.changed.L = &c.mu
	go c.run(ctx)
	return c, nil
}

// Send takes a message, which the caller may change afterwards. It waits while the messages that are not acknowledged
// have more than Options.BufferBytes, and fails when ctx ends first, when the message cannot be serialized or has more
// than 32 MiB, after Close, and once the collector has refused the client for good; then the message was not taken.
func (c *Client) Send(ctx context.Context, message *pb.MonitoringMessage) error {
	bytes, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if len(bytes) > maxMessageBytes {
		return fmt.Errorf("send: the message has %d bytes, at most %d are taken; cut its longest text", len(bytes), maxMessageBytes)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.wait(ctx, func() bool { return c.window.bytes <= c.options.BufferBytes || c.window.closing })
	switch {
	case err != nil:
		return fmt.Errorf("send: %w", err)
	case c.err != nil:
		return fmt.Errorf("send: %w", c.err)
	case c.window.closing:
		return fmt.Errorf("send: %w", ErrClosed)
	}
	c.window.take(bytes)
	if c.window.ready() {
		c.changed.Broadcast()
	}
	return nil
}

// Flush waits until the collector has everything on its disk that was sent before.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.window.last()
	if err := c.wait(ctx, func() bool { return c.window.acknowledged >= last }); err != nil {
		return c.unfinished("flush", err)
	}
	return nil
}

// Close takes no more messages, waits until the collector has everything and knows that nothing follows, and ends the
// client. When ctx ends first, or the collector has refused the client for good, what is left is given up, and the
// error tells how much that is.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.window.closing = true
	if c.window.last() == 0 {
		c.window.closed = true // whoever never sent a message need not say that it is over
		c.cancel()
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.cancel()
		<-c.done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.window.closed {
		return nil
	}
	if cause := ctx.Err(); cause != nil && errors.Is(c.err, ErrClosed) {
		return c.unfinished("close", cause)
	}
	return c.unfinished("close", c.err)
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Sent: c.window.last(), Acknowledged: c.window.acknowledged, Rejected: c.rejected}
}

// wait returns when done holds, and fails when ctx or the client ends before. To be called with the lock.
func (c *Client) wait(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer stop()
	for !done() {
		if err := cmp.Or(c.err, ctx.Err()); err != nil {
			return err
		}
		c.changed.Wait()
	}
	return nil
}

// waitFor is wait that fails with context.DeadlineExceeded after a time. To be called with the lock.
func (c *Client) waitFor(ctx context.Context, most time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return c.wait(ctx, done)
}

// unfinished says what an act that failed has left. To be called with the lock.
func (c *Client) unfinished(act string, cause error) error {
	err := fmt.Errorf("%s: collector %s has not acknowledged %d of %d messages: %w",
		act, c.address, len(c.window.messages), c.window.last(), cause)
	if c.trouble != nil && !errors.Is(cause, c.trouble) {
		err = fmt.Errorf("%w (%w)", err, c.trouble)
	}
	return err
}
