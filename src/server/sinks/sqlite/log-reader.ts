import type Database from "better-sqlite3";

import { CollectorError } from "../../../base/errors.js";
import type { LogEntry, LogSpan } from "../../message-log.js";

interface Row {
  readonly position: number;
  readonly committed_at_us: number;
  readonly radio: string;
  readonly envelope: Uint8Array;
  readonly rejections: string | null;
}

/** Reads the log of a file, by a connection of its own. No statement stays open from one call to the next: it would
 *  keep SQLite from shrinking the journal. */
export class LogReader {
  readonly #id;
  readonly #ends;
  readonly #lastGiven;
  readonly #behind;

  /** Of a file that has a log. */
  constructor(db: Database.Database) {
    this.#id = db.prepare<[], string>("SELECT id FROM collector_log_id").pluck();
    this.#ends = db.prepare<[], { first: number | null; last: number | null }>(
      "SELECT min(position) AS first, max(position) AS last FROM collector_log",
    );
    // What AUTOINCREMENT gave last, also when nothing is left of it.
    this.#lastGiven = db
      .prepare<[], number>("SELECT seq FROM sqlite_sequence WHERE name = 'collector_log'")
      .pluck();
    this.#behind = db.prepare<[number], Row>(
      "SELECT position, committed_at_us, radio, envelope, rejections FROM collector_log WHERE position > ? ORDER BY position",
    );
  }

  span(): LogSpan {
    const id = this.#id.get();
    if (id === undefined) throw new CollectorError("database", "read the log of messages: it has no id");
    const { first = null, last = null } = this.#ends.get() ?? {};
    const to = last ?? this.#lastGiven.get() ?? 0;
    return { id, from: first === null ? to : first - 1, to };
  }

  read(after: number, mostBytes: number): LogEntry[] {
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (const row of this.#behind.iterate(after)) {
      if (entries.length > 0 && bytes + row.envelope.length > mostBytes) break;
      bytes += row.envelope.length;
      entries.push({
        position: row.position,
        committedAt: row.committed_at_us,
        radio: row.radio,
        envelope: row.envelope,
        rejections: new Map(
          row.rejections === null ? [] : (JSON.parse(row.rejections) as [number, string][]),
        ),
      });
    }
    return entries;
  }
}
