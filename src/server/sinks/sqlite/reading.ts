import { statSync } from "node:fs";

import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";

/** Longest that a reader waits for a lock, in ms. */
const readTimeoutMs = 10_000;

/** Opens a file to read our tables in it; a collector may be writing meanwhile. Throws a CollectorError for a
 *  file that is not there, is no database, or has no ledger. */
export function openForReading(path: string): Database.Database {
  const fail = (reason: string, cure: string, cause?: unknown): never => {
    throw new CollectorError("database", `read database ${path}: ${reason}; ${cure}`, { cause });
  };
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    fail("there is no such file", "name the file that the collector writes, monitoring.db as a rule");
  }
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, timeout: readTimeoutMs });
    const ledger = db.prepare("SELECT count(*) FROM sqlite_master WHERE name = 'collector_pruned'").pluck();
    if (ledger.get() === 1) return db;
  } catch (cause) {
    db?.close();
    return fail(reasonOf(cause), "name the file that the collector writes", cause);
  }
  db.close();
  return fail(
    "it has no ledger",
    "no collector has written it, or an older one: start `parsl-collector serve` on it once to add the ledger",
  );
}
