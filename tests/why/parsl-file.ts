import { readFileSync } from "node:fs";

import Database from "better-sqlite3";

import { goldenRows } from "../support/golden.js";
import type { Scope } from "../support/scope.js";

/** The run in the golden file. */
export const goldenRun = "803afe5f-20d5-405c-985e-72a06e9b936c";

const schema = readFileSync(new URL("../../../tests/golden/schema.sql", import.meta.url), "utf8");

/** A database with Parsl's tables alone, as its own hub writes them, closed after the test. */
export interface ParslFile {
  readonly db: Database.Database;
  readonly insert: (table: string, ...rows: Readonly<Record<string, unknown>>[]) => void;
}

/** One with the rows that Parsl's hub made of the golden run. */
export function parslFile(t: Scope, rows = goldenRows()): ParslFile {
  const db = new Database(":memory:");
  t.teardown(() => db.close());
  db.exec(schema);
  const insert: ParslFile["insert"] = (table, ...some) => {
    for (const row of some) {
      const columns = Object.keys(row);
      db.prepare(
        `INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      ).run(...Object.values(row));
    }
  };
  for (const [table, some] of Object.entries(rows)) insert(table, ...some);
  return { db, insert };
}

/** The tasks that a finding's query returns, each once, in order. */
export function tasksShownBy(db: Database.Database, query: string): number[] {
  const rows = db.prepare<[], { task_id: number | null }>(query).all();
  const tasks = rows.flatMap(({ task_id }) => (task_id === null ? [] : [task_id]));
  return [...new Set(tasks)].sort((a, b) => a - b);
}
