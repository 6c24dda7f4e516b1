import Database from "better-sqlite3";

import { reasonOf } from "../../../base/errors.js";

/** How much smaller the file is now; or how much of it is free inside, which is used again, and why it was left so. */
export type Compacted =
  { readonly freedBytes: number } | { readonly freeBytes: number; readonly because: string };

/** Gives the free pages of a file back to the filesystem, unless another process uses the file: that would wait for as
 *  long as writing the whole file anew takes. */
export function compact(db: Database.Database): Compacted {
  const pragma = (text: string): number => Number(db.pragma(text, { simple: true }));
  const pageBytes = pragma("page_size");
  const freeBytes = pragma("freelist_count") * pageBytes;
  if (freeBytes === 0) return { freedBytes: 0 };
  const pages = pragma("page_count");
  const isWal = db.pragma("journal_mode", { simple: true }) === "wal";
  try {
    db.pragma("busy_timeout = 1000");
    // Out of WAL, which works only when no other process so much as has the file open.
    if (isWal) db.pragma("journal_mode = DELETE");
    db.exec("VACUUM");
    return { freedBytes: (pages - pragma("page_count")) * pageBytes };
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError)) throw cause;
    const isInUse = /^SQLITE_(BUSY|LOCKED)/.test(cause.code);
    return { freeBytes, because: isInUse ? "another process uses it" : reasonOf(cause) };
  } finally {
    if (isWal) restoreWal(db);
  }
}

/** Whoever opens the file next as its collector does the same, so it does not matter when that is now. */
function restoreWal(db: Database.Database): void {
  try {
    db.pragma("journal_mode = WAL");
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError)) throw cause;
  }
}
