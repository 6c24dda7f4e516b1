import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";

import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { networkFilesystemOf } from "../../../base/network-filesystem.js";
import { damageCure, damageOf } from "./damage.js";
import { columnsOf, collectorSchema, parslIndexes, parslSchema } from "./schema.js";

export type JournalMode = "auto" | "wal" | "delete";
export type Durability = "full" | "normal";

export interface FileOptions {
  readonly path: string;
  readonly journalMode: JournalMode;
  readonly durability: Durability;
  /** Senders that one run may have. Default: 1,000,000 (`defaultSendersPerRun`). */
  readonly sendersPerRun?: number;
  /** Bytes of what was committed that are kept for those who follow it. Default: 64 MiB (`defaultLogBytes`). */
  readonly logBytes?: number;
}

/** Opens the database file, without touching its content: that may need a lock that another holds now.
 *  Throws a CollectorError when it can never be used, as a damaged one. */
export function openFile(path: string): Database.Database {
  const fail = (reason: string, cure: string, cause?: unknown): never => {
    throw new CollectorError("database", `open database ${path}: ${reason}; ${cure}`, { cause });
  };
  const folder = dirname(path);
  try {
    if (!statSync(folder).isDirectory()) fail(`${folder} is no directory`, "name a file in a directory");
  } catch (cause) {
    if (cause instanceof CollectorError) throw cause;
    fail(
      `the directory ${folder} cannot be used (${reasonOf(cause)})`,
      "make it first, or name another file",
    );
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) fail("it is a directory", "name a file in it");
  try {
    if (found === undefined) accessSync(folder, constants.W_OK);
    else accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    fail("it may not be written by this user", "change its permissions, or name another file", cause);
  }
  const damage = damageOf(path);
  if (damage !== undefined) fail(damage, damageCure);
  try {
    return new Database(path, { timeout: busyTimeoutMs });
  } catch (cause) {
    return fail(reasonOf(cause), "name another file", cause);
  }
}

/** How long one statement waits for a lock of another, in ms, before the writer says that it is blocked.
 *  It goes on trying after that, so this only decides how soon the log tells. */
const busyTimeoutMs = 1_000;

/** Sets the journal and makes the tables that are missing. Throws SQLITE_BUSY while another holds a lock:
 *  it may be called again. Returns the journal mode and why it was chosen. */
export function prepareFile(
  db: Database.Database,
  options: FileOptions,
): { readonly journalMode: string; readonly because: string } {
  // WAL needs memory that all users of the file share, which network filesystems do not give: there it fails or
  // ruins the file (sqlite.org/wal.html).
  const network = networkFilesystemOf(dirname(options.path));
  const because =
    options.journalMode !== "auto"
      ? "as told"
      : network === undefined
        ? "local filesystem"
        : `${network} filesystem, where WAL does not work`;
  const wanted =
    options.journalMode === "auto" ? (network === undefined ? "wal" : "delete") : options.journalMode;
  // Only a new file takes the page size: 8 KiB instead of 4 store 1.4 times as many rows a second.
  db.pragma("page_size = 8192");
  const journalMode = String(db.pragma(`journal_mode = ${wanted}`, { simple: true }));
  // Pages. At 1,000, the default, the pages that each group changes are written back and synchronised twice as often.
  db.pragma("wal_autocheckpoint = 4000");
  // KiB; better-sqlite3's own is twice that, for which the collector takes 8 MiB more at full speed.
  db.pragma("cache_size = -8000");
  db.pragma(`synchronous = ${options.durability === "full" ? "FULL" : "NORMAL"}`);
  // As Parsl has it: a status may come before its workflow.
  db.pragma("foreign_keys = OFF");
  const makeTables = db.transaction(() => {
    const lacking: string[] = [];
    for (const [table, statement] of Object.entries(parslSchema)) {
      const columns = new Set(
        (db.pragma(`table_info("${table}")`) as { name: string }[]).map(({ name }) => name),
      );
      if (columns.size === 0) db.exec(statement);
      else lacking.push(...lackOf(table, columns));
    }
    if (lacking.length > 0) {
      throw new CollectorError(
        "database",
        `open database ${options.path}: ${lacking.join(", and ")}, ` +
          "so another version of Parsl made it; move the file aside, or name a new one",
      );
    }
    for (const statement of [...parslIndexes, ...collectorSchema]) db.exec(statement);
  });
  makeTables.immediate();
  return { journalMode, because };
}

/** Which of our columns a table is without, in words; empty when it has them all. */
function lackOf(table: string, columns: ReadonlySet<string>): string[] {
  const missing = columnsOf(table).filter((column) => !columns.has(column));
  return missing.length === 0 ? [] : [`its table ${table} lacks the column ${missing.join(", ")}`];
}

/** What to do about a fault after which SQLite may do the same later. */
export function cureOf({ code }: InstanceType<typeof Database.SqliteError>, path: string): string {
  if (/^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(code)) {
    return `end the transaction of the program that holds it (fuser -v ${path} names who has it open)`;
  }
  if (code.startsWith("SQLITE_FULL")) return "make room on its disk";
  if (code.startsWith("SQLITE_NOMEM")) return "give this machine more memory, or run less on it";
  return "see whether its disk is there, and takes and gives back other files";
}

/** Whether SQLite may do the same later: someone else holds a lock, or the disk is full or away. */
export function isTemporary(cause: unknown): cause is InstanceType<typeof Database.SqliteError> {
  return (
    cause instanceof Database.SqliteError &&
    /^SQLITE_(BUSY|LOCKED|FULL|IOERR|PROTOCOL|CANTOPEN|NOMEM)/.test(cause.code)
  );
}

/** Leaves samples of the indexes in the file, so that its readers' queries choose well among them: Parsl's page of one
 *  task, and whoever asks for the last try of each, would read a whole table for each task otherwise. 30 ms at 100,000
 *  tasks. */
export function advisePlanner(db: Database.Database): void {
  try {
    db.pragma("analysis_limit = 1000"); // rows of each index
    db.pragma("optimize = 0x10002"); // ANALYZE tables that have grown or shrunk tenfold since the last time
  } catch (cause) {
    // Advice only: a file that is locked or damaged now is no worse for want of it.
    if (!(cause instanceof Database.SqliteError)) throw cause;
  }
}
