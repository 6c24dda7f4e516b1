import { join } from "node:path";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import type { Message } from "../../../../src/client/message.js";
import {
  NewRows,
  storedKinds,
  type NewRowsOptions,
  type StoredMessage,
} from "../../../../src/server/sinks/sqlite/new-rows.js";
import { TaskStates } from "../../../../src/server/sinks/sqlite/task-states.js";
import {
  at,
  blockInfo,
  nodeInfo,
  nodeUsage,
  runId,
  sample,
  taskInfo,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../../../support/builders.js";
import { envelopeOf } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../../../support/writer.js";

/** What has come into a file since somebody last looked, with the file's writer at work. */

interface File {
  readonly db: Database.Database;
  readonly store: (messages: readonly Message[], runId?: string) => void;
}

function open(t: ExecutionContext): File {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  const db = new Database(path, { readonly: true });
  t.teardown(() => db.close());
  return {
    db,
    store: (messages, run = runId) => {
      acknowledgementsOf(writer, [envelopeOf(messages, { runId: run })]);
    },
  };
}

function newRows(db: Database.Database, options: Partial<NewRowsOptions> = {}): NewRows {
  return new NewRows(db, { runId: "", kinds: storedKinds, fromStart: false, ...options });
}

function said({ kind, taskId, state, hostname }: StoredMessage): string {
  return [kind, taskId, state, hostname].filter((part) => part !== undefined).join(" ");
}

const everything = [
  workflowStart(),
  blockInfo(),
  nodeInfo(),
  taskInfo(),
  workerTaskInfo(),
  sample(1),
  nodeUsage(),
  nodeUsage({ hostname: "n2", timestamp: at(5) }),
  workflowEnd(),
  taskInfo({ taskId: 1, taskStatusName: undefined }),
];

test("each message of a file is told once, in the order of their times, with its task, state and host", (t) => {
  const { db, store } = open(t);
  store(everything);

  const rows = newRows(db, { fromStart: true });
  const told = [...rows.read()].filter(({ kind }) => kind !== "REJECTED").map(said);

  t.deepEqual(told, [
    "WORKFLOW_INFO started submit",
    "BLOCK_INFO RUNNING",
    "NODE_INFO active n1",
    "TASK_INFO 0 pending n1",
    "WORKER_TASK_INFO 0 running n1",
    "RESOURCE_INFO 0 sleeping n1",
    "NODE_USAGE n1",
    "NODE_USAGE n2",
    "WORKFLOW_INFO completed submit",
  ]);
  t.deepEqual([...rows.read()], []);
});

test("a message that no table took is told with its kind and the reason", (t) => {
  const { db, store } = open(t);
  const rows = newRows(db, { kinds: ["REJECTED"] });
  store(everything);

  const [rejected, ...more] = [...rows.read()];

  t.like(rejected, { kind: "REJECTED", runId, state: "TASK_INFO" });
  t.regex(rejected?.detail ?? "", /lacks task_status_name/);
  t.deepEqual(more, []);
});

test("only what comes after the first look is new, also the end of a workflow and the next sample of a node", (t) => {
  const { db, store } = open(t);
  store(everything.slice(0, -2));
  const rows = newRows(db);

  const before = [...rows.read()];
  store([
    workflowEnd(),
    nodeUsage({ timestamp: at(34) }),
    nodeUsage({ hostname: "n0" }),
    taskInfo({ taskId: 7 }),
  ]);
  const after = [...rows.read()].map(said);

  t.deepEqual(before, []);
  t.deepEqual(after.sort(), [
    "NODE_USAGE n0",
    "NODE_USAGE n1",
    "TASK_INFO 7 pending",
    "WORKFLOW_INFO completed submit",
  ]);
});

test("a table with more rows than are read at once is told whole, and what was not taken comes first later", (t) => {
  const { db, store } = open(t);
  store([...Array(2_500).keys()].map(sample));
  const rows = newRows(db, { fromStart: true });

  const times: string[] = [];
  for (const { time } of rows.read()) if (times.push(time) === 1_200) break;
  for (const { time } of rows.read()) times.push(time);

  t.is(times.length, 2_500);
  t.deepEqual(times, [...new Set(times)].sort());
});

test("a workflow is told when its start comes, though its row was there before", (t) => {
  const { db, store } = open(t);
  const rows = newRows(db, { kinds: ["WORKFLOW_INFO"] });

  store([taskInfo()]);
  const before = [...rows.read()];
  store([workflowStart()]);
  const after = [...rows.read()].map(said);

  t.deepEqual(before, []);
  t.deepEqual(after, ["WORKFLOW_INFO started submit"]);
});

test("one run, and one kind", (t) => {
  const { db, store } = open(t);
  store([workflowStart(), taskInfo(), workerTaskInfo()]);
  store([workflowStart(), taskInfo({ taskId: 5 })], "another");

  const ofRun = [...newRows(db, { fromStart: true, runId: "another" }).read()];
  const ofKind = [...newRows(db, { fromStart: true, kinds: ["WORKER_TASK_INFO"] }).read()];

  t.deepEqual(
    ofRun.map(({ kind, runId: run }) => [kind, run]),
    [
      ["WORKFLOW_INFO", "another"],
      ["TASK_INFO", "another"],
    ],
  );
  t.deepEqual(ofKind.map(said), ["WORKER_TASK_INFO 0 running n1"]);
});

test("tasks are counted by the state that they are in now, from look to look", (t) => {
  const { db, store } = open(t);
  store([taskInfo(), taskInfo({ taskId: 1 }), taskInfo({ taskId: 2 })]);
  const states = new TaskStates(db);

  states.update();
  const first = Object.fromEntries(states.of(runId));
  store([
    taskInfo({ taskId: 1, taskStatusName: "launched", timestamp: at(2) }),
    workerTaskInfo({ taskId: 1, timestamp: at(3) }),
    taskInfo({ taskId: 2, taskStatusName: "exec_done", timestamp: at(9) }),
    taskInfo({ taskId: 3 }),
  ]);
  const newest = states.update();
  const second = Object.fromEntries(states.of(runId));

  t.deepEqual(first, { pending: 3 });
  t.deepEqual(second, { pending: 2, running: 1, exec_done: 1 });
  t.regex(newest ?? "", /:09\.000000$/);
  t.is(states.update(), undefined);
});
