import test from "ava";

import { monitoringMessage } from "../../src/client/message.js";
import { MonitoringMessage } from "../../src/model/messages.js";
import {
  at,
  blockInfo,
  nodeInfo,
  resourceInfo,
  sample,
  taskInfo,
  textAt,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../support/builders.js";
import { envelopeOfBytes, newSenderId } from "../support/encoded.js";
import { newRunId, sharedCollector } from "../support/shared-collector.js";

/** What users report of single rows: duplicates, missing and odd values, large and broken messages. */

const shared = sharedCollector();

test("case 4: a sample that is said twice costs its batch nothing, and is counted once as a duplicate", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const samples = Array.from({ length: 20 }, (_, n) => sample(n === 13 ? 7 : n));

  await service.send([workflowStart(), taskInfo()], { runId });
  const { rejections } = await service.send(samples, { runId });

  t.deepEqual(rejections, []);
  t.is(db.rows("SELECT * FROM resource WHERE run_id = ?", runId).length, 19);
  t.like((await service.status(runId)).total, { stored: 22n, duplicateRows: 1n, rejected: 0n });
});

test("case 5: managers that register on one node in one instant have a row each", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send([workflowStart(), ...["a", "b", "c"].map((uid) => nodeInfo({ uid }))], { runId });

  t.deepEqual(
    db.rows("SELECT uid FROM node WHERE run_id = ? ORDER BY uid", runId).map((row) => row["uid"]),
    ["a", "b", "c"],
  );
});

test("case 22: a block whose submission failed has a row with no job", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send([blockInfo({ blockId: "2", jobId: undefined, status: "FAILED" })], { runId });

  t.deepEqual(db.rows("SELECT block_id, job_id, status FROM block WHERE run_id = ?", runId), [
    { block_id: "2", job_id: null, status: "FAILED" },
  ]);
});

test("case 23: 1,200 blocks and then 20,000 in one envelope of over 4 MB are all stored", async (t) => {
  const { service, db } = shared();
  const blocks = (count: number) =>
    Array.from({ length: count }, (_, n) =>
      blockInfo({ blockId: String(n), jobId: `job-${"x".repeat(200)}` }),
    );

  for (const count of [1_200, 20_000]) {
    const runId = newRunId();
    await service.send(blocks(count), { runId });
    t.is(db.value("SELECT count(*) FROM block WHERE run_id = ?", runId), count);
  }
});

test("case 47: a task with 5 MB of inputs is stored whole, and the ones after it as well", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const taskInputs = "é".repeat(2_500_000); // 5 MB as UTF-8

  await service.send([workflowStart(), taskInfo({ taskInputs })], { runId });
  await service.send(
    Array.from({ length: 10 }, (_, n) => taskInfo({ taskId: n + 1 })),
    { runId },
  );

  t.is(db.value("SELECT count(*) FROM task WHERE run_id = ?", runId), 11);
  t.true(db.value("SELECT task_inputs FROM task WHERE run_id = ? AND task_id = 0", runId) === taskInputs);
});

test("case 62: senders in different zones that speak of one instant give one time, and their offsets are kept", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  for (const [taskId, hours] of [5, -8].entries()) {
    await service.send([workerTaskInfo({ taskId })], { runId, utcOffsetSeconds: hours * 3_600 });
  }

  t.deepEqual(db.rows("SELECT DISTINCT timestamp FROM status WHERE run_id = ?", runId), [
    { timestamp: textAt(2) },
  ]);
  t.deepEqual(
    db.rows("SELECT utc_offset_seconds AS s FROM collector_sender WHERE run_id = ? ORDER BY id", runId),
    [{ s: 18_000 }, { s: -28_800 }],
  );
});

test("case 64: every time in Parsl's tables has the one form that its readers take", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const half = at(0.5);

  await service.send(
    [
      workflowStart(),
      taskInfo({ taskTryTimeLaunched: half, taskTryTimeReturned: half, taskTimeReturned: half }),
      ...[workerTaskInfo(), sample(1), nodeInfo(), blockInfo(), workflowEnd()],
    ],
    { runId },
  );

  let times = 0;
  for (const table of ["workflow", "task", "try", "node", "block", "status", "resource"]) {
    const columns = db.rows("SELECT name FROM pragma_table_info(?) WHERE type = 'DATETIME'", table);
    for (const { name } of columns) {
      for (const row of db.rows(`SELECT ${String(name)} AS time FROM "${table}" WHERE run_id = ?`, runId)) {
        t.regex(String(row["time"]), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/, `${table}.${String(name)}`);
        times += 1;
      }
    }
  }
  t.is(times, 13);
});

