import { copyFileSync, constants, existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";

import Database from "better-sqlite3";

import { CollectorError, hasCode, reasonOf } from "../base/errors.js";

/** Longest that a reader waits for a lock, in ms. */
const readTimeoutMs = 10_000;

/** Tables without which there is nothing to show. */
const neededTables = ["workflow", "task", "try", "status"];

/** What SQLite says where a file in WAL mode cannot have its companions. */
const notReadable = ["SQLITE_CANTOPEN", "SQLITE_READONLY_DIRECTORY", "SQLITE_READONLY_CANTINIT"];

/** A file of Parsl's monitoring, open for reading: a collector may be writing it, or Parsl's own hub. */
export class Source {
  readonly db: Database.Database;
  readonly path: string;
  /** Whether a collector wrote it. */
  readonly hasLedger: boolean;
  readonly #columns = new Map<string, ReadonlySet<string>>();

  /** Throws a CollectorError for a file that is not there, or is no database of Parsl's monitoring. */
  constructor(path: string) {
    const cure = "name the file that the collector or Parsl writes, monitoring.db as a rule";
    const failure = (reason: string, cause?: unknown): CollectorError =>
      new CollectorError("database", `read database ${path}: ${reason}`, { cause });
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
      throw failure(`there is no such file; ${cure}`);
    }
    let tables: string[];
    try {
      this.db = new Database(path, { readonly: true, timeout: readTimeoutMs });
      tables = this.db.prepare<[], string>("SELECT name FROM sqlite_master").pluck().all();
    } catch (cause) {
      if (!hasCode(cause, ...notReadable)) throw failure(`${reasonOf(cause)}; ${cure}`, cause);
      const reason =
        "it may not be read, or it is in WAL mode in a directory where this user may write nothing";
      throw failure(`${reason}; let this user read it, or copy it elsewhere`, cause);
    }
    const lacking = neededTables.find((table) => !tables.includes(table));
    if (lacking !== undefined) {
      this.db.close();
      throw failure(`it has no table ${lacking}; ${cure}`);
    }
    this.path = path;
    this.hasLedger = tables.includes("collector_pruned");
  }

  /** The file's name without its directory. */
  get file(): string {
    return basename(this.path);
  }

  has(table: string): boolean {
    return this.#columnsOf(table).size > 0;
  }

  /** Those columns of a table for a SELECT; NULL in place of one that the version of Parsl that made it had not. */
  columns(table: string, names: readonly string[]): string {
    const there = this.#columnsOf(table);
    return names.map((name) => (there.has(name) ? `"${name}"` : `NULL AS "${name}"`)).join(", ");
  }

  /** All that a call reads is of one moment. */
  atOneMoment<T>(read: () => T): T {
    return this.db.inTransaction ? read() : this.db.transaction(read)();
  }

  close(): void {
    this.db.close();
  }

  #columnsOf(table: string): ReadonlySet<string> {
    let columns = this.#columns.get(table);
    if (columns === undefined) {
      const rows = this.db.pragma(`table_info("${table}")`) as { name: string }[];
      columns = new Set(rows.map(({ name }) => name));
      this.#columns.set(table, columns);
    }
    return columns;
  }
}

/** Where to read a file. One in WAL mode wants a file beside it, even of those who only read; where that is not there and
 *  cannot be made, as in an archive, no one writes it either, and it is copied into `directory`. */
export function readablePath(path: string, directory: string): string {
  try {
    new Source(path).close();
    return path;
  } catch (cause) {
    const inner = cause instanceof CollectorError ? cause.cause : undefined;
    if (!hasCode(inner, ...notReadable)) throw cause;
    const copy = join(directory, basename(path));
    try {
      copyFileSync(path, copy, constants.COPYFILE_FICLONE);
      if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`, constants.COPYFILE_FICLONE);
    } catch {
      throw cause; // that it cannot be read
    }
    return copy;
  }
}
