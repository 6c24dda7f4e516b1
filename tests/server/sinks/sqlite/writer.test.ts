import { copyFileSync } from "node:fs";
import { join } from "node:path";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { monitoringMessage } from "../../../../src/client/message.js";
import { MonitoringMessage } from "../../../../src/model/messages.js";
import { RunState } from "../../../../src/model/status.js";
import {
  at,
  nodeInfo,
  nodeUsage,
  resourceInfo,
  runId,
  sample,
  taskInfo,
  textAt,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../../../support/builders.js";
import { openDatabase } from "../../../support/database.js";
import { envelopeOf, envelopeOfBytes, newSenderId } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, arrivals, openWriter } from "../../../support/writer.js";

/** A writer on a new file, and the file as its readers see it. */
function setUp(t: ExecutionContext) {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  return { path, writer, db: openDatabase(t, path) };
}

/** Lets a user of the file change it, by a connection of their own. */
function asUser(path: string, sql: string): void {
  const db = new Database(path);
  db.exec(sql);
  db.close();
}

test("an acknowledgement names the sequences of its envelope and what was refused in it", (t) => {
  const { writer, db } = setUp(t);
  const senderId = newSenderId();
  const messages = [taskInfo(), taskInfo({ taskStatusName: undefined }), taskInfo({ taskId: 1 })];

  const [acknowledgement] = acknowledgementsOf(writer, [envelopeOf(messages, { senderId, first: 7 })]);

  t.deepEqual(acknowledgement, {
    senderId,
    committed: { first: 7n, last: 9n },
    rejections: [{ sequence: 8n, reason: "TASK_INFO lacks task_status_name, which table status must have" }],
    closed: false,
  });
  t.is(db.count("task"), 2);
});

test("a refused message is kept whole, with its sender, its run, its kind and the reason", (t) => {
  const { writer, db } = setUp(t);
  const senderId = newSenderId();
  const refused = taskInfo({ taskStatusName: undefined });

  acknowledgementsOf(writer, [envelopeOf([taskInfo(), refused], { senderId })]);

  const [row] = db.rows("SELECT * FROM collector_rejected");
  t.like(row, { sender_id: senderId, sequence: 2, run_id: runId, kind: "TASK_INFO" });
  t.regex(String(row?.["reason"]), /lacks task_status_name/);
  t.deepEqual(
    MonitoringMessage.decode(row?.["message"] as Buffer),
    MonitoringMessage.decode(MonitoringMessage.encode(monitoringMessage(refused)).finish()),
  );
});

test("what was refused is reported again when it is sent again, and kept once", (t) => {
  const { writer, db } = setUp(t);
  const fields = { senderId: newSenderId() };
  const messages = [taskInfo(), { unreadableMessage: { reason: "it is None" } }, taskInfo({ taskId: 1 })];
  const envelope = envelopeOf(messages, fields);

  const [first] = acknowledgementsOf(writer, [envelope]);
  const [again] = acknowledgementsOf(writer, [envelope]);
  const [withMore] = acknowledgementsOf(writer, [envelopeOf([...messages, taskInfo({ taskId: 2 })], fields)]);

  t.deepEqual(first?.rejections, [{ sequence: 2n, reason: "the sender could not read it: it is None" }]);
  t.deepEqual(again, first);
  t.deepEqual(withMore?.rejections, first?.rejections);
  t.is(db.count("collector_rejected"), 1);
  t.is(db.count("task"), 3);
});

test("an envelope whose bytes are none is told, and those beside it are stored", (t) => {
  const { writer, db } = setUp(t);

  const outcomes = writer.store(
    arrivals([envelopeOf([sample(1)]), Uint8Array.of(0xff), envelopeOf([sample(2)])]),
  );

  t.deepEqual(
    outcomes.map((outcome) => "invalid" in outcome),
    [false, true, false],
  );
  t.is(db.count("resource"), 2);
});

