import type Database from "better-sqlite3";

import type { Rejection } from "../../../model/envelope.js";

/** A message that no table takes, as it is kept. */
export interface RejectedMessage {
  readonly senderId: string;
  readonly sequence: number;
  readonly runId: string | null;
  /** Parsl's name for its kind, or UNREADABLE, or UNKNOWN. */
  readonly kind: string;
  /** Why no table takes it, for a person. */
  readonly reason: string;
  /** When the collector received it, in UTC. */
  readonly receivedAt: string;
  /** The bytes of one MonitoringMessage, as they came. */
  readonly message: Uint8Array;
}

/** One that has been kept: `id` is its number in the file. */
export interface KeptRejected extends RejectedMessage {
  readonly id: number;
  /** The host of its sender's first envelope. */
  readonly hostname: string | null;
}

/** Characters of a reason that go back to the sender, so that an answer stays small whatever a message says. */
const toldReason = 150;

const select = `SELECT rejected.id, rejected.sender_id AS senderId, sequence, rejected.run_id AS runId, kind, reason,
    received_at AS receivedAt, message, hostname
  FROM collector_rejected rejected JOIN collector_sender sender ON sender.sender_id = rejected.sender_id`;

/** All rejected messages of a file, or those of one run, in the order in which they came. */
export function readRejected(db: Database.Database, runId = ""): KeptRejected[] {
  return db
    .prepare<[string, string], KeptRejected>(
      `${select} WHERE ? = '' OR rejected.run_id = ? ORDER BY rejected.id`,
    )
    .all(runId, runId);
}

/** The table collector_rejected. Used inside the writer's transaction. */
export class RejectedMessages {
  readonly #add;
  readonly #between;
  readonly #find;
  readonly #remove;
  readonly #renew;
  readonly #count;

  constructor(db: Database.Database) {
    this.#add = db.prepare(
      "INSERT INTO collector_rejected (sender_id, sequence, run_id, kind, reason, received_at, message) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    this.#between = db.prepare<[string, number, number], { sequence: number; reason: string }>(
      `SELECT sequence, substr(reason, 1, ${String(toldReason)}) AS reason FROM collector_rejected WHERE sender_id = ? AND sequence BETWEEN ? AND ? ORDER BY sequence`,
    );
    this.#find = db.prepare<[number], KeptRejected>(`${select} WHERE rejected.id = ?`);
    this.#remove = db.prepare("DELETE FROM collector_rejected WHERE id = ?");
    this.#renew = db.prepare("UPDATE collector_rejected SET reason = ? WHERE id = ?");
    this.#count = db.prepare(
      "UPDATE collector_sender SET rejected = rejected - 1, stored = stored + 1, " +
        "duplicate_rows = duplicate_rows + ? WHERE sender_id = ?",
    );
  }

  add({ senderId, sequence, runId, kind, reason, receivedAt, message }: RejectedMessage): void {
    this.#add.run(senderId, sequence, runId, kind, reason, receivedAt, message);
  }

  /** Those of a sender between two sequences, both included, with the beginning of their reasons. */
  between(senderId: string, first: number, last: number): Rejection[] {
    return this.#between
      .all(senderId, first, last)
      .map(({ sequence, reason }) => ({ sequence: BigInt(sequence), reason }));
  }

  find(id: number): KeptRejected | undefined {
    return this.#find.get(id);
  }

  /** It is a row now: it goes, and the ledger counts it as stored. */
  becameRow({ id, senderId }: KeptRejected, duplicate: boolean): void {
    this.#remove.run(id);
    this.#count.run(duplicate ? 1 : 0, senderId);
  }

  /** It was refused again, maybe for another reason. */
  refusedAgain({ id }: KeptRejected, reason: string): void {
    this.#renew.run(reason, id);
  }
}
