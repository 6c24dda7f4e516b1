package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "parsl-collector/clients/go/collectorpb"
)

const (
	// A collector that is restarted is back within tenths of a second; one that is away for an hour must not find
	// 10,000 senders asking twice a second.
	shortestPause = 50 * time.Millisecond
	longestPause  = 5 * time.Second

	connectTimeout = 10 * time.Second
)

// errEnded stands for the status OK of a stream that we had not ended.
var errEnded = errors.New("the collector ended the stream")

// cures say what helps against a status that another attempt will bring again.
var cures = map[codes.Code]string{
	codes.Unauthenticated:  "give the collector's token in Options.Token",
	codes.PermissionDenied: "give a token that may write this run",
	codes.Unimplemented:    "no collector listens there, check the address",
	codes.NotFound:         "no collector listens there, check the address",
}

// run has one stream after the other until everything is told, ctx ends, or the collector refuses us for good.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	for {
		trouble := c.stream(ctx)
		c.mu.Lock()
		end := c.endAfter(ctx, trouble)
		isNews := c.trouble == nil
		c.err = end
		c.trouble = trouble
		c.failures++
		pause := pauseAfter(c.failures)
		c.window.rewind()
		c.changed.Broadcast()
		c.mu.Unlock()

		switch {
		case end == ErrClosed:
			return
		case end != nil:
			c.options.OnConnection(end)
			return
		case isNews:
			c.options.OnConnection(trouble)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// endAfter tells why no stream follows on one that ended with err; nil when another is to be tried. To be called with
// the lock, before the rewind.
func (c *Client) endAfter(ctx context.Context, err error) error {
	if c.window.closed || ctx.Err() != nil {
		return ErrClosed
	}
	code := status.Code(err)
	if cure, isFinal := cures[code]; isFinal {
		return fmt.Errorf("stream to collector %s: %w; %s", c.address, err, cure)
	}
	// The same status for a message that is over a limit, and will be each time, and for a peer that has no room now.
	isRefusal := code == codes.InvalidArgument ||
		code == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max")
	if isRefusal && !c.window.refuse(unreadable(err)) {
		return fmt.Errorf("stream to collector %s: refused, and no message is to blame: %w", c.address, err)
	}
	return nil
}

// pauseAfter draws the pause before the next attempt, so that senders which lost the same collector do not come back
// as one.
func pauseAfter(failures int) time.Duration {
	ceiling := min(longestPause, shortestPause<<min(failures, 10))
	return shortestPause + rand.N(ceiling-shortestPause)
}

// unreadable is what the collector keeps as rejected in place of a message that it refuses to receive.
func unreadable(reason error) []byte {
	text := strings.ToValidUTF8("refused on its way to the collector: "+reason.Error(), "\uFFFD")
	// Fails for texts that are not UTF-8 alone.
	bytes, _ := proto.Marshal(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_UnreadableMessage{
		UnreadableMessage: &pb.UnreadableMessage{Reason: &text},
	}})
	return bytes
}

// stream connects, sends, and takes acknowledgements until the stream ends, and returns why it did. Each attempt has
// a connection of its own, since gRPC would make the next one after pauses of its own.
func (c *Client) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient(c.address, c.dialOptions()...)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.options.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.options.Token)
	}
	deadline := time.AfterFunc(connectTimeout, cancel)
	stream, err := pb.NewCollectorServiceClient(conn).StreamMessages(ctx)
	if !deadline.Stop() {
		return fmt.Errorf("connect to %s: no answer within %v", c.address, connectTimeout)
	}
	if err != nil {
		return err
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(ctx, stream)
	}()
	err = c.read(stream)
	cancel()
	<-written
	return err
}

func (c *Client) dialOptions() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if c.options.TLS != nil {
		transport = credentials.NewTLS(c.options.TLS)
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		// A broken connection without a word is noticed by its pings alone.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		// Retries of gRPC's would keep all that was sent on a stream, for as long as it lives.
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		// Clusters set http_proxy on compute nodes, and it leads to no collector.
		grpc.WithNoProxy(),
		// An acknowledgement of many rejections is long.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
	}
}

type messageStream = grpc.BidiStreamingClient[pb.StreamMessagesRequest, pb.StreamMessagesResponse]

// write sends envelopes until the stream ends, and ends it when everything is told.
func (c *Client) write(ctx context.Context, stream messageStream) {
	for {
		envelope, err := c.nextEnvelope(ctx)
		switch {
		case err != nil:
			return
		case envelope == nil:
			stream.CloseSend()
			return
		}
		// read learns why it fails.
		if stream.Send(&pb.StreamMessagesRequest{Envelope: envelope}) != nil {
			return
		}
	}
}

// nextEnvelope waits for an envelope to send, or until it is time for a heartbeat; nil when there will be none.
func (c *Client) nextEnvelope(ctx context.Context) (*pb.Envelope, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	isHeartbeat := false
	for !isHeartbeat {
		err := c.waitFor(ctx, c.options.heartbeat, func() bool { return c.window.ready() || c.window.closed })
		if err == nil {
			break
		}
		if err != context.DeadlineExceeded {
			return nil, err
		}
		// It keeps a run from being taken for lost: whoever names none needs none.
		isHeartbeat = c.options.RunID != "" && c.window.idle()
	}
	if c.window.closed {
		return nil, nil
	}
	envelope := c.window.next()
	envelope.SenderId = c.senderID
	envelope.RunId = c.options.RunID
	if isHeartbeat {
		return envelope, nil
	}
	_, offset := time.Now().Zone()
	envelope.Hostname = c.options.Hostname
	envelope.UtcOffsetSeconds = proto.Int32(int32(offset))
	return envelope, nil
}

// read takes acknowledgements until the stream ends, and returns why it did.
func (c *Client) read(stream messageStream) error {
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return errEnded
		}
		if err != nil {
			return err
		}
		for _, acknowledgement := range response.GetAcknowledgements() {
			if err := c.acknowledge(acknowledgement); err != nil {
				return err
			}
		}
	}
}

func (c *Client) acknowledge(acknowledgement *pb.Acknowledgement) error {
	c.mu.Lock()
	if err := c.window.acknowledge(acknowledgement); err != nil {
		c.mu.Unlock()
		return err
	}
	rejections := acknowledgement.GetRejections()
	c.rejected += uint64(len(rejections))
	recovered := c.trouble != nil
	c.trouble = nil
	c.failures = 0
	c.changed.Broadcast()
	c.mu.Unlock()

	if recovered {
		c.options.OnConnection(nil)
	}
	for _, rejection := range rejections {
		c.options.OnRejected(rejection.GetSequence(), rejection.GetReason())
	}
	return nil
}