test("of messages that overlap with stored ones only the new are stored", (t) => {
  const { writer, db } = setUp(t);
  const senderId = newSenderId();

  acknowledgementsOf(writer, [envelopeOf([nodeInfo(), nodeInfo()], { senderId, first: 3 })]);
  const six = Array.from({ length: 6 }, () => nodeInfo());
  acknowledgementsOf(writer, [envelopeOf(six, { senderId, first: 1 })]);

  t.is(db.count("node"), 6);
  t.like(writer.status("").senders[0]?.counts, { stored: 6n, repeated: 2n, missing: 0n });
});

test("the ledger is the same after the file was closed and opened again", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const senderId = newSenderId();
  const late = envelopeOf([nodeInfo()], { senderId, first: 5 });
  const first = openWriter(path);
  acknowledgementsOf(first, [envelopeOf([nodeInfo()], { senderId, first: 2 }), late]);
  first.close();

  const second = openWriter(path);
  t.teardown(() => second.close());
  acknowledgementsOf(second, [late, envelopeOf([], { senderId, first: 0, lastSequence: 6 })]);
  const { senders, total } = second.status("");

  t.is(senders.length, 1);
  t.like(senders[0], { senderId, closed: true, lastSequence: 6n });
  t.deepEqual(senders[0]?.missing, [
    { first: 1n, last: 1n },
    { first: 3n, last: 4n },
    { first: 6n, last: 6n },
  ]);
  t.deepEqual(total, { stored: 2n, rejected: 0n, repeated: 1n, duplicateRows: 0n, missing: 4n, lost: 0n });
  t.is(openDatabase(t, path).count("node"), 2);
});

test("a status of one run names only the senders of that run", (t) => {
  const { writer } = setUp(t);
  const senderId = newSenderId();

  acknowledgementsOf(writer, [
    envelopeOf([sample(1)], { senderId, runId: "run-a", hostname: "n1" }),
    envelopeOf([sample(1), sample(2)], { runId: "run-b" }),
  ]);

  t.deepEqual(
    writer.status("run-a").senders.map((sender) => [sender.senderId, sender.runId, sender.hostname]),
    [[senderId, "run-a", "n1"]],
  );
  t.is(writer.status("run-b").total?.stored, 2n);
  t.is(writer.status("").total?.stored, 3n);
});

test("messages that a sender gave up are counted as lost by kind, until one comes after all", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  const senderId = newSenderId();
  const losses = [
    { first: 2, last: 4, kind: "RESOURCE_INFO" },
    { first: 6, last: 6, kind: "TASK_INFO" },
    { first: 7, last: 8, kind: "no kind of ours" },
  ];

  acknowledgementsOf(writer, [envelopeOf([sample(1)], { senderId, losses })]);
  acknowledgementsOf(writer, [envelopeOf([], { senderId, first: 0, losses })]);
  const told = writer.status("").senders[0];
  acknowledgementsOf(writer, [envelopeOf([sample(3)], { senderId, first: 3 })]);
  writer.close();
  const again = openWriter(path);
  t.teardown(() => again.close());
  acknowledgementsOf(again, [
    envelopeOf([], { senderId, first: 0, losses: [{ first: 1, last: 4, kind: "RESOURCE_INFO" }] }),
  ]);

  t.deepEqual(told?.lost, [
    { kind: "RESOURCE_INFO", count: 3n },
    { kind: "TASK_INFO", count: 1n },
    { kind: "", count: 2n },
  ]);
  t.like(told?.counts, { stored: 1n, lost: 6n, missing: 1n });
  t.like(again.status("").senders[0]?.counts, { stored: 2n, lost: 5n, missing: 1n });
  t.deepEqual(again.status("").senders[0]?.missing, [{ first: 5n, last: 5n }]);
});

