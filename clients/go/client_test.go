package collector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	collector "parsl-collector/clients/go"
	pb "parsl-collector/clients/go/collectorpb"
)

const poison = "poison"

func TestMessagesThatAreRefusedAreFoundAndSetAside(t *testing.T) {
	poisonIsInvalid := func(envelope *pb.Envelope) error {
		for _, message := range envelope.Messages {
			if strings.HasPrefix(message.GetResourceInfo().GetPsutilProcessStatus(), poison) {
				return status.Error(codes.InvalidArgument, "I do not like this envelope")
			}
		}
		return nil
	}
	for reason, server := range map[string]*fakeCollector{
		"I do not like this envelope": {refuse: poisonIsInvalid},
		"larger than max":             {maxRequestBytes: 5000},
	} {
		t.Run(reason, func(t *testing.T) {
			var setAside []string
			client := connect(t, server, collector.Options{OnRejected: func(sequence uint64, told string) {
				setAside = append(setAside, fmt.Sprint(sequence))
				wantError(t, errors.New(told), reason)
			}})
			for n := 1; n <= 40; n++ {
				text := "sleeping"
				if n%20 == 7 {
					text = poison + strings.Repeat(".", 6000)
				}
				check(t, client.Send(t.Context(), sample(text)))
			}

			check(t, client.Close(t.Context()))

			server.stop()
			if got := strings.Join(setAside, " "); got != "7 27" {
				t.Errorf("set aside: %s", got)
			}
			if got, want := client.Stats(), (collector.Stats{Sent: 40, Acknowledged: 40, Rejected: 2}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			for sequence := uint64(1); sequence <= 40; sequence++ {
				isReplaced := server.stored[sequence].GetUnreadableMessage() != nil
				if isReplaced != (sequence%20 == 7) || !isReplaced && server.stored[sequence].GetResourceInfo() == nil {
					t.Errorf("message %d is %v", sequence, server.stored[sequence])
				}
			}
		})
	}
}

func TestAnEnvelopeThatIsRefusedWhateverItHoldsEndsTheClient(t *testing.T) {
	client := connect(t, &fakeCollector{refuse: func(*pb.Envelope) error {
		return status.Error(codes.InvalidArgument, "I do not like you")
	}}, collector.Options{})
	check(t, client.Send(t.Context(), sample("sleeping")))

	wantError(t, client.Flush(t.Context()), "no message is to blame", "I do not like you")
}

func TestARefusalForGoodEndsTheClient(t *testing.T) {
	cures := map[codes.Code]string{
		codes.Unauthenticated:  "token",
		codes.PermissionDenied: "token that may write this run",
		codes.Unimplemented:    "check the address",
		codes.NotFound:         "check the address",
	}
	for code, cure := range cures {
		t.Run(code.String(), func(t *testing.T) {
			server := &fakeCollector{refuse: func(*pb.Envelope) error { return status.Error(code, "go away") }}
			told := make(chan error, 1)
			client := connect(t, server, collector.Options{OnConnection: func(trouble error) { told <- trouble }})
			check(t, client.Send(t.Context(), sample("sleeping")))

			for act, err := range map[string]error{
				"hook":  <-told,
				"send":  client.Send(t.Context(), sample("sleeping")),
				"flush": client.Flush(t.Context()),
				"close": client.Close(t.Context()),
			} {
				if status.Code(err) != code {
					t.Errorf("%s: status of %v, want %v", act, err, code)
				}
				wantError(t, err, server.address, "go away", cure)
			}
			wantError(t, client.Close(t.Context()), "has not acknowledged 1 of 1 messages")
		})
	}
}

func TestALoneMessageLeavesAnIdleClientAtOnce(t *testing.T) {
	client := connect(t, &fakeCollector{}, collector.Options{})
	for range 3 {
		check(t, client.Send(t.Context(), sample("sleeping")))
		check(t, client.Flush(t.Context()))
	}
}

func TestSendWaitsAtTheBound(t *testing.T) {
	answers := make(chan struct{})
	client := connect(t, &fakeCollector{answers: answers}, collector.Options{BufferBytes: 1000})
	ended, end := context.WithCancel(t.Context())
	end()

	// A context that has ended tells a Send that would wait from one that need not.
	taken := uint64(0)
	for client.Send(ended, sample(strings.Repeat(".", 300))) == nil {
		taken++
	}

	if stats := client.Stats(); taken != 4 || stats.Sent != taken {
		t.Errorf("%d taken, %+v; want 4", taken, stats)
	}
	if err := client.Send(ended, sample("")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waiting := make(chan error)
	go func() { waiting <- client.Send(t.Context(), sample("")) }()
	close(answers)
	check(t, <-waiting)
	check(t, client.Close(t.Context()))
}

func TestAMessageThatNoEnvelopeHoldsIsNotTaken(t *testing.T) {
	client := connect(t, &fakeCollector{}, collector.Options{})

	wantError(t, client.Send(t.Context(), sample(strings.Repeat(".", 32<<20))), "cut its longest text")
	wantError(t, client.Send(t.Context(), sample("\xff")), "invalid UTF-8")

	if stats := client.Stats(); stats.Sent != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestCloseSaysThatNothingFollows(t *testing.T) {
	server := &fakeCollector{breakBeforeAnswer: 3}
	client := connect(t, server, collector.Options{RunID: "run", Hostname: "host"})
	var senders sync.WaitGroup
	for range 12 {
		senders.Go(func() {
			for range 100 {
				if err := client.Send(t.Context(), sample("sleeping")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()

	check(t, client.Close(t.Context()))
	check(t, client.Close(t.Context()))

	server.stop()
	if server.note != 1200 || len(server.stored) != 1200 || !server.halfClosed {
		t.Errorf("note %d, %d stored, half-closed %v", server.note, len(server.stored), server.halfClosed)
	}
	if server.runID != "run" || server.hostname != "host" {
		t.Errorf("run %q, host %q", server.runID, server.hostname)
	}
	if err := client.Send(t.Context(), sample("")); !errors.Is(err, collector.ErrClosed) {
		t.Error(err)
	}
}

func TestAnIdleClientOfARunIsHeardOf(t *testing.T) {
	server := &fakeCollector{heartbeats: make(chan *pb.Envelope)}
	client := connect(t, server, collector.Options{RunID: "run"}.WithHeartbeat(time.Millisecond))
	check(t, client.Send(t.Context(), sample("sleeping")))

	for range 2 {
		heartbeat := <-server.heartbeats
		if want := (&pb.Envelope{SenderId: heartbeat.SenderId, RunId: "run"}); !proto.Equal(heartbeat, want) {
			t.Errorf("%v, want %v", heartbeat, want)
		}
	}
	go func() {
		for range server.heartbeats {
		}
	}()

	check(t, client.Close(t.Context()))
	server.stop()
	close(server.heartbeats)
	if got, want := client.Stats(), (collector.Stats{Sent: 1, Acknowledged: 1}); got != want || server.note != 1 {
		t.Errorf("%+v, note %d, want %+v", got, server.note, want)
	}
}

func TestCloseTellsWhatItGivesUp(t *testing.T) {
	client := connect(t, &fakeCollector{answers: make(chan struct{})}, collector.Options{})
	for range 3 {
		check(t, client.Send(t.Context(), sample("sleeping")))
	}
	ended, end := context.WithCancel(t.Context())
	end()

	err := client.Close(ended)

	wantError(t, err, "has not acknowledged 3 of 3 messages")
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAClientThatSentNothingClosesWithoutACollector(t *testing.T) {
	client, err := collector.Connect("127.0.0.1:1", collector.Options{OnConnection: func(error) {}})
	check(t, err)

	check(t, client.Close(t.Context()))
}

func TestOptionsThatCannotBeAreTold(t *testing.T) {
	_, err := collector.Connect("nowhere", collector.Options{RunID: strings.Repeat("r", 257), BufferBytes: -1})

	wantError(t, err, `expected host:port, got "nowhere"`, "RunID", "BufferBytes")
}

// fakeCollector keeps what it acknowledges.
type fakeCollector struct {
	pb.UnimplementedCollectorServiceServer
	refuse          func(*pb.Envelope) error
	maxRequestBytes int
	// Nil to answer at once; otherwise it answers once this is closed.
	answers chan struct{}
	// So many envelopes end their stream once they are stored, in place of an answer.
	breakBeforeAnswer int
	// Is told of envelopes that hold nothing, where it is not nil.
	heartbeats chan *pb.Envelope

	address string
	stop    func()

	mu              sync.Mutex
	stored          map[uint64]*pb.MonitoringMessage
	note            uint64
	halfClosed      bool
	runID, hostname string
}

// connect starts the server and returns a client of it.
func connect(t *testing.T, server *fakeCollector, options collector.Options) *collector.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server.address = listener.Addr().String()
	server.stored = map[uint64]*pb.MonitoringMessage{}
	var serverOptions []grpc.ServerOption
	if server.maxRequestBytes > 0 {
		serverOptions = append(serverOptions, grpc.MaxRecvMsgSize(server.maxRequestBytes))
	}
	service := grpc.NewServer(append(serverOptions, grpc.WaitForHandlers(true))...)
	server.stop = service.Stop
	pb.RegisterCollectorServiceServer(service, server)
	go service.Serve(listener)
	t.Cleanup(service.Stop)

	if options.OnConnection == nil {
		options.OnConnection = func(error) {}
	}
	client, err := collector.Connect(server.address, options)
	check(t, err)
	t.Cleanup(func() {
		ended, end := context.WithCancel(context.Background())
		end()
		client.Close(ended)
	})
	return client
}

func (f *fakeCollector) StreamMessages(stream grpc.BidiStreamingServer[pb.StreamMessagesRequest, pb.StreamMessagesResponse]) error {
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			f.halfClosed = true
			return nil
		}
		if err != nil {
			return err
		}
		if f.refuse != nil {
			if err := f.refuse(request.Envelope); err != nil {
				return err
			}
		}
		if f.heartbeats != nil && len(request.Envelope.Messages) == 0 && request.Envelope.ClosingNote == nil {
			f.heartbeats <- request.Envelope
		}
		if f.answers != nil {
			select {
			case <-f.answers:
			case <-stream.Context().Done():
				return nil
			}
		}
		answer := f.store(request.Envelope)
		if f.breakBeforeAnswer > 0 {
			f.breakBeforeAnswer--
			return nil
		}
		if err := stream.Send(&pb.StreamMessagesResponse{Acknowledgements: []*pb.Acknowledgement{answer}}); err != nil {
			return err
		}
	}
}

func (f *fakeCollector) store(envelope *pb.Envelope) *pb.Acknowledgement {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runID, f.hostname = envelope.RunId, envelope.Hostname
	answer := &pb.Acknowledgement{SenderId: envelope.SenderId}
	for i, message := range envelope.Messages {
		sequence := envelope.FirstSequence + uint64(i)
		f.stored[sequence] = message
		if unreadable := message.GetUnreadableMessage(); unreadable != nil {
			answer.Rejections = append(answer.Rejections, &pb.Rejection{Sequence: sequence, Reason: unreadable.GetReason()})
		}
	}
	if n := uint64(len(envelope.Messages)); n > 0 {
		answer.Committed = &pb.SequenceRange{First: envelope.FirstSequence, Last: envelope.FirstSequence + n - 1}
	}
	if envelope.ClosingNote != nil {
		f.note = envelope.ClosingNote.LastSequence
		answer.Closed = true
	}
	return answer
}

func sample(text string) *pb.MonitoringMessage {
	return &pb.MonitoringMessage{Kind: &pb.MonitoringMessage_ResourceInfo{ResourceInfo: &pb.ResourceInfo{
		TaskId:              proto.Uint32(1),
		PsutilProcessStatus: proto.String(text),
	}}}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
}