test("case 66: two samples 300 microseconds apart are two rows with all their digits", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send(
    [at(3), at(3.0003)].map((timestamp) => resourceInfo({ timestamp })),
    { runId },
  );

  t.deepEqual(
    db.rows("SELECT timestamp FROM resource WHERE run_id = ? ORDER BY timestamp", runId),
    [textAt(3), textAt(3.0003)].map((timestamp) => ({ timestamp })),
  );
});

test("case 69: a node's being active is stored as 1 and 0", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send([nodeInfo({ active: true }), nodeInfo({ active: false })], { runId });

  t.deepEqual(
    db.rows("SELECT active, typeof(active) AS type FROM node WHERE run_id = ? ORDER BY active", runId),
    [
      { active: 0, type: "integer" },
      { active: 1, type: "integer" },
    ],
  );
});

test("case 74: names and paths of any kind come back byte for byte", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const texts = [
    ...["it's", 'say "hi"', "<b>bold</b>", "Robert'); DROP TABLE task;--", "$(rm -rf /) `id` %s {0} \\n"],
    ...["👩‍🔬 naïve 数", "\u202eright to left", "a\u0000b", "\ttab\r\nlines\n", " ", "x".repeat(100_000)],
  ];

  const { rejections } = await service.send(
    texts.map((text, taskId) => taskInfo({ taskId, taskFuncName: text, taskStdout: text })),
    { runId },
  );

  t.deepEqual(rejections, []);
  const rows = db.rows(
    "SELECT task_func_name, task_stdout FROM task WHERE run_id = ? ORDER BY task_id",
    runId,
  );
  texts.forEach((text, n) => {
    t.true(rows[n]?.["task_func_name"] === text, `name ${String(n)}`);
    t.true(rows[n]?.["task_stdout"] === text, `path ${String(n)}`);
  });
});

test("case 76: whatever is no message costs only itself, and is kept with its reason", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const senderId = newSenderId();
  const encode = (message: Parameters<typeof monitoringMessage>[0]) =>
    MonitoringMessage.encode(monitoringMessage(message)).finish();
  const good = (taskId: number) => encode(taskInfo({ taskId }));
  const reasons: readonly (readonly [Uint8Array, RegExp])[] = [
    [
      encode({ unreadableMessage: { reason: "expected a tuple of two, got NoneType", text: "None" } }),
      /could not read it: expected a tuple of two, got NoneType/,
    ],
    [Uint8Array.of((14 << 3) | 2, 0), /kind of message that this collector does not know/],
    [encode(taskInfo({ taskStatusName: undefined })), /TASK_INFO lacks task_status_name/],
    [Uint8Array.of(0x22, 100, 0x10), /its bytes are no message/],
    [new Uint8Array(), /kind of message that this collector does not know/],
    [encode({ nodeInfo: {} }), /NODE_INFO lacks timestamp/],
  ];

  const { rejections } = await service.sendBytes(
    envelopeOfBytes([good(0), ...reasons.flatMap(([bad], index) => [bad, good(index + 1)])], {
      runId,
      senderId,
    }),
  );

  t.is(rejections.length, reasons.length);
  reasons.forEach(([, reason], index) => {
    t.is(rejections[index]?.sequence, BigInt(2 * index + 2));
    t.regex(rejections[index]?.reason ?? "", reason);
  });
  t.is(db.value("SELECT count(*) FROM task WHERE run_id = ?", runId), reasons.length + 1);
  t.deepEqual(
    db
      .rows("SELECT message FROM collector_rejected WHERE sender_id = ? ORDER BY sequence", senderId)
      .map((row) => row["message"]),
    reasons.map(([bad]) => Buffer.from(bad)),
  );
});

test("case 77: a figure that a probe left out is NULL, one that is zero is zero", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send(
    [
      resourceInfo({ timestamp: at(1), psutilProcessDiskRead: undefined }),
      resourceInfo({ timestamp: at(2), psutilProcessDiskRead: 0 }),
    ],
    { runId },
  );

  t.deepEqual(
    db.rows(
      "SELECT psutil_process_disk_read AS bytes, typeof(psutil_process_disk_read) AS type FROM resource WHERE run_id = ? ORDER BY timestamp",
      runId,
    ),
    [
      { bytes: null, type: "null" },
      { bytes: 0, type: "real" },
    ],
  );
});

test("case 78: a sample that comes after the end of its try is stored", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();

  await service.send([workflowStart(), taskInfo({ taskStatusName: "exec_done" })], { runId });
  await service.send([sample(1)], { runId });

  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 1);
});
