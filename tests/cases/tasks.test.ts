import test from "ava";

import type { Message } from "../../src/client/message.js";
import {
  at,
  nodeInfo,
  taskInfo,
  textAt,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../support/builders.js";
import { newRunId, sharedCollector } from "../support/shared-collector.js";

/** What users report of the life of tasks: their states, tries and hosts. */

const shared = sharedCollector();

/** Sends batches of one run in their order, each after the one before it is on the disk, and returns the
 *  run with its rows. None may be refused. */
async function store(...batches: readonly (readonly Message[])[]) {
  const { service, db } = shared();
  const runId = newRunId();
  for (const batch of batches) {
    const { rejections } = await service.send(batch, { runId });
    if (rejections.length > 0)
      throw new Error(`refused: ${rejections.map(({ reason }) => reason).join("; ")}`);
  }
  const rows = (sql: string) => db.rows(sql, runId);
  return {
    runId,
    rows,
    count: (table: string) => rows(`SELECT * FROM "${table}" WHERE run_id = ?`).length,
    /** The states of a task by their times, each with its try. */
    states: (taskId = 0) =>
      db
        .rows("SELECT * FROM status WHERE run_id = ? AND task_id = ? ORDER BY timestamp", runId, taskId)
        .map((row) => String(row["task_status_name"])),
    tries: () => rows("SELECT * FROM try WHERE run_id = ? ORDER BY task_id, try_id"),
    workflow: () => rows("SELECT * FROM workflow WHERE run_id = ?")[0],
  };
}

function pending(seconds: number, fields: Parameters<typeof taskInfo>[0] = {}): Message {
  return taskInfo({ timestamp: at(seconds), taskStatusName: "pending", ...fields });
}

function launched(seconds: number, fields: Parameters<typeof taskInfo>[0] = {}): Message {
  const timestamp = at(seconds);
  return taskInfo({ timestamp, taskStatusName: "launched", taskTryTimeLaunched: timestamp, ...fields });
}

function done(seconds: number, fields: Parameters<typeof taskInfo>[0] = {}): Message {
  const timestamp = at(seconds);
  return taskInfo({
    ...{ timestamp, taskTimeReturned: timestamp, taskTryTimeReturned: timestamp },
    taskStatusName: "exec_done",
    ...fields,
  });
}

function started(seconds: number, fields: Parameters<typeof workerTaskInfo>[0] = {}): Message {
  return workerTaskInfo({ timestamp: at(seconds), ...fields });
}

function ended(seconds: number, fields: Parameters<typeof workerTaskInfo>[0] = {}): Message {
  return workerTaskInfo({ timestamp: at(seconds), firstMsg: false, lastMsg: true, ...fields });
}

test("case 6: a task that fails by dependency is stored without launch time and hash, and so are its neighbours", async (t) => {
  const run = await store([
    workflowStart(),
    pending(1, { taskId: 0 }),
    taskInfo({ taskId: 1, taskStatusName: "dep_fail" }),
    pending(1, { taskId: 2 }),
  ]);

  t.deepEqual([run.count("task"), run.count("try"), run.count("status")], [3, 3, 3]);
  t.deepEqual(run.states(1), ["dep_fail"]);
  t.like(run.rows("SELECT * FROM task WHERE run_id = ? AND task_id = 1")[0], { task_hashsum: null });
  t.is(run.tries()[1]?.["task_try_time_launched"], null);
});

test("case 8: a task that is first heard of when it is memoized has task, try and state", async (t) => {
  const run = await store([workflowStart(), taskInfo({ taskStatusName: "memo_done" })]);

  t.deepEqual([run.count("task"), run.count("try")], [1, 1]);
  t.deepEqual(run.states(), ["memo_done"]);
});

test("case 9: a state that is dated before an earlier one keeps its date", async (t) => {
  const run = await store([workflowStart(), pending(1), started(1.5), launched(1.6)]);

  t.deepEqual(run.states(), ["pending", "running", "launched"]);
  t.deepEqual(
    run
      .rows("SELECT timestamp FROM status WHERE run_id = ? ORDER BY timestamp")
      .map((row) => row["timestamp"]),
    [textAt(1), textAt(1.5), textAt(1.6)],
  );
});

test("case 10: a try that its executor starts twice has both starts, and the host of the later one", async (t) => {
  const run = await store([
    workflowStart(),
    started(2, { hostname: "n1" }),
    ended(3, { hostname: "n1" }),
    started(4, { hostname: "n2" }),
    pending(1),
    launched(1.5),
  ]);

  t.deepEqual(run.states(), ["pending", "launched", "running", "running_ended", "running"]);
  t.like(run.tries()[0], { hostname: "n2", task_try_time_running: textAt(4) });
});

test("case 12: a task whose messages come in reverse has all its states and its try complete", async (t) => {
  const run = await store([workflowStart()], [ended(5)], [started(3)], [launched(2)], [pending(1)]);

  t.deepEqual(run.states(), ["pending", "launched", "running", "running_ended"]);
  t.like(run.tries()[0], {
    hostname: "n1",
    block_id: "0",
    task_executor: "htex",
    task_try_time_launched: textAt(2),
    task_try_time_running: textAt(3),
  });
});

test("case 15: an older total that arrives later does not set the run back", async (t) => {
  const run = await store(
    [workflowStart()],
    [done(5, { tasksCompletedCount: 5 })],
    [done(4, { taskId: 1, tasksCompletedCount: 4 })],
  );

  t.is(run.workflow()?.["tasks_completed_count"], 5);
});

test("case 17: a retried task keeps the failure and host of its first try apart from its second", async (t) => {
  const run = await store([
    workflowStart(),
    launched(1),
    started(2, { hostname: "n1" }),
    taskInfo({
      timestamp: at(3),
      taskStatusName: "fail_retryable",
      taskFailHistory: "boom",
      taskFailCount: 1,
      taskFailCost: 1,
    }),
    launched(4, { tryId: 1, taskFailCount: 1, taskFailCost: 1 }),
    started(5, { tryId: 1, hostname: "n2" }),
    ended(6, { tryId: 1, hostname: "n2" }),
    done(7, { tryId: 1, taskFailCount: 1, taskFailCost: 1 }),
  ]);

  const [first, second] = run.tries();
  t.like(first, { try_id: 0, hostname: "n1", task_fail_history: "boom" });
  t.like(second, { try_id: 1, hostname: "n2", task_fail_history: "" });
  t.is(run.count("try"), 2);
  t.is(run.rows("SELECT * FROM task WHERE run_id = ?")[0]?.["task_fail_count"], 1);
});

test("case 18: a first message that is sent again wipes nothing that another message filled", async (t) => {
  const again = launched(1);
  const run = await store([workflowStart(), again], [started(2, { hostname: "n1", blockId: "3" })], [again]);

  t.deepEqual(run.states(), ["launched", "running"]);
  t.like(run.tries()[0], { hostname: "n1", block_id: "3", task_try_time_running: textAt(2) });
});

test("case 19: a block that an executor without blocks does not name is NULL, and erases none that is known", async (t) => {
  const run = await store([
    workflowStart(),
    ...[0, 1, 2].map((taskId) => launched(1, { taskId })),
    started(2, { taskId: 0, blockId: undefined }),
    started(2, { taskId: 1, blockId: "3" }),
    started(3, { taskId: 1, blockId: undefined }),
    started(2, { taskId: 2, blockId: "" }),
  ]);

  t.deepEqual(
    run.tries().map((row) => row["block_id"]),
    [null, "3", null],
  );
  t.is(run.tries()[1]?.["task_try_time_running"], textAt(3));
});

test("case 67: times of wrong clocks are stored as said, and the present state is right all the same", async (t) => {
  const run = await store([
    workflowStart(),
    launched(1_000),
    started(700), // a worker's clock that is 5 minutes behind
    ended(8_200), // and one that is 2 hours ahead
    done(1_001),
  ]);

  t.deepEqual(run.states(), ["running", "launched", "exec_done", "running_ended"]);
  t.is(run.tries()[0]?.["task_try_time_running"], textAt(700));
  t.deepEqual(run.rows("SELECT task_status_name FROM collector_task_state WHERE run_id = ?"), [
    { task_status_name: "exec_done" },
  ]);
});

test("case 67: the collector's own clock stands beside a sender's, so that its error can be estimated", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const aheadSeconds = 7_200;
  const now = BigInt(Date.now()) * 1_000n;
  const ahead = now + BigInt(aheadSeconds) * 1_000_000n;
  const timestamp = { seconds: ahead / 1_000_000n, nanos: 0 };

  await service.send([workerTaskInfo({ timestamp })], { runId });

  const sender = db.rows("SELECT * FROM collector_sender WHERE run_id = ?", runId)[0];
  const delaySeconds = Number(sender?.["least_delay_us"]) / 1e6;
  t.true(delaySeconds < -aheadSeconds + 60 && delaySeconds > -aheadSeconds - 60, String(delaySeconds));
  t.regex(String(sender?.["first_received_at"]), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/);
});

