import { existsSync, renameSync, statSync } from "node:fs";

import Database from "better-sqlite3";

import { reasonOf } from "../../../base/errors.js";

/** What to do with a damaged file, for the end of an error's text. */
export const damageCure =
  "restore it, or start with --move-damaged-aside to keep it under another name and begin a new one";

/** Bytes up to which every page is looked at before a start: about a second of reading. Of a larger file
 *  only the schema is; damage further in is found when it is met. */
const mostCheckedBytes = 256 * 1024 * 1024;

/** What SQLite keeps beside a file, by the ends of the names. */
const companions = ["", "-wal", "-shm", "-journal"];

/** Whether SQLite says that the file's content is not what it wrote. */
export function isDamage(cause: unknown): boolean {
  return cause instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(cause.code);
}

/** Why a file is no database, or no whole one; undefined when none is found, when there is no file, and when
 *  it cannot be read now (locked, say). Never writes to the file. */
export function damageOf(path: string): string | undefined {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return undefined;
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, timeout: 0 });
    db.prepare("SELECT count(*) FROM sqlite_master").get();
    if (size > mostCheckedBytes) return undefined;
    const found = String(db.pragma("quick_check(1)", { simple: true }));
    return found === "ok" ? undefined : found.replaceAll(/\s+/g, " ");
  } catch (cause) {
    return isDamage(cause) ? reasonOf(cause) : undefined;
  } finally {
    db?.close();
  }
}

/** Renames a file, with what SQLite keeps beside it, to `<path>.damaged-<UTC time>`, and returns that name.
 *  Replaces nothing. */
export function moveAside(path: string, now: Date): string {
  const wanted = `${path}.damaged-${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
  let name = wanted;
  const isTaken = (): boolean => companions.some((end) => existsSync(name + end));
  for (let n = 2; isTaken(); n += 1) name = `${wanted}-${String(n)}`;
  for (const end of companions) if (existsSync(path + end)) renameSync(path + end, name + end);
  return name;
}