test("the ledger says by which radio a sender's messages came, repeated ones included", (t) => {
  const { writer } = setUp(t);
  const senderId = newSenderId();
  const envelope = envelopeOf([sample(1), sample(2)], { senderId });

  writer.store([{ envelope, radio: "grpc" }]);
  writer.store([
    { envelope, radio: "udp" },
    { envelope: envelopeOf([sample(3)], { senderId, first: 3 }), radio: "udp" },
  ]);

  t.deepEqual(writer.status("").senders[0]?.radios, [
    { radio: "grpc", received: 2n },
    { radio: "udp", received: 3n },
  ]);
});

test("a sender that speaks of several runs is listed under each, and each run has its own state", (t) => {
  const { writer } = setUp(t);
  const senderId = newSenderId();

  acknowledgementsOf(writer, [
    envelopeOf([workflowStart({ runId: "run-a" }), workflowStart({ runId: "run-b" })], {
      senderId,
      runId: "",
    }),
    envelopeOf([workflowEnd({ runId: "run-a" })], { senderId, runId: "", first: 3 }),
  ]);

  const states = () => writer.status("").runs.map(({ runId, state }) => [runId, state]);
  t.deepEqual(states(), [
    ["run-a", RunState.COMPLETED],
    ["run-b", RunState.RUNNING],
  ]);
  for (const run of ["run-a", "run-b"]) {
    t.deepEqual(
      writer.status(run).senders.map((sender) => sender.senderId),
      [senderId],
    );
  }
  acknowledgementsOf(writer, [envelopeOf([], { senderId, runId: "", first: 0, lastSequence: 3 })]);
  t.deepEqual(states()[1], ["run-b", RunState.LOST]);
});

test("case 24: a run whose driver vanished is lost, and a late message revives it", (t) => {
  const { path, writer, db } = setUp(t);
  const run = () => writer.status(runId).runs[0];

  acknowledgementsOf(writer, [
    envelopeOf([workflowStart(), taskInfo({ taskId: 0 }), taskInfo({ taskId: 1 }), taskInfo({ taskId: 2 })]),
  ]);
  t.is(run()?.state, RunState.RUNNING);
  t.is(run()?.workflowName, String(db.value("SELECT workflow_name FROM workflow")));
  asUser(path, "UPDATE collector_sender_run SET last_received_at = '2020-01-01 00:00:00.000000'");

  t.like(run(), { state: RunState.LOST, lastReceivedAt: { seconds: 1_577_836_800n } });
  t.is(db.value("SELECT time_completed FROM workflow"), null);

  acknowledgementsOf(writer, [envelopeOf([taskInfo({ taskId: 3 })])]);
  t.is(run()?.state, RunState.RUNNING);
});

test("a trigger of the user's that refuses one row costs that message only", (t) => {
  const { path, writer, db } = setUp(t);
  asUser(
    path,
    "CREATE TRIGGER no_task_3 BEFORE INSERT ON task WHEN new.task_id = 3 BEGIN SELECT RAISE(ABORT, 'no third'); END",
  );
  const tasks = [0, 1, 2, 3, 4].map((taskId) => taskInfo({ taskId }));

  const [first, second] = acknowledgementsOf(writer, [
    envelopeOf(tasks),
    envelopeOf([sample(1), taskInfo({ taskId: 5 })]),
  ]);

  t.deepEqual(first?.rejections, [{ sequence: 4n, reason: "SQLite refused it: no third" }]);
  t.deepEqual(second?.rejections, []);
  t.deepEqual(
    db.rows("SELECT task_id FROM task ORDER BY task_id").map((row) => row["task_id"]),
    [0, 1, 2, 4, 5],
  );
  for (const table of ["try", "status"]) t.is(db.count(table), 5, `${table}: nothing of task 3 is left`);
  t.is(db.count("resource"), 1);
  t.like(writer.status("").total, { stored: 6n, rejected: 1n });
});

