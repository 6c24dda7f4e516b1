import Database from "better-sqlite3";
import type { Scope } from "./scope.js";

export type Row = Record<string, unknown>;

/** A database file as its readers see it. */
export interface ReadableDatabase {
  readonly rows: (sql: string, ...values: readonly unknown[]) => Row[];
  /** The first column of the first row. */
  readonly value: (sql: string, ...values: readonly unknown[]) => unknown;
  readonly count: (table: string) => number;
}

/** Opens the file read-only until the test ends. */
export function openDatabase(t: Scope, path: string): ReadableDatabase {
  const database = new Database(path, { readonly: true, timeout: 10_000 });
  t.teardown(() => database.close());
  const value = (sql: string, ...values: readonly unknown[]): unknown =>
    database
      .prepare(sql)
      .pluck()
      .get(...values);
  return {
    rows: (sql, ...values) => database.prepare(sql).all(...values) as Row[],
    value,
    count: (table) => Number(value(`SELECT count(*) FROM "${table}"`)),
  };
}
