import { setTimeout as sleep } from "node:timers/promises";

import type Database from "better-sqlite3";

import { faultPoint } from "../../../base/fault-points.js";
import { nowMicros, utcText } from "../../../model/time.js";
import type { SqlValue } from "../../rows/value.js";
import { whereAre } from "./schema.js";

/** Longest that one transaction goes on removing rows, in ms; then come its commit and a pause as long as both. So a
 *  collector on the same file waits for a fraction of a second, and has the file for half of the time. */
const stepMs = 50;

/** Rows that are looked at in one read, which takes some ms: with a rollback journal a reader holds up the writer. */
const readRows = 10_000;

/** Something that goes, and the run under which that is noted; "" for what is no run's. */
export interface Going {
  readonly runId: string;
}

/** A row that goes. */
export interface GoingRow extends Going {
  readonly key: readonly SqlValue[];
}

/** Removes rows by the values of its WHERE clause, and returns how many. */
type Remove = (...values: readonly SqlValue[]) => number;

export interface RemoverOptions {
  /** Counts what would go, and removes nothing. */
  readonly dryRun: boolean;
  /** Whether a run must stay after all; asked once a transaction. */
  readonly stays: (runId: string) => boolean;
  /** Waits between two transactions; told what the last one took, in ms. */
  readonly pause?: ((tookMs: number) => Promise<unknown>) | undefined;
}

/** Removes rows beside whoever else uses the file: in short transactions, each of which notes in collector_pruned what
 *  it has removed. */
export class Remover {
  /** Rows removed so far, by table. */
  readonly rows = new Map<string, number>();
  readonly #db: Database.Database;
  readonly #dryRun: boolean;
  readonly #stays;
  readonly #pause;
  readonly #note;

  constructor(db: Database.Database, { dryRun, stays, pause = sleep }: RemoverOptions) {
    this.#db = db;
    this.#dryRun = dryRun;
    this.#stays = stays;
    this.#pause = pause;
    this.#note = db.prepare<[string, string, number, string]>(
      "INSERT INTO collector_pruned VALUES (?, ?, ?, ?) ON CONFLICT (run_id, table_name) " +
        "DO UPDATE SET rows = rows + excluded.rows, pruned_at = excluded.pruned_at",
    );
  }

  /** Reads a table in the order of `key`, the columns of which make a row unique, and removes the rows that `goes`
   *  returns when it is told the values of the key and of `columns`: that row or one before it. */
  async removeRows(
    table: string,
    { key, columns = [] }: { readonly key: readonly string[]; readonly columns?: readonly string[] },
    goes: (key: readonly SqlValue[], values: readonly SqlValue[]) => GoingRow | undefined,
  ): Promise<void> {
    const remove = this.removal(table, whereAre(key));
    const select = (where: string) =>
      this.#db
        .prepare<SqlValue[], SqlValue[]>(
          `SELECT ${[...key, ...columns].join(", ")} FROM "${table}" ${where} ORDER BY ${key.join(", ")} LIMIT ${String(readRows)}`,
        )
        .raw();
    const next = select(`WHERE (${key.join(", ")}) > (${key.map(() => "?").join(", ")})`);
    let rows = select("").all();
    while (rows.length > 0) {
      const going = rows.flatMap((row) => goes(row.slice(0, key.length), row.slice(key.length)) ?? []);
      await this.inSteps(going, (row) => ({ [table]: remove(...row.key) }));
      rows = next.all(...(rows.at(-1) ?? []).slice(0, key.length));
    }
  }

  /** What removes rows of a table, for use in `inSteps`. */
  removal(table: string, where: string): Remove {
    if (this.#dryRun) {
      const count = this.#db
        .prepare<SqlValue[], number>(`SELECT count(*) FROM "${table}" WHERE ${where}`)
        .pluck();
      return (...values) => count.get(...values) ?? 0;
    }
    const remove = this.#db.prepare<SqlValue[]>(`DELETE FROM "${table}" WHERE ${where}`);
    return (...values) => remove.run(...values).changes;
  }

  /** Calls `remove` for each, which says how many rows of which tables went with it. */
  async inSteps<T extends Going>(
    all: readonly T[],
    remove: (going: T) => Readonly<Record<string, number>>,
  ): Promise<void> {
    const step = (from: number): { readonly next: number; readonly noted: Noted } => {
      const noted = new Noted();
      const stays = new Map<string, boolean>();
      const end = performance.now() + stepMs;
      let next = from;
      for (const going of all.slice(from)) {
        const { runId } = going;
        if (!stays.has(runId)) stays.set(runId, this.#stays(runId));
        if (stays.get(runId) === false) noted.add(runId, remove(going));
        next += 1;
        if (performance.now() > end) break;
      }
      return { next, noted };
    };
    const inTransaction = this.#db.transaction((from: number) => {
      const done = step(from);
      const at = utcText(nowMicros());
      for (const [runId, table, rows] of done.noted) this.#note.run(runId, table, rows, at);
      faultPoint("prune: rows removed");
      return done;
    });
    for (let from = 0; from < all.length;) {
      const began = performance.now();
      const { next, noted } = this.#dryRun ? step(from) : inTransaction.immediate(from);
      for (const [, table, rows] of noted) {
        if (rows > 0) this.rows.set(table, (this.rows.get(table) ?? 0) + rows);
      }
      from = next;
      if (!this.#dryRun) await this.#pause(performance.now() - began);
    }
  }
}

/** Rows by run and table. */
class Noted {
  readonly #rows = new Map<string, Map<string, number>>();

  add(runId: string, rowsOf: Readonly<Record<string, number>>): void {
    let tables = this.#rows.get(runId);
    if (tables === undefined) this.#rows.set(runId, (tables = new Map<string, number>()));
    for (const [table, rows] of Object.entries(rowsOf)) tables.set(table, (tables.get(table) ?? 0) + rows);
  }

  *[Symbol.iterator](): Iterator<readonly [runId: string, table: string, rows: number]> {
    for (const [runId, tables] of this.#rows) for (const [table, rows] of tables) yield [runId, table, rows];
  }
}
