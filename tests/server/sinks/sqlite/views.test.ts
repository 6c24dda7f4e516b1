import { join } from "node:path";

import test, { type ExecutionContext } from "ava";

import type { Message } from "../../../../src/client/message.js";
import {
  at,
  runId,
  taskInfo,
  textAt,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../../../support/builders.js";
import { openDatabase, type ReadableDatabase } from "../../../support/database.js";
import { envelopeOf } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../../../support/writer.js";

/** The views that users read. */

function fileWith(t: ExecutionContext, messages: readonly Message[]): ReadableDatabase {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  acknowledgementsOf(writer, [envelopeOf(messages)]);
  writer.close();
  return openDatabase(t, path);
}

const said = (taskId: number, seconds: number, taskStatusName: string, fields = {}): Message =>
  taskInfo({ taskId, timestamp: at(seconds), taskStatusName, taskTimeInvoked: at(1), ...fields });

const started = (taskId: number, seconds: number, fields = {}): Message =>
  workerTaskInfo({ taskId, timestamp: at(seconds), ...fields });

const ended = (taskId: number, seconds: number, fields = {}): Message =>
  started(taskId, seconds, { firstMsg: false, lastMsg: true, ...fields });

test("a task has one row, with what its last try says, by the worker's clock for how long it ran", (t) => {
  const launched = { taskTryTimeLaunched: at(2) };
  const again = { tryId: 1, taskTryTimeLaunched: at(20) };
  const db = fileWith(t, [
    workflowStart(),
    said(0, 1, "pending"),
    said(0, 2, "launched", launched),
    started(0, 3),
    ended(0, 4),
    said(0, 5, "fail_retryable", { ...launched, taskFailHistory: "ValueError('first')" }),
    said(0, 20, "launched", again),
    started(0, 23.5, { tryId: 1, hostname: "n2", blockId: "7" }),
    ended(0, 30.75, { tryId: 1 }),
    ended(0, 30.5, { tryId: 1 }),
    said(0, 99, "failed", { ...again, taskTryTimeReturned: at(99), taskFailHistory: "ValueError('second')" }),
  ]);

  const rows = db.rows("SELECT * FROM collector_view_task");

  t.is(rows.length, 1);
  t.like(rows[0], {
    ...{ run_id: runId, task_id: 0, app: "add", state: "failed", tries: 2, executor: "htex" },
    ...{ block_id: "7", hostname: "n2", waiting_seconds: 3.5, running_seconds: 7.25 },
    failure: "ValueError('second')",
  });
  t.is(String(rows[0]?.["time_ended"]).slice(17), textAt(30.75).slice(17));
});

test("what a task has not come to is NULL", (t) => {
  const db = fileWith(t, [
    workflowStart(),
    said(0, 1, "pending"),
    said(1, 2, "launched", { taskTryTimeLaunched: at(2) }),
    started(1, 4),
    said(2, 2, "memo_done", { taskTryTimeReturned: at(3) }),
    said(3, 1, "launched", { taskTryTimeLaunched: at(1) }),
    ...[started(3, 2), ended(3, 3), said(3, 4, "fail_retryable", { taskTryTimeLaunched: at(1) })],
    said(3, 5, "launched", { tryId: 1, taskTryTimeLaunched: at(5) }),
    started(3, 6, { tryId: 1 }),
    said(4, 9, "exec_done", { taskFailHistory: "ValueError('of a try before')" }),
  ]);

  const rows = db.rows(
    "SELECT state, waiting_seconds AS waiting, running_seconds AS running, failure FROM collector_view_task ORDER BY task_id",
  );

  t.deepEqual(rows, [
    { state: "pending", waiting: null, running: null, failure: null },
    { state: "running", waiting: 2, running: null, failure: null },
    { state: "memo_done", waiting: null, running: null, failure: null },
    { state: "running", waiting: 1, running: null, failure: null },
    { state: "exec_done", waiting: null, running: null, failure: null },
  ]);
});

test("a run has one row, in which each of its tasks counts once", (t) => {
  const empty = "00000000-0000-4000-8000-00000000000e";
  const db = fileWith(t, [
    workflowStart(),
    workflowStart({ runId: empty }),
    said(0, 1, "exec_done"),
    said(1, 1, "memo_done"),
    said(2, 1, "failed"),
    said(3, 1, "dep_fail"),
    said(4, 1, "launched", { taskTryTimeLaunched: at(1) }),
    started(4, 2),
    said(5, 1, "pending"),
    said(6, 1, "fail_retryable"),
    said(6, 2, "launched", { tryId: 1 }),
    workflowEnd({ timeCompleted: at(90) }),
  ]);

  const rows = db.rows("SELECT * FROM collector_view_run ORDER BY run_id DESC");

  t.like(rows[0], { run_id: runId, workflow_name: "demo", seconds: 90 });
  t.like(rows[0], { tasks: 7, done: 2, failed: 2, running: 1, waiting: 2, tries: 8, hosts: 1 });
  t.like(rows[1], { run_id: empty, seconds: null, tasks: 0, done: 0, waiting: 0, tries: 0, hosts: 0 });
});