test("case 80: totals are the sender's, and a memoized task has no running time", async (t) => {
  const run = await store([
    workflowStart(),
    ...[0, 1, 2].flatMap((taskId) => [
      started(taskId, { taskId }),
      done(taskId + 1, { taskId, tasksCompletedCount: taskId + 1 }),
    ]),
    ...[3, 4].map((taskId) =>
      taskInfo({ taskId, taskStatusName: "memo_done", tasksCompletedCount: 3, tasksMemoCompletedCount: 2 }),
    ),
    workflowEnd({ tasksCompletedCount: 3 }),
  ]);

  t.like(run.workflow(), {
    tasks_completed_count: 3,
    tasks_failed_count: 0,
    time_completed: textAt(3_600),
  });
  t.deepEqual(
    run.tries().map((row) => row["task_try_time_running"] === null),
    [false, false, false, true, true],
  );
});

test("case 81: a join app has the numbers of its tasks on the try, and its extra state in order", async (t) => {
  const run = await store([
    workflowStart(),
    pending(1),
    launched(2),
    started(3),
    ended(4),
    taskInfo({ timestamp: at(5), taskStatusName: "joining", taskJoins: "1,2" }),
    done(6),
  ]);

  t.is(run.tries()[0]?.["task_joins"], "1,2");
  t.deepEqual(run.states(), ["pending", "launched", "running", "running_ended", "joining", "exec_done"]);
});

