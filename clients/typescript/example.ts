import { randomUUID } from "node:crypto";
import { hostname, userInfo } from "node:os";
import { isDeepStrictEqual } from "node:util";

import Database from "better-sqlite3";
import { connect, timestampFromMicros, type Timestamp } from "parsl-collector";

/** Reports a little workflow of its own, then reads it back: five tasks, of which one fails at first and is tried
 *  again. Exit code 1 when it reads something else than it sent.
 *
 *  usage: example.js ADDRESS DATABASE */

const [address = "", database = ""] = process.argv.slice(2);
const tasks = 5;
const flakyTask = 3;

/** In us since 1970. This workflow does nothing, and its events come a quarter of a second after each other. */
let clockMicros = BigInt(Date.now()) * 1_000n;

const runId = randomUUID();
const client = connect({ address, runId });
await client.send({
  workflowStart: {
    timeBegan: nextEvent(),
    workflowName: "example",
    workflowVersion: "1",
    rundir: process.cwd(),
    user: userInfo().username,
    host: hostname(),
  },
});
for (let taskId = 0; taskId < tasks; taskId += 1) {
  const failures = taskId === flakyTask ? 1 : 0;
  for (let tryId = 0; tryId <= failures; tryId += 1) await reportTry(taskId, tryId, tryId < failures);
}
await client.send({
  workflowEnd: { timeCompleted: nextEvent(), tasksCompletedCount: tasks, tasksFailedCount: 0 },
});
await client.close(); // resolves when all of it is on the collector's disk

const expected = Array.from({ length: tasks }, (_, task) => {
  const tries = task === flakyTask ? 2 : 1;
  return { task, tries, status: "exec_done", samples: 2 * tries };
});
const found = readBack();
console.table(found);
if (!isDeepStrictEqual(found, expected) || client.counts.rejected > 0) {
  console.error(`example: ${database} holds something else than was sent`);
  process.exitCode = 1;
}

async function reportTry(taskId: number, tryId: number, fails: boolean): Promise<void> {
  await reportState(taskId, tryId, "pending");
  await reportState(taskId, tryId, "launched");
  await client.send({ workerTaskInfo: { taskId, tryId, firstMsg: true, timestamp: nextEvent() } });
  for (const cpuSeconds of [0.2, 0.4]) {
    await client.send({
      resourceInfo: { taskId, tryId, timestamp: nextEvent(), psutilProcessTimeUser: cpuSeconds },
    });
  }
  await client.send({ workerTaskInfo: { taskId, tryId, lastMsg: true, timestamp: nextEvent() } });
  await reportState(taskId, tryId, fails ? "fail_retryable" : "exec_done");
}

async function reportState(taskId: number, tryId: number, taskStatusName: string): Promise<void> {
  const failures = tryId + (taskStatusName === "fail_retryable" ? 1 : 0);
  await client.send({
    taskInfo: {
      ...{ taskId, tryId, taskStatusName, timestamp: nextEvent() },
      taskFuncName: "simulate",
      taskExecutor: "none",
      taskMemoize: false,
      taskFailCount: failures,
      taskFailCost: failures,
    },
  });
}

function nextEvent(): Timestamp {
  clockMicros += 250_000n;
  return timestampFromMicros(clockMicros);
}

function readBack(): unknown[] {
  const db = new Database(database, { readonly: true });
  try {
    const query = `
      SELECT task_id AS task,
        (SELECT count(*) FROM try WHERE try.run_id = task.run_id AND try.task_id = task.task_id) AS tries,
        (SELECT task_status_name FROM status WHERE status.run_id = task.run_id AND status.task_id = task.task_id
          ORDER BY timestamp DESC LIMIT 1) AS status,
        (SELECT count(*) FROM resource WHERE resource.run_id = task.run_id AND resource.task_id = task.task_id)
          AS samples
      FROM task WHERE run_id = ? ORDER BY task_id`;
    return db.prepare(query).all(runId);
  } finally {
    db.close();
  }
}
