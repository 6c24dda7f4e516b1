import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import Database from "better-sqlite3";

import type { SqlValue } from "../../../../src/server/rows/value.js";
import { prepareFile } from "../../../../src/server/sinks/sqlite/file.js";
import { AddRows, orReplace, PutRows, type Row } from "../../../../src/server/sinks/sqlite/insert.js";
import { columnsOf } from "../../../../src/server/sinks/sqlite/schema.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";

/** Statements of several rows: what is stored, and what is said of each, must not tell. */

const columns = columnsOf("resource");
const key = ["try_id", "task_id", "run_id", "timestamp"];

/** As many as take each of the statements, and each more than once. */
const enough = 2 * 32 + 2 * 8 + 2;

function rowOf(taskId: SqlValue, runId: SqlValue = "run", status: SqlValue = "running"): Row {
  const values: Readonly<Record<string, SqlValue>> = {
    ...{ try_id: 0, task_id: taskId, run_id: runId, timestamp: "2026-01-01 00:00:00.000001" },
    ...{ psutil_process_status: status, psutil_process_memory_percent: 0.5, psutil_cpu_num: "1" },
  };
  return columns.map((column) => values[column] ?? null);
}

const rowsOf = (count: number, runId?: SqlValue): Row[] =>
  Array.from({ length: count }, (_, taskId) => rowOf(taskId, runId));

test("rows are stored as they are given and in their order, however many there are", (t) => {
  for (const count of [0, 1, 7, 8, 9, 32, 33, 40, 41, enough]) {
    const { db, add } = open(t);
    const rows = rowsOf(count);
    t.deepEqual(addedOf(add, rows), Array(count).fill(true), String(count));
    t.deepEqual(stored(db), rows, String(count));
  }
});

test("whatever the texts of runs and states are", (t) => {
  const texts: readonly SqlValue[] = [
    ...["plain", "it's", "''", "'); DROP TABLE resource; --", "ends in NUL\0", "\0'", '"', "?", "@shared"],
    ...["\\'", "Zürich 🧪", "lone \ud800", " ", "", 5, new Uint8Array([1, 2]), "x".repeat(1_000_001)],
  ];
  const { db, add } = open(t);
  const expected = db.prepare(`INSERT INTO expected VALUES (${columns.map(() => "?").join()})`);
  const rows = texts.flatMap((text, index) => [
    ...Array.from({ length: 10 }, (_, taskId) => rowOf(taskId, text)),
    rowOf(1_000 + index, "plain", text),
  ]);
  rows.push(rowOf(2_000, "plain", null));
  for (const row of rows) expected.run(...row);
  t.deepEqual(addedOf(add, rows), Array(rows.length).fill(true));
  t.deepEqual(addedOf(add, rows), Array(rows.length).fill(false));
  t.deepEqual(stored(db), stored(db, "expected"));
});

test("runs that take turns keep the order of their rows", (t) => {
  const { db, add } = open(t);
  const rows = Array.from({ length: 50 }, (_, taskId) => rowOf(taskId, `run-${String(taskId % 2)}`));
  add.run(rows);
  t.deepEqual(stored(db), rows);
});

test("of rows among which some are known, it says of each whether it was new", (t) => {
  const { db, add } = open(t);
  const known = rowsOf(enough).filter((_, index) => index % 5 === 0 || (index >= 32 && index < 48));
  t.deepEqual(new Set(addedOf(add, known)), new Set([true]));
  // One comes twice: new the first time, and known the second.
  const rows = [...rowsOf(enough).toSpliced(3, 0, rowOf(2)), ...rowsOf(enough)];
  const isNew = rows.map(
    (row, index) =>
      !known.some((one) => one[1] === row[1]) && rows.findIndex((one) => one[1] === row[1]) === index,
  );
  t.true(isNew.includes(true) && isNew.includes(false));
  t.deepEqual(addedOf(add, rows), isNew);
  t.is(stored(db).length, enough);
  t.deepEqual(addedOf(add, rows), Array(rows.length).fill(false));
});

test("a row that may not be ends the transaction, and with it all of them", (t) => {
  const { db, add } = open(t);
  const rows = rowsOf(enough).with(20, rowOf(null));
  const error = t.throws(() => db.transaction(() => add.run(rows))());
  t.regex(error.message, /NOT NULL constraint failed: resource\.task_id/);
  t.is(stored(db).length, 0);
});

test("rows that are there take the new values", (t) => {
  const { db, add } = open(t);
  add.run(rowsOf(enough));
  const others = columns.filter((name) => !key.includes(name));
  const put = new PutRows(db, "resource", columns, orReplace(key, others));
  const rows = Array.from({ length: enough + 10 }, (_, taskId) => rowOf(taskId, "run", "sleeping"));
  put.run(rows);
  t.deepEqual(stored(db), rows);
});

/** A file with Parsl's tables, and one as `resource` without a key. */
function open(t: ExecutionContext): { readonly db: Database.Database; readonly add: AddRows } {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = new Database(path);
  t.teardown(() => db.close());
  prepareFile(db, { path, journalMode: "wal", durability: "full" });
  db.exec("CREATE TABLE expected AS SELECT * FROM resource");
  return { db, add: new AddRows(db, "resource", key) };
}

/** Adds rows, and says of each whether it was new. */
function addedOf(add: AddRows, rows: readonly Row[]): boolean[] {
  const known = new Set(add.run(rows));
  return rows.map((row) => !known.has(row));
}

function stored(db: Database.Database, table = "resource"): unknown[] {
  return db.prepare(`SELECT * FROM ${table} ORDER BY rowid`).raw().all();
}