test("a trigger on a merged row that an earlier message made costs the later message only", (t) => {
  const { path, writer, db } = setUp(t);
  asUser(
    path,
    "CREATE TRIGGER stay BEFORE UPDATE ON task WHEN new.task_fail_count > 1 BEGIN SELECT RAISE(ABORT, 'stay'); END",
  );
  acknowledgementsOf(writer, [envelopeOf([taskInfo({ timestamp: at(1), taskFailCount: 1 })])]);

  const failedTwice = taskInfo({ timestamp: at(2), taskFailCount: 2 });
  const [acknowledgement] = acknowledgementsOf(writer, [envelopeOf([failedTwice, taskInfo({ taskId: 1 })])]);

  t.deepEqual(acknowledgement?.rejections, [{ sequence: 1n, reason: "SQLite refused it: stay" }]);
  t.deepEqual(db.rows("SELECT task_id, task_fail_count FROM task ORDER BY task_id"), [
    { task_id: 0, task_fail_count: 1 },
    { task_id: 1, task_fail_count: 0 },
  ]);
  t.is(db.count("status"), 2);
});

test("what another connection wrote between two groups is respected", (t) => {
  const { path, writer, db } = setUp(t);
  const first = taskInfo({ timestamp: at(1), taskInputs: "[1]", tasksCompletedCount: 1 });
  acknowledgementsOf(writer, [envelopeOf([workflowStart(), first])]);

  asUser(path, "UPDATE workflow SET tasks_completed_count = 7; UPDATE task SET task_outputs = 'theirs'");
  acknowledgementsOf(writer, [envelopeOf([taskInfo({ timestamp: at(2), tasksCompletedCount: 3 })])]);

  t.is(db.value("SELECT tasks_completed_count FROM workflow"), 7);
  t.is(db.value("SELECT task_outputs FROM task"), "theirs");
});

test("two writers of one file see each other's ledger", (t) => {
  const { path, writer, db } = setUp(t);
  const other = openWriter(path);
  t.teardown(() => other.close());
  const senderId = newSenderId();

  for (let first = 1; first <= 20; first += 1) {
    const envelope = envelopeOf([nodeInfo()], { senderId, first });
    const [one, two] = first % 2 === 0 ? [writer, other] : [other, writer];
    acknowledgementsOf(one, [envelope]);
    acknowledgementsOf(two, [envelope]);
  }

  t.is(db.count("node"), 20);
  t.like(writer.status("").total, { stored: 20n, repeated: 20n, missing: 0n });
});

test("what a worker says of a try waits for the task, across a restart", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const first = openWriter(path);
  acknowledgementsOf(first, [envelopeOf([workerTaskInfo({ hostname: "n1", blockId: "3" })])]);
  first.close();
  const db = openDatabase(t, path);
  t.is(db.count("try"), 0);

  const second = openWriter(path);
  t.teardown(() => second.close());
  acknowledgementsOf(second, [envelopeOf([taskInfo()])]);

  t.deepEqual(db.rows("SELECT hostname, block_id FROM try"), [{ hostname: "n1", block_id: "3" }]);
  t.is(db.value("SELECT held_hostname FROM collector_try"), null);
});

test("a sample that says something else under a known key is refused, an exact repeat is counted", (t) => {
  const { writer, db } = setUp(t);
  const numbers = { psutilProcessTimeUser: NaN, psutilProcessDiskRead: 2 ** 60 };

  const [first, repeat, other] = acknowledgementsOf(
    writer,
    [numbers, numbers, { ...numbers, psutilProcessDiskRead: 1 }].map((fields) =>
      envelopeOf([resourceInfo(fields)]),
    ),
  );

  t.deepEqual([first?.rejections, repeat?.rejections], [[], []]);
  t.regex(other?.rejections[0]?.reason ?? "", /table resource has another sample of task 0 try 0 of run/);
  t.is(db.value("SELECT psutil_process_disk_read FROM resource"), 2 ** 60);
  t.like(writer.status("").total, { stored: 2n, duplicateRows: 1n, rejected: 1n });
});

