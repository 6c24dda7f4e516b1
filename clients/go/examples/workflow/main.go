// Command workflow reports a little workflow of its own, then reads it back from the collector's SQLite file: five
// tasks, of which one fails at first and is tried again. Its exit code is 1 when it reads something else than it sent.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"slices"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	_ "modernc.org/sqlite"

	collector "parsl-collector/clients/go"
	pb "parsl-collector/clients/go/collectorpb"
)

const (
	tasks     = 5
	flakyTask = 3
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: %s ADDRESS DATABASE\n", os.Args[0])
		os.Exit(1)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address, database string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runID := rand.Text()
	if err := report(ctx, address, runID); err != nil {
		return err
	}
	found, err := readBack(ctx, database, runID)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "task\ttries\tstatus\tsamples")
	for _, row := range found {
		fmt.Fprintf(table, "%d\t%d\t%s\t%d\n", row.task, row.tries, row.status, row.samples)
	}
	table.Flush()
	var sent []summary
	for task := range tasks {
		tries := 1 + failures(task)
		sent = append(sent, summary{task: task, tries: tries, status: "exec_done", samples: 2 * tries})
	}
	if !slices.Equal(found, sent) {
		return fmt.Errorf("%s holds something else than was sent: %+v", database, sent)
	}
	return nil
}

// failures is how often a task fails before it succeeds.
func failures(task int) int {
	if task == flakyTask {
		return 1
	}
	return 0
}

// report returns when all of the workflow is on the collector's disk.
func report(ctx context.Context, address, runID string) (err error) {
	client, err := collector.Connect(address, collector.Options{RunID: runID})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close(ctx)) }()

	login, err := user.Current()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	rundir, err := os.Getwd()
	if err != nil {
		return err
	}
	w := &workflow{clock: time.Now()}
	w.add(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_WorkflowInfo{WorkflowInfo: &pb.WorkflowInfo{
		Phase: &pb.WorkflowInfo_Start{Start: &pb.WorkflowStart{
			TimeBegan:       w.nextEvent(),
			WorkflowName:    proto.String("example"),
			WorkflowVersion: proto.String("1"),
			Rundir:          proto.String(rundir),
			User:            proto.String(login.Username),
			Host:            proto.String(host),
		}},
	}}})
	for task := range tasks {
		for try := range failures(task) + 1 {
			w.addTry(task, try, try < failures(task))
		}
	}
	w.add(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_WorkflowInfo{WorkflowInfo: &pb.WorkflowInfo{
		Phase: &pb.WorkflowInfo_End{End: &pb.WorkflowEnd{
			TimeCompleted:       w.nextEvent(),
			TasksCompletedCount: proto.Uint32(tasks),
			TasksFailedCount:    proto.Uint32(0),
		}},
	}}})
	for _, message := range w.messages {
		if err := client.Send(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

// A workflow does nothing, and its events come a quarter of a second after each other.
type workflow struct {
	clock    time.Time
	messages []*pb.MonitoringMessage
}

func (w *workflow) add(message *pb.MonitoringMessage) { w.messages = append(w.messages, message) }

func (w *workflow) nextEvent() *timestamppb.Timestamp {
	w.clock = w.clock.Add(250 * time.Millisecond)
	return timestamppb.New(w.clock)
}

func (w *workflow) addTry(task, try int, fails bool) {
	w.addState(task, try, "pending", try)
	w.addState(task, try, "launched", try)
	w.addWorker(task, try, &pb.WorkerTaskInfo{FirstMsg: proto.Bool(true)})
	for _, seconds := range []float64{0.2, 0.4} {
		w.add(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_ResourceInfo{ResourceInfo: &pb.ResourceInfo{
			TaskId:                proto.Uint32(uint32(task)),
			TryId:                 proto.Uint32(uint32(try)),
			Timestamp:             w.nextEvent(),
			PsutilProcessTimeUser: proto.Float64(seconds),
		}}})
	}
	w.addWorker(task, try, &pb.WorkerTaskInfo{LastMsg: proto.Bool(true)})
	if fails {
		w.addState(task, try, "fail_retryable", try+1)
	} else {
		w.addState(task, try, "exec_done", try)
	}
}

func (w *workflow) addState(task, try int, status string, failures int) {
	w.add(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_TaskInfo{TaskInfo: &pb.TaskInfo{
		TaskId:         proto.Uint32(uint32(task)),
		TryId:          proto.Uint32(uint32(try)),
		Timestamp:      w.nextEvent(),
		TaskStatusName: proto.String(status),
		TaskFuncName:   proto.String("simulate"),
		TaskExecutor:   proto.String("none"),
		TaskMemoize:    proto.Bool(false),
		TaskFailCount:  proto.Uint32(uint32(failures)),
		TaskFailCost:   proto.Float64(float64(failures)),
	}}})
}

func (w *workflow) addWorker(task, try int, info *pb.WorkerTaskInfo) {
	info.TaskId = proto.Uint32(uint32(task))
	info.TryId = proto.Uint32(uint32(try))
	info.Timestamp = w.nextEvent()
	w.add(&pb.MonitoringMessage{Kind: &pb.MonitoringMessage_WorkerTaskInfo{WorkerTaskInfo: info}})
}

// A summary is what the database holds of a task.
type summary struct {
	task, tries int
	status      string
	samples     int
}

func readBack(ctx context.Context, database, runID string) ([]summary, error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: database, RawQuery: "mode=ro"}).String())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `
		SELECT task_id,
			(SELECT count(*) FROM try WHERE try.run_id = task.run_id AND try.task_id = task.task_id),
			(SELECT task_status_name FROM status WHERE status.run_id = task.run_id AND status.task_id = task.task_id
				ORDER BY timestamp DESC LIMIT 1),
			(SELECT count(*) FROM resource WHERE resource.run_id = task.run_id AND resource.task_id = task.task_id)
		FROM task WHERE run_id = ? ORDER BY task_id`, runID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []summary
	for rows.Next() {
		var row summary
		if err := rows.Scan(&row.task, &row.tries, &row.status, &row.samples); err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}
