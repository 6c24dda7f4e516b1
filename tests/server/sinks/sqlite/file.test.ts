import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

import { cureOf, isTemporary, openFile, prepareFile } from "../../../../src/server/sinks/sqlite/file.js";
import { parslSchema } from "../../../../src/server/sinks/sqlite/schema.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";

test("a new file has a WAL and pages of 8 KiB, and says why", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = openFile(path);
  t.teardown(() => db.close());

  const { journalMode, because } = prepareFile(db, { path, journalMode: "auto", durability: "full" });

  t.is(journalMode, "wal");
  t.is(because, "local filesystem");
  t.is(db.pragma("page_size", { simple: true }), 8192);
  t.is(db.pragma("synchronous", { simple: true }), 2, "FULL");
});

test("a rollback journal that is asked for takes the place of a WAL", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const before = openFile(path);
  prepareFile(before, { path, journalMode: "wal", durability: "full" });
  before.close();
  const db = openFile(path);
  t.teardown(() => db.close());

  const { journalMode } = prepareFile(db, { path, journalMode: "delete", durability: "normal" });

  t.is(journalMode, "delete");
  t.is(db.pragma("synchronous", { simple: true }), 1, "NORMAL");
});

test("preparing a file twice changes nothing", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = openFile(path);
  t.teardown(() => db.close());
  const schema = () => db.prepare("SELECT type, name, sql FROM sqlite_master ORDER BY name").all();
  prepareFile(db, { path, journalMode: "auto", durability: "full" });
  const before = schema();

  prepareFile(db, { path, journalMode: "auto", durability: "full" });

  t.deepEqual(schema(), before);
});

test("every column that is missing is named, with its table", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const older = new Database(path);
  for (const [table, column] of [
    ["workflow", "rundir"],
    ["node", "uid"],
  ] as const) {
    const statement = parslSchema[table] ?? "";
    older.exec(statement);
    // Under another name: a column of a key cannot be dropped.
    older.exec(`ALTER TABLE ${table} RENAME COLUMN ${column} TO other`);
  }
  older.close();
  const db = openFile(path);
  t.teardown(() => db.close());

  const error = t.throws(() => prepareFile(db, { path, journalMode: "auto", durability: "full" }));

  t.regex(
    error.message,
    /its table workflow lacks the column rundir, and its table node lacks the column uid,/,
  );
});

test("a lock and a full disk are waited for, a fault in the data is not", (t) => {
  const fault = (code: string) => new Database.SqliteError("it failed", code);

  for (const code of [
    "SQLITE_BUSY",
    "SQLITE_BUSY_SNAPSHOT",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR_WRITE",
  ]) {
    t.true(isTemporary(fault(code)), code);
  }
  for (const code of ["SQLITE_CONSTRAINT_NOTNULL", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_READONLY"]) {
    t.false(isTemporary(fault(code)), code);
  }
  t.false(isTemporary(new Error("SQLITE_BUSY")));
});

test("whatever is waited for, there is something to do about it", (t) => {
  const cure = (code: string) => cureOf(new Database.SqliteError("it failed", code), "/runs/m.db");

  t.regex(cure("SQLITE_BUSY_SNAPSHOT"), /end the transaction of .* \(fuser -v \/runs\/m\.db names /);
  t.regex(cure("SQLITE_FULL"), /make room/);
  t.regex(cure("SQLITE_IOERR_WRITE"), /see whether its disk is there/);
});
