import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import Database from "better-sqlite3";

import type { SqlValue } from "../../../../src/server/rows/value.js";
import { prepareFile } from "../../../../src/server/sinks/sqlite/file.js";
import { Insert } from "../../../../src/server/sinks/sqlite/insert.js";
import { columnsOf } from "../../../../src/server/sinks/sqlite/schema.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";

/** Statements whose repeating texts are part of them: what is stored must not tell. */

const columns = columnsOf("resource");
const key = ["try_id", "task_id", "run_id", "timestamp"];

/** Run ids and states as a hostile sender has them. */
const texts: readonly SqlValue[] = [
  ...["plain", "it's", "''", "'); DROP TABLE resource; --", "ends in NUL\0", "\0'", '"', "?", ":name", "\\'"],
  ...["Zürich 🧪", "lone \ud800", " ", "", null, 5, new Uint8Array([1, 2])],
];

function rowOf(runId: SqlValue, status: SqlValue, taskId: number): SqlValue[] {
  const values: Readonly<Record<string, SqlValue>> = {
    ...{ try_id: 0, task_id: taskId, run_id: runId, timestamp: "2026-01-01 00:00:00.000001" },
    ...{ psutil_process_status: status, psutil_process_cpu_percent: 0.5, psutil_cpu_num: "1" },
  };
  return columns.map((column) => values[column] ?? null);
}

test("rows are stored as without it, and once, whatever the texts are", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = new Database(path);
  t.teardown(() => db.close());
  prepareFile(db, { path, journalMode: "wal", durability: "full" });
  db.exec("CREATE TABLE expected AS SELECT * FROM resource");
  const expect = db.prepare(
    `INSERT INTO expected (${columns.join()}) VALUES (${columns.map(() => "?").join()})`,
  );
  const insert = new Insert(db, "resource", key, ["run_id", "psutil_process_status"]);
  const runs = texts.filter((text) => text !== null);
  const wrong: unknown[] = [];
  db.transaction(() => {
    // Each pair often enough for a statement of its own, and each row twice.
    for (const [first, second] of [...pairs(runs, ["running", "it's"]), ...pairs(["plain"], texts)]) {
      for (let taskId = 0; taskId < 250; taskId += 1) {
        const row = rowOf(first, second, taskId + 1000 * texts.indexOf(second));
        const isNew = insert.run(row);
        if (isNew) expect.run(...row);
        if (insert.run(row)) wrong.push(row);
      }
    }
  })();
  t.deepEqual(wrong, []);
  const stored = (table: string): unknown[] =>
    db.prepare(`SELECT * FROM ${table} ORDER BY rowid`).raw().all();
  t.is(stored("resource").length, 250 * (2 * runs.length + texts.length - 1));
  t.deepEqual(stored("resource"), stored("expected"));
});

test("of a thousand runs in turn none gets a statement of its own, and all are stored", (t) => {
  const { db, insert, prepared } = openCounting(t);
  db.transaction(() => {
    for (let taskId = 0; taskId < 110; taskId += 1) {
      for (let run = 0; run < 1_000; run += 1) insert.run(rowOf(`run-${String(run)}`, "running", taskId));
    }
  })();
  t.is(db.prepare("SELECT count(*) FROM resource").pluck().get(), 110_000);
  t.is(prepared(), 1);
});

test("a state of a million characters becomes no part of a statement, which would keep it in memory", (t) => {
  const { db, insert, prepared } = openCounting(t);
  const state = "x".repeat(1_000_001);
  for (let taskId = 0; taskId < 110; taskId += 1) {
    // The same key again and again: none of them need be kept.
    t.is(insert.run(rowOf("run", state, 0)), taskId === 0);
  }
  t.is(db.prepare("SELECT length(psutil_process_status) FROM resource").pluck().get(), state.length);
  t.is(prepared(), 1);
});

/** With a count of the statements that it makes. */
function openCounting(t: ExecutionContext): {
  readonly db: Database.Database;
  readonly insert: Insert;
  readonly prepared: () => number;
} {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = new Database(path);
  t.teardown(() => db.close());
  prepareFile(db, { path, journalMode: "wal", durability: "full" });
  let prepared = 0;
  const counting = new Proxy(db, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (name === "prepare") prepared += 1;
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  const insert = new Insert(counting, "resource", key, ["run_id", "psutil_process_status"]);
  return { db, insert, prepared: () => prepared };
}

function* pairs(firsts: readonly SqlValue[], seconds: readonly SqlValue[]): Generator<[SqlValue, SqlValue]> {
  for (const first of firsts) for (const second of seconds) yield [first, second];
}
