import Database from "better-sqlite3";

import type { Micros } from "../../../model/time.js";
import type { SqlValue } from "../../rows/value.js";
import type { StoreCounts } from "../../store-counts.js";
import type { Outcome } from "../sink.js";
import { GroupWriter, type Care, type ReadArrival } from "../sqlite/group-writer.js";
import { columnsOf, collectorSchema, parslSchema } from "../sqlite/schema.js";
import type { Row } from "./connection.js";

/** A table that a group may change. */
export interface MirroredTable {
  readonly name: string;
  /** What a row is found by. */
  readonly key: readonly string[];
  /** Rows are only ever added. */
  readonly addsOnly?: true;
  /** Rows are removed, too. */
  readonly removes?: true;
}

/** In the order in which they are written: first those whose rows other collectors wait for, then what refers to them. */
export const mirroredTables: readonly MirroredTable[] = [
  { name: "collector_sender", key: ["id"] },
  { name: "collector_run", key: ["id"] },
  { name: "collector_run_owner", key: ["run_id"], addsOnly: true },
  { name: "workflow", key: ["run_id"] },
  { name: "task", key: ["task_id", "run_id"] },
  { name: "collector_task", key: ["run", "task_id"] },
  { name: "try", key: ["try_id", "task_id", "run_id"] },
  { name: "collector_try", key: ["run", "task_id", "try_id"] },
  { name: "status", key: ["task_id", "run_id", "task_status_name", "timestamp"], removes: true },
  { name: "block", key: ["run_id", "block_id", "executor_label", "timestamp"], removes: true },
  { name: "collector_moved", key: ["table_name", "run_id", "row_group", "timestamp"], removes: true },
  { name: "resource", key: ["try_id", "task_id", "run_id", "timestamp"], addsOnly: true },
  { name: "node", key: ["id"], addsOnly: true },
  { name: "collector_node_usage", key: ["hostname", "timestamp"], addsOnly: true },
  { name: "collector_sequence", key: ["sender", "first"], removes: true },
  { name: "collector_lost", key: ["sender", "kind", "first"], removes: true },
  { name: "collector_sender_run", key: ["run_id", "sender"] },
  { name: "collector_sender_radio", key: ["sender", "radio"] },
  { name: "collector_rejected", key: ["id"], addsOnly: true },
];
const logTable: MirroredTable = { name: "collector_log", key: ["position"], addsOnly: true };
const logColumns = ["position", "committed_at_us", "radio", "envelope", "rejections"];

/** What a group did to a table. */
export interface Changes {
  readonly table: MirroredTable;
  readonly columns: readonly string[];
  /** Keys of rows that are gone. */
  readonly removed: readonly Row[];
  /** Rows that were not there. */
  readonly added: readonly Row[];
  /** Rows that were there, and are another now. */
  readonly changed: readonly Row[];
}

/** Rows of a table as they are stored. */
export interface StoredRows {
  readonly table: string;
  readonly rows: readonly Row[];
}

/** The rows that a group is about, in SQLite and in memory, where SqliteWriter's own rules are applied to them. It is
 *  empty between two groups. */
export class Mirror {
  readonly #db = new Database(":memory:");
  readonly #writer: GroupWriter;
  readonly #inserts = new Map<string, Database.Statement<SqlValue[]>>();
  readonly #tables: TableMirror[];
  #sendersOf: ReadonlyMap<string, number> = new Map();

  /** `counts` are told what is stored. */
  constructor(sendersPerRun: number, counts: StoreCounts) {
    for (const statement of [...Object.values(parslSchema), ...collectorSchema]) {
      // With a number in each row, by which the triggers name it.
      if (statement.startsWith("CREATE TABLE")) this.#db.exec(statement.replace(" WITHOUT ROWID", ""));
    }
    this.#db.pragma("foreign_keys = OFF");
    const sendersOf = (runId: string): number => this.#sendersOf.get(runId) ?? 0;
    this.#writer = new GroupWriter(this.#db, { sendersPerRun, logBytes: Infinity, sendersOf }, counts);
    this.#tables = mirroredTables.map((table) => new TableMirror(this.#db, table, columnsOf(table.name)));
  }

