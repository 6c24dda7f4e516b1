import { randomBytes } from "node:crypto";

import type Database from "better-sqlite3";

import { CollectorError } from "../../../base/errors.js";
import { splitEnvelope } from "../../../model/envelope-parts.js";
import type { Micros } from "../../../model/time.js";
import type { ReceivedEnvelope } from "../../envelope-reader.js";

/** Bytes of envelopes that are kept for those who follow, once the newest of them are safe: at 50 bytes a sample
 *  more than a million messages. */
export const defaultLogBytes = 64 * 1024 * 1024;

/** collector_log: what was committed, envelope by envelope. Made when somebody wants to follow, so that whoever has
 *  no followers pays nothing for it. rejections: JSON of [sequence, reason], null without any. AUTOINCREMENT, for a
 *  position is never given again, though all before it be removed. */
const schema = [
  `CREATE TABLE IF NOT EXISTS collector_log (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  committed_at_us INTEGER NOT NULL,
  radio TEXT NOT NULL,
  envelope BLOB NOT NULL,
  rejections TEXT
)`,
  // How far each sink that follows has got, by its name.
  `CREATE TABLE IF NOT EXISTS collector_follower (
  name TEXT NOT NULL PRIMARY KEY,
  position INTEGER NOT NULL,
  followed_at_us INTEGER NOT NULL
) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS collector_log_id (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID`,
];

/** Writes the log. Used inside the writer's transaction. */
export class LogWriter {
  readonly #db: Database.Database;
  readonly #mostBytes: number;
  #statements: ReturnType<typeof prepare> | undefined;
  /** Who follows now, and how far each has got: what it has not read stays. */
  readonly #followers = new Map<string, number>();
  /** Bytes of all envelopes in the log; undefined when that is not known. */
  #bytes: number | undefined;

  constructor(db: Database.Database, mostBytes: number) {
    this.#db = db;
    this.#mostBytes = mostBytes;
    if (this.#isThere()) this.#statements = prepare(db);
  }

  get isKept(): boolean {
    return this.#statements !== undefined;
  }

  /** Makes the tables, if they are not there. */
  keep(): void {
    for (const statement of schema) this.#db.exec(statement);
    this.#db
      .prepare("INSERT INTO collector_log_id SELECT ? WHERE NOT EXISTS (SELECT 1 FROM collector_log_id)")
      .run(randomBytes(8).toString("hex"));
    this.#statements ??= prepare(this.#db);
  }

  /** Lets sinks follow, each from where it was, or else from the oldest entry. Says where that is. */
  follow(names: readonly string[], now: Micros): Map<string, number> {
    this.keep();
    const { first, find, put } = this.#kept();
    const oldest = (first.get() ?? 1) - 1;
    for (const name of names) {
      const position = find.get(name) ?? oldest;
      this.#followers.set(name, position);
      put.run(name, position, now);
    }
    return new Map(this.#followers);
  }

  /** A sink has all up to a position. */
  followed(name: string, position: number, now: Micros): void {
    this.#kept().put.run(name, position, now);
    this.#followers.set(name, position);
  }

  /** Appends what of an envelope was stored or rejected now, by the indexes of its messages. */
  append(
    envelope: ReceivedEnvelope,
    isNew: (index: number) => boolean,
    rejections: ReadonlyMap<number, string>,
    radio: string,
    now: Micros,
  ): void {
    if (this.#statements === undefined) return;
    for (const part of splitEnvelope(envelope.bytes, isNew)) {
      const { first, last } = part;
      const rejected = [...rejections].filter(([sequence]) => sequence >= first && sequence <= last);
      const text = rejected.length === 0 ? null : JSON.stringify(rejected);
      this.#statements.append.run(now, radio, part.bytes, text);
      if (this.#bytes !== undefined) this.#bytes += part.bytes.length;
    }
  }

  /** Removes the oldest, as far as there is more than is to be kept. */
  flush(): void {
    if (this.#statements === undefined) return;
    const { bytes, oldest, remove } = this.#statements;
    const followed = Math.min(Number.MAX_SAFE_INTEGER, ...this.#followers.values());
    this.#bytes ??= bytes.get() ?? 0;
    let removed = 0;
    // The newest stays, however large it is: whoever waits for it has not read it yet.
    if (this.#bytes <= this.#mostBytes) return;
    for (const { position, bytes: size } of oldest.iterate(followed)) {
      removed = position;
      this.#bytes -= size;
      if (this.#bytes <= this.#mostBytes) break;
    }
    if (removed > 0) remove.run(removed);
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#bytes = undefined;
    this.#statements = this.#isThere() ? (this.#statements ?? prepare(this.#db)) : undefined;
  }

  #kept(): ReturnType<typeof prepare> {
    if (this.#statements === undefined)
      throw new CollectorError("internal", "follow the log: it is not kept");
    return this.#statements;
  }

  #isThere(): boolean {
    return (
      this.#db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'collector_log_id'").get() !== undefined
    );
  }
}

function prepare(db: Database.Database) {
  return {
    append: db.prepare(
      "INSERT INTO collector_log (committed_at_us, radio, envelope, rejections) VALUES (?, ?, ?, ?)",
    ),
    bytes: db.prepare<[], number>("SELECT sum(length(envelope)) FROM collector_log").pluck(),
    first: db.prepare<[], number | null>("SELECT min(position) FROM collector_log").pluck(),
    find: db.prepare<[string], number>("SELECT position FROM collector_follower WHERE name = ?").pluck(),
    put: db.prepare(
      "INSERT INTO collector_follower VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET " +
        "position = excluded.position, followed_at_us = excluded.followed_at_us",
    ),
    oldest: db.prepare<[number], { position: number; bytes: number }>(
      "SELECT position, length(envelope) AS bytes FROM collector_log " +
        "WHERE position < (SELECT max(position) FROM collector_log) AND position <= ? ORDER BY position",
    ),
    remove: db.prepare("DELETE FROM collector_log WHERE position <= ?"),
  };
}
