import type Database from "better-sqlite3";

import type { SqlValue } from "../../rows/value.js";
import { columnsOf, whereAre } from "./schema.js";

export type Row = readonly SqlValue[];

/** Rows that one statement writes: as many as it may, then fewer. A call of a statement costs a third of what a sample
 *  does; more than 32 at a time save nothing more. */
const rowsOfStatement = [32, 8, 1];

/** Where several rows have it, its value is given once for all of them: to give a text costs as much as two or three
 *  numbers. */
const sharedColumn = "run_id";

/** Writes rows of a table, several with one statement where they follow each other and are of one run.
 *
 *  OR FAIL, for a fault ends the transaction and not only the statement: by default SQLite would have to be able to undo
 *  the statement alone, and would copy each page before a statement of several rows changes it, which costs twice as much
 *  as the rows. */
export class PutRows {
  readonly #statements: readonly { readonly rows: number; readonly put: Database.Statement }[];
  /** -1 in a table without. */
  readonly #shared: number;

  /** `onConflict`: what is done about a row whose key is there. */
  constructor(db: Database.Database, table: string, columns: readonly string[], onConflict = "") {
    this.#shared = columns.indexOf(sharedColumn);
    this.#statements = rowsOfStatement.map((rows) => {
      const row = columns.map((name) => (name === sharedColumn && rows > 1 ? "@shared" : "?"));
      const values = Array<string>(rows).fill(`(${row.join(", ")})`);
      const sql = `INSERT OR FAIL INTO "${table}" (${columns.join(", ")}) VALUES ${values.join(", ")} ${onConflict}`;
      return { rows, put: db.prepare(sql) };
    });
  }

  /** `onPut` is told what each statement did with the rows between two indexes. */
  run(rows: readonly Row[], onPut?: (did: Database.RunResult, from: number, to: number) => void): void {
    for (let from = 0; from < rows.length;) {
      const end = this.#endOfRun(rows, from);
      for (const { rows: count, put } of this.#statements) {
        while (end - from >= count) {
          const to = from + count;
          const did = count === 1 ? put.run(...(rows[from] ?? [])) : put.run(...this.#values(rows, from, to));
          onPut?.(did, from, to);
          from = to;
        }
      }
    }
  }

  /** The first row behind `from` that is of another run. */
  #endOfRun(rows: readonly Row[], from: number): number {
    if (this.#shared === -1) return rows.length;
    const shared = rows[from]?.[this.#shared];
    let end = from + 1;
    while (end < rows.length && rows[end]?.[this.#shared] === shared) end += 1;
    return end;
  }

  /** The values of several rows, and then the one that they share. */
  #values(rows: readonly Row[], from: number, to: number): unknown[] {
    const values: unknown[] = [];
    for (let index = from; index < to; index += 1) {
      const row = rows[index] ?? [];
      for (let column = 0; column < row.length; column += 1) {
        if (column !== this.#shared) values.push(row[column]);
      }
    }
    if (this.#shared !== -1) values.push({ shared: rows[from]?.[this.#shared] });
    return values;
  }
}

/** Adds rows of all columns that are not there yet, by their key, to a table whose rows have numbers. */
export class AddRows {
  readonly #put: PutRows;
  readonly #keyColumns: readonly number[];
  readonly #number: Database.Statement<SqlValue[], number>;

  constructor(db: Database.Database, table: string, key: readonly string[]) {
    const columns = columnsOf(table);
    this.#put = new PutRows(db, table, columns, unlessKnown(key));
    this.#keyColumns = key.map((name) => columns.indexOf(name));
    this.#number = db
      .prepare<SqlValue[], number>(`SELECT rowid FROM "${table}" WHERE ${whereAre(key)}`)
      .pluck();
  }

  /** Returns those that were there. */
  run(rows: readonly Row[]): Row[] {
    const known: Row[] = [];
    this.#put.run(rows, ({ changes, lastInsertRowid }, from, to) => {
      if (changes === to - from) return;
      // New rows are numbered in turn: one that has the next number has come now.
      let number = Number(lastInsertRowid) - changes;
      for (const row of rows.slice(from, to)) {
        if (changes > 0 && this.#number.get(...this.#keyOf(row)) === number + 1) number += 1;
        else known.push(row);
      }
    });
    return known;
  }

  #keyOf(row: Row): SqlValue[] {
    return this.#keyColumns.map((column) => row[column] ?? null);
  }
}

/** Leaves a row that is there as it is. With the key, never OR IGNORE, which would also swallow a NULL where none may be. */
export function unlessKnown(key: readonly string[]): string {
  return `ON CONFLICT (${key.join(", ")}) DO NOTHING`;
}

/** Gives a row that is there the other columns' values. */
export function orReplace(key: readonly string[], others: readonly string[]): string {
  const values = others.map((name) => `${name} = excluded.${name}`).join(", ");
  return `ON CONFLICT (${key.join(", ")}) DO UPDATE SET ${values}`;
}