  /** Keeps a log of what is stored from now on. */
  keepLog(): void {
    if (this.#tables.some(({ table }) => table === logTable)) return;
    this.#writer.keepLog();
    this.#tables.push(new TableMirror(this.#db, logTable, logColumns));
  }

  /** Stores a group beside the rows that are there already, and says what that changed. `sendersOf`: how many senders a
   *  run has, for runs with a new one. */
  store(
    group: readonly ReadArrival[],
    stored: readonly StoredRows[],
    sendersOf: ReadonlyMap<string, number>,
    now: Micros,
    care: Care,
  ): { readonly outcomes: Outcome[]; readonly changes: Changes[] } {
    this.#sendersOf = sendersOf;
    this.#writer.forget();
    this.#db.exec("BEGIN");
    try {
      for (const { table, rows } of stored) {
        const insert = this.#insertInto(table);
        for (const row of rows) insert.run(...row);
      }
      for (const table of this.#tables) table.begin();
      const outcomes = this.#writer.store(group, now, care);
      return { outcomes, changes: this.#tables.flatMap((table) => table.changes(stored) ?? []) };
    } finally {
      this.#db.exec("ROLLBACK");
    }
  }

  close(): void {
    this.#db.close();
  }

  #insertInto(table: string): Database.Statement<SqlValue[]> {
    let insert = this.#inserts.get(table);
    if (insert === undefined) {
      const columns = columnsOf(table);
      insert = this.#db.prepare<SqlValue[]>(
        `INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")}) ` +
          "ON CONFLICT DO NOTHING", // two keys may have found the same row
      );
      this.#inserts.set(table, insert);
    }
    return insert;
  }
}

/** Notes what happens to the rows of one table. */
class TableMirror {
  readonly table: MirroredTable;
  readonly #columns: readonly string[];
  readonly #last: Database.Statement<[], number | null>;
  readonly #added: Database.Statement<[number], SqlValue[]>;
  readonly #changed: Database.Statement<[number], SqlValue[]> | undefined;
  readonly #removed: Database.Statement<[], SqlValue[]> | undefined;
  readonly #forget: readonly Database.Statement<[]>[];
  #loaded = 0;

  constructor(db: Database.Database, table: MirroredTable, columns: readonly string[]) {
    const { name, key, addsOnly = false, removes = false } = table;
    this.table = table;
    this.#columns = columns;
    this.#last = db.prepare<[], number | null>(`SELECT max(rowid) FROM "${name}"`).pluck();
    const select = `SELECT ${columns.join(", ")} FROM "${name}" WHERE rowid`;
    const all = (sql: string): Database.Statement<[number], SqlValue[]> =>
      db
        .prepare<[number], SqlValue[]>(sql)
        .raw()
        .safeIntegers(name === "node"); // memory, in bytes of 64 bits
    if (addsOnly) {
      this.#added = all(`${select} > ? ORDER BY rowid`);
      this.#forget = [];
      return;
    }
    // What is noted is of no row twice, and of none that is gone: a number may be given again.
    db.exec(`CREATE TABLE changed_${name} (row INTEGER PRIMARY KEY);
      CREATE TRIGGER added_${name} AFTER INSERT ON "${name}" BEGIN
        INSERT OR IGNORE INTO changed_${name} VALUES (new.rowid); END;
      CREATE TRIGGER updated_${name} AFTER UPDATE ON "${name}" BEGIN
        INSERT OR IGNORE INTO changed_${name} VALUES (new.rowid); END`);
    this.#added = all(`${select} IN (SELECT row FROM changed_${name} WHERE row > ?)`);
    this.#changed = all(`${select} IN (SELECT row FROM changed_${name} WHERE row <= ?)`);
    const forget = [`DELETE FROM changed_${name}`];
    if (removes) {
      db.exec(`CREATE TABLE removed_${name} AS SELECT ${key.join(", ")} FROM "${name}";
        CREATE TRIGGER removing_${name} AFTER DELETE ON "${name}" BEGIN
          DELETE FROM changed_${name} WHERE row = old.rowid;
          INSERT INTO removed_${name} VALUES (${key.map((column) => `old.${column}`).join(", ")}); END`);
      this.#removed = db.prepare<[], SqlValue[]>(`SELECT * FROM removed_${name}`).raw();
      forget.push(`DELETE FROM removed_${name}`);
    }
    this.#forget = forget.map((sql) => db.prepare<[]>(sql));
  }

  /** What is there now is as it is stored. */
  begin(): void {
    this.#loaded = this.#last.get() ?? 0;
    if (this.#loaded > 0) for (const statement of this.#forget) statement.run();
  }

  /** What has happened since to what is stored; undefined for nothing. */
  changes(stored: readonly StoredRows[]): Changes | undefined {
    const added = this.#added.all(this.#loaded);
    const changed = this.#changed?.all(this.#loaded) ?? [];
    const removed = this.#storedOf(this.#removed?.all() ?? [], stored);
    if (added.length + changed.length + removed.length === 0) return undefined;
    return { table: this.table, columns: this.#columns, added, changed, removed };
  }

  /** Those keys whose rows were loaded. One that was put here and taken away again is none of ours: the database may
   *  have another row of that key, which must be met, not removed. */
  #storedOf(removed: readonly Row[], stored: readonly StoredRows[]): readonly Row[] {
    if (removed.length === 0) return removed;
    const { name, key } = this.table;
    const at = key.map((column) => this.#columns.indexOf(column));
    const loaded = new Set(
      stored
        .filter(({ table }) => table === name)
        .flatMap(({ rows }) => rows.map((row) => JSON.stringify(at.map((column) => row[column])))),
    );
    return removed.filter((row) => loaded.has(JSON.stringify(row)));
  }
}
