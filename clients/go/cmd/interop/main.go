// Command interop sends COUNT messages, as every client of this repository does, for `npm run interop` to compare
// what the collector has of them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	collector "parsl-collector/clients/go"
	pb "parsl-collector/clients/go/collectorpb"
)

func main() {
	if len(os.Args) != 5 {
		fail(fmt.Errorf("usage: %s ADDRESS RUN_ID COUNT LANGUAGE", os.Args[0]))
	}
	count, err := strconv.Atoi(os.Args[3])
	if err != nil || count < 2 {
		fail(fmt.Errorf("COUNT: expected a number from 2 up, got %q", os.Args[3]))
	}
	if err := run(os.Args[1], os.Args[2], count, os.Args[4]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func run(address, runID string, count int, language string) error {
	options := collector.Options{
		RunID:    runID,
		Hostname: "interop-" + language,
		Token:    os.Getenv("PARSL_COLLECTOR_TOKEN"),
	}
	if file := os.Getenv("PARSL_COLLECTOR_CA_FILE"); file != "" {
		trust, err := collector.TrustFile(file)
		if err != nil {
			return err
		}
		options.TLS = trust
	}
	client, err := collector.Connect(address, options)
	if err != nil {
		return err
	}
	ctx := context.Background()
	began := time.Now()
	for n := 1; n <= count; n++ {
		if err := client.Send(ctx, message(n, count, language)); err != nil {
			return err
		}
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	if err := client.Close(ctx); err != nil {
		return err
	}
	stats := client.Stats()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"sent":         stats.Sent,
		"acknowledged": stats.Acknowledged,
		"rejected":     stats.Rejected,
		"seconds":      seconds,
	})
}

func message(n, count int, language string) *pb.MonitoringMessage {
	switch n {
	case 1:
		return workflowInfo(&pb.WorkflowInfo{Phase: &pb.WorkflowInfo_Start{Start: &pb.WorkflowStart{
			TimeBegan:           at(n),
			WorkflowName:        proto.String("interop " + language),
			WorkflowVersion:     proto.String("1"),
			Rundir:              proto.String("/interop"),
			TasksCompletedCount: proto.Uint32(0),
			TasksFailedCount:    proto.Uint32(0),
			User:                proto.String("interop"),
			Host:                proto.String("interop-" + language),
			PythonVersion:       proto.String("none"),
			ParslVersion:        proto.String("none"),
		}}})
	case count:
		return workflowInfo(&pb.WorkflowInfo{Phase: &pb.WorkflowInfo_End{End: &pb.WorkflowEnd{
			TasksCompletedCount: proto.Uint32(uint32(count - 2)),
			TasksFailedCount:    proto.Uint32(0),
			TimeCompleted:       at(n),
			Rundir:              proto.String("/interop"),
		}}})
	default:
		return &pb.MonitoringMessage{Kind: &pb.MonitoringMessage_ResourceInfo{ResourceInfo: &pb.ResourceInfo{
			TaskId:                     proto.Uint32(uint32(n % 100)),
			TryId:                      proto.Uint32(0),
			Timestamp:                  at(n),
			PsutilProcessPid:           proto.Uint32(uint32(n)),
			PsutilProcessMemoryPercent: proto.Float64(float64(n) / 4),
			PsutilProcessTimeUser:      proto.Float64(float64(n) / 8),
			PsutilProcessDiskWrite:     proto.Float64(float64(n) * 1048576),
			PsutilProcessStatus:        proto.String("sleeping – ✓"),
		}}}
	}
}

func workflowInfo(info *pb.WorkflowInfo) *pb.MonitoringMessage {
	return &pb.MonitoringMessage{Kind: &pb.MonitoringMessage_WorkflowInfo{WorkflowInfo: info}}
}

// at is n ms and 123 us after the beginning of 2026.
func at(n int) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1767225600 + int64(n/1000), Nanos: int32(n%1000)*1_000_000 + 123_000}
}