test("a node's sample is one row, of no run and making none, and a repeat is counted", (t) => {
  const { writer, db } = setUp(t);
  const said = [nodeUsage(), nodeUsage({ hostname: "n2" })];

  acknowledgementsOf(writer, [envelopeOf(said, { runId: "" }), envelopeOf([nodeUsage()], { runId: "" })]);

  t.deepEqual(
    db.rows("SELECT hostname, timestamp, run_id, cpu_percent, swap_free_bytes FROM collector_node_usage"),
    ["n1", "n2"].map((hostname) => ({
      ...{ hostname, timestamp: textAt(4), run_id: null, cpu_percent: 12.5, swap_free_bytes: 0 },
    })),
  );
  t.is(db.count("workflow"), 0);
  t.like(writer.status("").total, { stored: 3n, duplicateRows: 1n, rejected: 0n });
});

test("samples of 100 agents of a node in one moment are rows a microsecond apart, and one more is refused", (t) => {
  const { writer, db } = setUp(t);
  const said = Array.from({ length: 101 }, (_, agent) => nodeUsage({ cpuPercent: agent }));

  const [first, second] = acknowledgementsOf(writer, [envelopeOf(said), envelopeOf(said.slice(0, 100))]);

  t.deepEqual(
    first?.rejections.map(({ reason }) => reason),
    [`table collector_node_usage has another sample of n1 at ${textAt(4)}`],
  );
  t.deepEqual(second?.rejections, []);
  t.deepEqual(
    db.rows("SELECT cpu_percent, substr(timestamp, 21) AS micro FROM collector_node_usage"),
    said.slice(0, 100).map((_, agent) => ({ cpu_percent: agent, micro: String(agent).padStart(6, "0") })),
  );
  t.is(db.value("SELECT kind FROM collector_rejected"), "NODE_USAGE");
  t.like(writer.status("").total, { stored: 200n, duplicateRows: 100n, rejected: 1n });
});

test("two different states in one microsecond are two rows, one microsecond apart", (t) => {
  const { writer, db } = setUp(t);
  const tries = [1, 0].map((tryId) => taskInfo({ tryId, timestamp: at(1) }));

  acknowledgementsOf(writer, [envelopeOf(tries), envelopeOf(tries)]);

  t.deepEqual(db.rows("SELECT try_id, substr(timestamp, 21) AS micro FROM status ORDER BY timestamp"), [
    { try_id: 0, micro: "000000" },
    { try_id: 1, micro: "000001" },
  ]);
});

test("20,000 states in one microsecond are arranged once, and not once for each of them", (t) => {
  const { writer, db } = setUp(t);
  const tries = Array.from({ length: 20_000 }, (_, tryId) => taskInfo({ tryId, timestamp: at(1) }));

  // In hours, when each of them is given its time anew with each that comes.
  acknowledgementsOf(writer, [envelopeOf(tries.slice(1)), envelopeOf(tries)]);

  t.deepEqual(
    db.rows("SELECT min(timestamp) AS first, max(timestamp) AS last, count(*) AS rows FROM status"),
    [{ first: textAt(1), last: textAt(1.019999), rows: 20_000 }],
  );
  t.is(db.value("SELECT try_id FROM status WHERE timestamp = ?", textAt(1)), 0);
});

test("a message whose bytes are broken is kept as they came", (t) => {
  const { writer, db } = setUp(t);
  const torn = Uint8Array.of(0x12, 100, 0x10);

  const [acknowledgement] = acknowledgementsOf(writer, [envelopeOfBytes([torn])]);

  t.is(acknowledgement?.rejections.length, 1);
  const [row] = db.rows("SELECT run_id, kind, message FROM collector_rejected");
  t.like(row, { run_id: runId, kind: "UNREADABLE" });
  t.deepEqual(row?.["message"], Buffer.from(torn));
});

test("a closed file is complete without its journal", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  acknowledgementsOf(writer, [envelopeOf([sample(1)])]);

  writer.close();
  copyFileSync(path, `${path}.copy`);

  t.is(openDatabase(t, `${path}.copy`).count("resource"), 1);
});
