import { join } from "node:path";

import test from "ava";

import { monitoringMessage } from "../../../../src/client/message.js";
import { MonitoringMessage } from "../../../../src/model/messages.js";
import { at, taskInfo, workerTaskInfo, workflowEnd } from "../../../support/builders.js";
import { openDatabase, type Row } from "../../../support/database.js";
import { envelopeOfBytes } from "../../../support/encoded.js";
import { goldenMessages } from "../../../support/golden.js";
import { openPostgresWriter } from "../../../support/postgres-writer.js";
import { readPostgres, sharedPostgres, whyNoPostgres } from "../../../support/postgres.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { arrivals, openWriter } from "../../../support/writer.js";

const why = whyNoPostgres();
const server = sharedPostgres();

/** The same rows with these seconds: SQLite computes with times to the millisecond, so they may be one off. */
function withSecondsOf(rows: readonly Row[], other: readonly Row[]): Row[] {
  return rows.map((row, index) => {
    const near = Object.entries(other[index] ?? {}).filter(
      ([column, value]) =>
        column.endsWith("seconds") && Math.abs(Number(value) - Number(row[column])) < 0.0015,
    );
    return { ...row, ...Object.fromEntries<unknown>(near) };
  });
}

(why === undefined ? test : test.skip)(
  `the views say of the same messages what SQLite's say${why === undefined ? "" : ` (skipped: ${why})`}`,
  async (t) => {
    const running = [
      taskInfo({ taskId: 1, taskStatusName: "launched", taskTryTimeLaunched: at(1), timestamp: at(1) }),
      workerTaskInfo({ taskId: 1, timestamp: at(2.5) }),
      taskInfo({ taskId: 2, tryId: 0, taskFailHistory: "once" }),
      taskInfo({ taskId: 2, tryId: 1, taskFailHistory: "twice", taskStatusName: "failed", timestamp: at(4) }),
      workflowEnd(),
    ];
    const messages = [...goldenMessages(), ...running].map((message) =>
      MonitoringMessage.encode(monitoringMessage(message)).finish(),
    );
    const group = arrivals([envelopeOfBytes(messages, { senderId: "s1" })]);
    const path = join(temporaryDirectory(t), "monitoring.db");
    const sqlite = openWriter(path);
    sqlite.store(group);
    sqlite.close();
    const database = await server().newDatabase();
    await (await openPostgresWriter(t, database)).store(group);
    const file = openDatabase(t, path);
    const reading = await readPostgres(t, database);

    for (const [view, order, least] of [
      ["collector_task_state", "run_id, task_id", 10],
      ["collector_view_task", "run_id, task_id", 10],
      ["collector_view_run", "run_id", 2],
    ] as const) {
      const rows = file.rows(`SELECT * FROM ${view} ORDER BY ${order}`);
      t.true(rows.length >= least, view);
      const found = await reading.rows(`SELECT * FROM ${view} ORDER BY ${order}`);
      t.deepEqual(withSecondsOf(found, rows), rows);
    }
  },
);
