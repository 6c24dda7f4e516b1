import type Database from "better-sqlite3";

import type { SinkStatus } from "../sink.js";
import type { SenderStatus } from "../../../model/status.js";
import { timestampOf, utcText, type Micros } from "../../../model/time.js";
import { SequenceSet, type Interval } from "../../ledger.js";
import type { ReceivedEnvelope } from "../../envelope-reader.js";

/** Counts of one sender's messages, by what became of them. */
export interface Counts {
  stored: number;
  rejected: number;
  repeated: number;
  duplicateRows: number;
}

/** A sender as the ledger knows it. */
export interface Sender {
  readonly row: number;
  readonly senderId: string;
  readonly sequences: SequenceSet;
  readonly counts: Counts;
  lastSequence: number | null;
  leastDelayUs: number | null;
  /** Interval ends by their first sequence, to be written; null for an interval that is gone. */
  readonly changed: Map<number, number | null>;
}

interface SenderRow {
  id: number;
  sender_id: string;
  run_id: string | null;
  hostname: string | null;
  last_received_at: string;
  last_sequence: number | null;
  stored: number;
  rejected: number;
  repeated: number;
  duplicate_rows: number;
  least_delay_us: number | null;
}

/** Gaps that a status names for one sender. */
const namedGaps = 100;

/** The ledger's tables: collector_sender and collector_sequence. Used inside the writer's transaction. */
export class Senders {
  readonly #db: Database.Database;
  readonly #known = new Map<string, Sender>();
  readonly #heard = new Set<Sender>();
  readonly #select;
  readonly #selectSequences;
  readonly #insert;
  readonly #update;
  readonly #upsertSequences;
  readonly #deleteSequences;

  constructor(db: Database.Database) {
    this.#db = db;
    this.#select = db.prepare<[string], SenderRow>("SELECT * FROM collector_sender WHERE sender_id = ?");
    this.#selectSequences = db.prepare<[number], Interval>(
      "SELECT first, last FROM collector_sequence WHERE sender = ? ORDER BY first",
    );
    this.#insert = db.prepare(
      "INSERT INTO collector_sender (sender_id, run_id, hostname, utc_offset_seconds, first_received_at, " +
        "last_received_at, stored, rejected, repeated, duplicate_rows) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0)",
    );
    this.#update = db.prepare(
      "UPDATE collector_sender SET last_received_at = ?, last_sequence = ?, stored = ?, rejected = ?, " +
        "repeated = ?, duplicate_rows = ?, least_delay_us = ? WHERE id = ?",
    );
    this.#upsertSequences = db.prepare(
      "INSERT INTO collector_sequence VALUES (?, ?, ?) ON CONFLICT (sender, first) DO UPDATE SET last = excluded.last",
    );
    this.#deleteSequences = db.prepare("DELETE FROM collector_sequence WHERE sender = ? AND first = ?");
  }

  /** The sender of an envelope, made when it is new. */
  of(envelope: ReceivedEnvelope, now: Micros): Sender {
    let sender = this.#known.get(envelope.senderId);
    if (sender === undefined) {
      sender = this.#read(envelope, now);
      this.#known.set(envelope.senderId, sender);
    }
    this.#heard.add(sender);
    return sender;
  }

  #read(envelope: ReceivedEnvelope, now: Micros): Sender {
    const stored = this.#select.get(envelope.senderId);
    return stored === undefined
      ? this.#new(envelope, now)
      : {
          row: stored.id,
          senderId: stored.sender_id,
          sequences: new SequenceSet(this.#selectSequences.all(stored.id)),
          counts: {
            stored: stored.stored,
            rejected: stored.rejected,
            repeated: stored.repeated,
            duplicateRows: stored.duplicate_rows,
          },
          lastSequence: stored.last_sequence,
          leastDelayUs: stored.least_delay_us,
          changed: new Map(),
        };
  }

  /** Marks a run of sequences as stored. */
  add(sender: Sender, run: Interval): void {
    const { gone, grown } = sender.sequences.add(run);
    for (const { first } of gone) sender.changed.set(first, null);
    sender.changed.set(grown.first, grown.last);
  }

  /** Writes the senders that were asked for since the last call. */
  flush(now: Micros): void {
    for (const sender of this.#heard) {
      for (const [first, last] of sender.changed) {
        if (last === null) this.#deleteSequences.run(sender.row, first);
        else this.#upsertSequences.run(sender.row, first, last);
      }
      sender.changed.clear();
      const { counts } = sender;
      this.#update.run(
        utcText(now),
        sender.lastSequence,
        counts.stored,
        counts.rejected,
        counts.repeated,
        counts.duplicateRows,
        sender.leastDelayUs,
        sender.row,
      );
    }
    this.#heard.clear();
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#known.clear();
    this.#heard.clear();
  }

  /** Keeps memory flat when senders come and go. */
  trim(most: number): void {
    if (this.#known.size > most) this.#known.clear();
  }

  status(runId: string): SinkStatus {
    const rows = this.#db
      .prepare<[string, string], SenderRow>(
        "SELECT * FROM collector_sender WHERE ? = '' OR run_id = ? ORDER BY id",
      )
      .all(runId, runId);
    const senders = rows.map((row) => this.#statusOf(row));
    const sum = (key: keyof NonNullable<SenderStatus["counts"]>): bigint =>
      senders.reduce((total, { counts }) => total + (counts?.[key] ?? 0n), 0n);
    return {
      senders,
      total: {
        stored: sum("stored"),
        rejected: sum("rejected"),
        repeated: sum("repeated"),
        duplicateRows: sum("duplicateRows"),
        missing: sum("missing"),
      },
    };
  }

  #new(envelope: ReceivedEnvelope, now: Micros): Sender {
    const { runId, hostname } = envelope.context;
    const at = utcText(now);
    const { lastInsertRowid } = this.#insert.run(
      envelope.senderId,
      runId === "" ? null : runId,
      hostname === "" ? null : hostname,
      envelope.utcOffsetSeconds ?? null,
      at,
      at,
    );
    return {
      row: Number(lastInsertRowid),
      senderId: envelope.senderId,
      sequences: new SequenceSet(),
      counts: { stored: 0, rejected: 0, repeated: 0, duplicateRows: 0 },
      lastSequence: null,
      leastDelayUs: null,
      changed: new Map(),
    };
  }

  #statusOf(row: SenderRow): SenderStatus {
    const sequences = new SequenceSet(this.#selectSequences.all(row.id));
    const last = Math.max(row.last_sequence ?? 0, sequences.highest);
    return {
      senderId: row.sender_id,
      runId: row.run_id ?? "",
      hostname: row.hostname ?? "",
      counts: {
        stored: BigInt(row.stored),
        rejected: BigInt(row.rejected),
        repeated: BigInt(row.repeated),
        duplicateRows: BigInt(row.duplicate_rows),
        missing: BigInt(last - sequences.size),
      },
      lastSequence: BigInt(last),
      closed: row.last_sequence !== null,
      missing: sequences
        .gaps(last)
        .slice(0, namedGaps)
        .map(({ first, last: end }) => ({ first: BigInt(first), last: BigInt(end) })),
      lastReceivedAt: timestampOf(Date.parse(`${row.last_received_at.replace(" ", "T")}Z`) * 1000),
    };
  }
}
