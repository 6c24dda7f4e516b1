import { statSync } from "node:fs";

import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";

/** Longest that a reader waits for a lock, in ms. */
const readTimeoutMs = 10_000;

/** Opens a file to read our tables in it; a collector may be writing meanwhile. Throws a CollectorError for a
 *  file that is not there, is no database, or has no ledger. */
export function openForReading(path: string): Database.Database {
  return open(path, "collector_pruned", {
    reason: "it has no ledger",
    cure: "no collector has written it, or an older one: start `parsl-collector serve` on it once to add the ledger",
  });
}

/** Opens a file to read Parsl's tables in it, whoever wrote them. Throws a CollectorError for one that has none. */
export function openParslFile(path: string): Database.Database {
  return open(path, "workflow", {
    reason: "it has no tables of Parsl",
    cure: "name the file that the collector or Parsl's own hub writes, monitoring.db as a rule",
  });
}

function open(
  path: string,
  neededTable: string,
  without: { readonly reason: string; readonly cure: string },
): Database.Database {
  const fail = (reason: string, cure: string, cause?: unknown): never => {
    throw new CollectorError("database", `read database ${path}: ${reason}; ${cure}`, { cause });
  };
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) {
    fail("there is no such file", "name the file that the collector writes, monitoring.db as a rule");
  }
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, timeout: readTimeoutMs });
    const isThere = db.prepare("SELECT count(*) FROM sqlite_master WHERE name = ?").pluck();
    if (isThere.get(neededTable) === 1) return db;
  } catch (cause) {
    db?.close();
    return fail(reasonOf(cause), "name the file that the collector writes", cause);
  }
  db.close();
  return fail(without.reason, without.cure);
}
