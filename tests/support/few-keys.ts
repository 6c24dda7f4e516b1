import Database from "better-sqlite3";
import fc from "fast-check";

import type { Message } from "../../src/client/message.js";
import { columnsOf, parslSchema } from "../../src/server/sinks/sqlite/schema.js";
import * as build from "./builders.js";

// Few runs, tasks, tries and times, so that messages meet in one row, and rows under one key, all the time.
const time = fc.constantFrom(build.at(1), build.at(1.000001), build.at(2));
const runId = fc.constantFrom("run-a", "run-a", "run-b");
const taskId = fc.nat({ max: 1 });
const tryId = fc.nat({ max: 2 });
const text = fc.option(fc.constantFrom("", "x", "y"), { nil: undefined });
const total = fc.option(fc.nat({ max: 5 }), { nil: undefined });

/** Messages of all kinds that hit few keys. Samples and rows of `node` with equal keys have equal content:
 *  which of two different ones stands is the one thing that order decides. */
export const messageOnFewKeys: fc.Arbitrary<Message> = fc.oneof(
  fc
    .record({ runId, timeBegan: time, workflowName: text, tasksCompletedCount: total })
    .map(build.workflowStart),
  fc
    .record({ runId, timeCompleted: time, tasksFailedCount: total, tasksCompletedCount: total })
    .map(build.workflowEnd),
  fc
    .record({
      ...{ runId, taskId, tryId, timestamp: time, taskInputs: text, taskHashsum: text, taskStdout: text },
      taskStatusName: fc.constantFrom("pending", "launched", "exec_done"),
      taskExecutor: fc.constantFrom("htex", "threads"),
      taskTryTimeLaunched: fc.option(time, { nil: undefined }),
      taskFailCount: fc.nat({ max: 2 }),
      taskFailHistory: text,
      tasksCompletedCount: total,
    })
    .map(build.taskInfo),
  fc
    .record({ runId, taskId, tryId, timestamp: time, hostname: text, blockId: text, firstMsg: fc.boolean() })
    .map((fields) => build.workerTaskInfo({ ...fields, lastMsg: !fields.firstMsg })),
  fc.record({ runId, taskId, tryId, timestamp: time }).map(build.resourceInfo),
  fc.record({ runId, timestamp: time, uid: fc.constantFrom("a", "b") }).map(build.nodeInfo),
  fc
    .record({ runId, timestamp: time, jobId: text, status: fc.constantFrom("PENDING", "RUNNING") })
    .map(build.blockInfo),
  fc.record({ hostname: fc.constantFrom("n1", "n2"), timestamp: time }).map(build.nodeUsage),
);

/** All rows of the tables of messages, sorted, without the numbers that `node` gives its rows. */
export function tablesOf(path: string): Record<string, string[]> {
  const db = new Database(path, { readonly: true });
  try {
    return Object.fromEntries(
      [...Object.keys(parslSchema), "collector_node_usage"].map((table) => {
        const columns = columnsOf(table).filter((column) => column !== "id");
        const rows = db
          .prepare(`SELECT ${columns.join(", ")} FROM "${table}"`)
          .raw()
          .all();
        return [table, rows.map((row) => JSON.stringify(row)).sort()];
      }),
    );
  } finally {
    db.close();
  }
}
