package org.parslcollector.examples;

import com.google.protobuf.Timestamp;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.stream.IntStream;
import org.parslcollector.client.Client;
import org.parslcollector.v1.MonitoringMessage;
import org.parslcollector.v1.ResourceInfo;
import org.parslcollector.v1.TaskInfo;
import org.parslcollector.v1.WorkerTaskInfo;
import org.parslcollector.v1.WorkflowEnd;
import org.parslcollector.v1.WorkflowInfo;
import org.parslcollector.v1.WorkflowStart;

/**
 * Reports a little workflow of its own, then reads it back: five tasks, of which one fails at first
 * and is tried again. Exit code 1 when it reads something else than it sent.
 */
public final class Example {
  private static final int TASKS = 5;
  private static final int FLAKY_TASK = 3;

  private static final String QUERY =
      """
      SELECT task_id,
        (SELECT count(*) FROM try WHERE try.run_id = task.run_id AND try.task_id = task.task_id),
        (SELECT task_status_name FROM status WHERE status.run_id = task.run_id AND status.task_id = task.task_id
          ORDER BY timestamp DESC LIMIT 1),
        (SELECT count(*) FROM resource WHERE resource.run_id = task.run_id AND resource.task_id = task.task_id)
      FROM task WHERE run_id = ? ORDER BY task_id
      """;

  /** What the database holds of a task. */
  private record Row(int task, int tries, String status, int samples) {}

  private final Client client;

  /** This workflow does nothing, and its events come a quarter of a second after each other. */
  private Instant clock = Instant.now();

  private Example(Client client) {
    this.client = client;
  }

  public static void main(String[] args) throws Exception {
    if (args.length != 2) {
      System.err.println("usage: Example ADDRESS DATABASE");
      System.exit(1);
    }
    String runId = UUID.randomUUID().toString();
    try (Client client = Client.builder(args[0]).runId(runId).connect()) {
      new Example(client).reportWorkflow();
    } // everything is on the collector's disk here

    List<Row> sent =
        IntStream.range(0, TASKS)
            .mapToObj(task -> new Row(task, triesOf(task), "exec_done", 2 * triesOf(task)))
            .toList();
    List<Row> found = readBack(args[1], runId);
    System.out.printf("%-6s%-7s%-12s%s%n", "task", "tries", "status", "samples");
    found.forEach(
        row ->
            System.out.printf("%-6d%-7d%-12s%d%n", row.task, row.tries, row.status, row.samples));
    if (!found.equals(sent)) {
      System.err.println("example: " + args[1] + " holds something else than was sent");
      System.exit(1);
    }
  }

  private static int triesOf(int task) {
    return task == FLAKY_TASK ? 2 : 1;
  }

  private void reportWorkflow() throws InterruptedException {
    WorkflowStart.Builder start =
        WorkflowStart.newBuilder()
            .setTimeBegan(nextEvent())
            .setWorkflowName("example")
            .setWorkflowVersion("1")
            .setRundir(System.getProperty("user.dir"))
            .setUser(System.getProperty("user.name"))
            .setHost("localhost");
    client.send(
        MonitoringMessage.newBuilder()
            .setWorkflowInfo(WorkflowInfo.newBuilder().setStart(start))
            .build());
    for (int task = 0; task < TASKS; task++) {
      for (int attempt = 0; attempt < triesOf(task); attempt++) {
        reportTry(task, attempt, attempt + 1 < triesOf(task));
      }
    }
    WorkflowEnd.Builder end =
        WorkflowEnd.newBuilder()
            .setTimeCompleted(nextEvent())
            .setTasksCompletedCount(TASKS)
            .setTasksFailedCount(0);
    client.send(
        MonitoringMessage.newBuilder()
            .setWorkflowInfo(WorkflowInfo.newBuilder().setEnd(end))
            .build());
  }

  private void reportTry(int task, int attempt, boolean fails) throws InterruptedException {
    reportState(task, attempt, "pending", attempt);
    reportState(task, attempt, "launched", attempt);
    WorkerTaskInfo.Builder onWorker = WorkerTaskInfo.newBuilder().setTaskId(task).setTryId(attempt);
    send(onWorker.clone().setFirstMsg(true).setTimestamp(nextEvent()));
    for (double cpuSeconds : new double[] {0.2, 0.4}) {
      ResourceInfo.Builder sample =
          ResourceInfo.newBuilder()
              .setTaskId(task)
              .setTryId(attempt)
              .setTimestamp(nextEvent())
              .setPsutilProcessTimeUser(cpuSeconds);
      client.send(MonitoringMessage.newBuilder().setResourceInfo(sample).build());
    }
    send(onWorker.clone().setLastMsg(true).setTimestamp(nextEvent()));
    reportState(
        task, attempt, fails ? "fail_retryable" : "exec_done", fails ? attempt + 1 : attempt);
  }

  private void reportState(int task, int attempt, String status, int failures)
      throws InterruptedException {
    TaskInfo.Builder state =
        TaskInfo.newBuilder()
            .setTaskId(task)
            .setTryId(attempt)
            .setTimestamp(nextEvent())
            .setTaskStatusName(status)
            .setTaskFuncName("simulate")
            .setTaskExecutor("none")
            .setTaskMemoize(false)
            .setTaskFailCount(failures)
            .setTaskFailCost(failures);
    client.send(MonitoringMessage.newBuilder().setTaskInfo(state).build());
  }

  private void send(WorkerTaskInfo.Builder info) throws InterruptedException {
    client.send(MonitoringMessage.newBuilder().setWorkerTaskInfo(info).build());
  }

  private Timestamp nextEvent() {
    clock = clock.plusMillis(250);
    return Timestamp.newBuilder()
        .setSeconds(clock.getEpochSecond())
        .setNanos(clock.getNano())
        .build();
  }

  private static List<Row> readBack(String database, String runId) throws SQLException {
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + database);
        PreparedStatement query = connection.prepareStatement(QUERY)) {
      query.setString(1, runId);
      List<Row> rows = new ArrayList<>();
      ResultSet found = query.executeQuery();
      while (found.next()) {
        rows.add(new Row(found.getInt(1), found.getInt(2), found.getString(3), found.getInt(4)));
      }
      return rows;
    }
  }
}