test("case 82: two runs with equal task numbers stay apart", async (t) => {
  const { service, db } = shared();
  const [one, two] = [newRunId(), newRunId()];

  await service.send([
    ...[one, two].map((runId) => workflowStart({ runId })),
    ...[one, two].map((runId) => taskInfo({ runId, taskFuncName: runId })),
  ]);

  for (const table of ["task", "try", "status", "workflow"]) {
    t.is(db.rows(`SELECT * FROM "${table}" WHERE run_id IN (?, ?)`, one, two).length, 2, table);
  }
  for (const runId of [one, two]) {
    t.is(db.value("SELECT task_func_name FROM task WHERE run_id = ?", runId), runId);
  }
});

test("case 88: a try whose node died has a start and no end, and a query finds it", async (t) => {
  const run = await store([
    workflowStart(),
    launched(1),
    started(2),
    nodeInfo({ active: false, timestamp: at(3) }),
    taskInfo({ timestamp: at(4), taskStatusName: "fail_retryable", taskFailCount: 1, taskFailCost: 1 }),
    workflowEnd(),
  ]);

  t.like(run.tries()[0], { task_try_time_running: textAt(2), task_try_time_returned: null });
  t.deepEqual(run.states(), ["launched", "running", "fail_retryable"]);
  t.is(run.workflow()?.["time_completed"], textAt(3_600));
  const neverEnded = run.rows(
    `SELECT task_id, try_id FROM try WHERE run_id = ? AND task_try_time_running IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM status s WHERE s.run_id = try.run_id AND s.task_id = try.task_id
         AND s.try_id = try.try_id AND s.task_status_name = 'running_ended')`,
  );
  t.deepEqual(neverEnded, [{ task_id: 0, try_id: 0 }]);
});

test("case 89: a task message that is sent twice costs no other task of its batch a state", async (t) => {
  const twice = launched(1);
  const run = await store(
    [workflowStart(), twice, started(2)],
    [twice, pending(3, { taskId: 1 }), pending(3, { taskId: 2 }), done(4)],
  );

  t.deepEqual([run.count("task"), run.count("status")], [3, 5]);
  t.deepEqual(run.states(0), ["launched", "running", "exec_done"]);
  t.deepEqual([run.states(1), run.states(2)], [["pending"], ["pending"]]);
});
