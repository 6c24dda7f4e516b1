import type Database from "better-sqlite3";

import { utcText, type Micros } from "../../../model/time.js";
import type { ReceivedEnvelope } from "../../envelope-reader.js";
import { SequenceSet, type Interval } from "../../ledger.js";
import { kindNames } from "../../../model/kinds.js";
import { longestName } from "../../rows/facts.js";
import { SequenceReader } from "./sequences.js";

/** Senders that one run may have. Each costs the ledger some hundred bytes on disk and a row in every status; 10,000 nodes
 *  with 100 workers each are legitimate. */
export const defaultSendersPerRun = 1_000_000;

/** Runs whose senders are counted in memory from one group to the next. */
const keptRuns = 20_000;

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
  /** The first run that it named. */
  runId: string | null;
  /** What is stored, rejected messages included. */
  readonly sequences: TrackedSequences;
  /** What it says it gave up, by kind. */
  readonly lost: Map<string, TrackedSequences>;
  readonly counts: Counts;
  /** Messages received since they were last written, by radio. */
  readonly received: Map<string, number>;
  /** Runs heard of since they were last written. */
  readonly runs: Set<string>;
  lastSequence: number | null;
  leastDelayUs: number | null;
}

/** A sequence set that knows which of its intervals are still to be written. */
class TrackedSequences extends SequenceSet {
  /** Interval ends by their first sequence; null for an interval that is gone. */
  readonly #changed = new Map<number, number | null>();

  override add(run: Interval): ReturnType<SequenceSet["add"]> {
    const result = super.add(run);
    for (const { first } of result.gone) this.#changed.set(first, null);
    this.#changed.set(result.grown.first, result.grown.last);
    return result;
  }

  /** Hands over what has changed since the last call. */
  write(remove: (first: number) => void, upsert: (first: number, last: number) => void): void {
    for (const [first, last] of this.#changed) {
      if (last === null) remove(first);
      else upsert(first, last);
    }
    this.#changed.clear();
  }
}

interface SenderRow {
  id: number;
  sender_id: string;
  run_id: string | null;
  last_sequence: number | null;
  stored: number;
  rejected: number;
  repeated: number;
  duplicate_rows: number;
  least_delay_us: number | null;
}

/** Kinds under which a loss is kept; the text of another is none of ours, and counts as unknown. */
const lostKinds: ReadonlySet<string> = new Set(Object.values(kindNames));

/** The ledger's tables, collector_sender and those that hang on it. Used inside the writer's transaction. */
export class Senders {
  readonly #known = new Map<string, Sender>();
  readonly #heard = new Set<Sender>();
  readonly #select;
  readonly #sequences;
  readonly #insert;
  readonly #update;
  readonly #upsertSequences;
  readonly #deleteSequences;
  readonly #upsertLost;
  readonly #deleteLost;
  readonly #upsertRun;
  readonly #upsertRadio;
  readonly #countOfRun;
  readonly #perRun: number;
  /** Senders of a run, with those that are not written yet. */
  readonly #counts = new Map<string, number>();

  /** `countOfRun`: how many senders a run has, where the database does not know them all. */
  constructor(db: Database.Database, perRun: number, countOfRun?: (runId: string) => number) {
    this.#perRun = perRun;
    const count = db
      .prepare<[string], number>("SELECT count(*) FROM collector_sender_run WHERE run_id = ?")
      .pluck();
    this.#countOfRun = countOfRun ?? ((runId: string) => count.get(runId) ?? 0);
    this.#select = db.prepare<[string], SenderRow>("SELECT * FROM collector_sender WHERE sender_id = ?");
    this.#sequences = new SequenceReader(db);
    this.#insert = db.prepare(
      "INSERT INTO collector_sender (sender_id, run_id, hostname, utc_offset_seconds, first_received_at, " +
        "last_received_at, stored, rejected, repeated, duplicate_rows) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0)",
    );
    this.#update = db.prepare(
      "UPDATE collector_sender SET run_id = ?, last_received_at = ?, last_sequence = ?, stored = ?, " +
        "rejected = ?, repeated = ?, duplicate_rows = ?, least_delay_us = ? WHERE id = ?",
    );
    this.#upsertSequences = db.prepare(
      "INSERT INTO collector_sequence VALUES (?, ?, ?) ON CONFLICT (sender, first) DO UPDATE SET last = excluded.last",
    );
    this.#deleteSequences = db.prepare("DELETE FROM collector_sequence WHERE sender = ? AND first = ?");
    this.#upsertLost = db.prepare(
      "INSERT INTO collector_lost VALUES (?, ?, ?, ?) " +
        "ON CONFLICT (sender, kind, first) DO UPDATE SET last = excluded.last",
    );
    this.#deleteLost = db.prepare("DELETE FROM collector_lost WHERE sender = ? AND kind = ? AND first = ?");
    this.#upsertRun = db.prepare(
      "INSERT INTO collector_sender_run VALUES (?, ?, ?) " +
        "ON CONFLICT (run_id, sender) DO UPDATE SET last_received_at = excluded.last_received_at",
    );
    this.#upsertRadio = db.prepare(
      "INSERT INTO collector_sender_radio VALUES (?, ?, ?) " +
        "ON CONFLICT (sender, radio) DO UPDATE SET received = received + excluded.received",
    );
  }

  /** Why the sender of an envelope is one too many for the run that it names; undefined for one that is known. */
  exceeds(envelope: ReceivedEnvelope): string | undefined {
    if (this.#find(envelope.senderId) !== undefined) return undefined;
    const runId = runOf(envelope);
    if (runId === "" || this.#countOf(runId) < this.#perRun) return undefined;
    return (
      `store an envelope of a new sender: run ${runId} has ${String(this.#perRun)} senders, as many as one may have; ` +
      "--max-senders-per-run raises that"
    );
  }

  /** The sender of an envelope that came by a radio, made when it is new. Takes over what the envelope says
   *  of the sender itself. */
  hear(envelope: ReceivedEnvelope, radio: string, now: Micros): Sender {
    const sender = this.#find(envelope.senderId) ?? this.#make(envelope, now);
    this.#heard.add(sender);
    this.hearOfRun(sender, envelope.context.runId);
    sender.received.set(radio, (sender.received.get(radio) ?? 0) + envelope.length);
    if (envelope.lastSequence !== undefined) sender.lastSequence = envelope.lastSequence;
    for (const { kind, first, last } of envelope.losses) {
      lostOf(sender, lostKinds.has(kind) ? kind : "").add({ first, last });
    }
    return sender;
  }

  /** The first run that a sender named; null for one that named none, or is new. */
  firstRunOf(senderId: string): string | null {
    const known = this.#known.get(senderId);
    return known === undefined ? (this.#select.get(senderId)?.run_id ?? null) : known.runId;
  }

  /** The sender spoke of a run; nothing when the run has no name, or one that no table takes. */
  hearOfRun(sender: Sender, runId: string): void {
    if (runId === "" || runId.length > longestName || sender.runs.has(runId)) return;
    sender.runs.add(runId);
    sender.runId ??= runId;
  }

  /** Writes the senders that were heard of since the last call. */
  flush(now: Micros): void {
    const at = utcText(now);
    for (const sender of this.#heard) {
      const { row, counts } = sender;
      sender.sequences.write(
        (first) => this.#deleteSequences.run(row, first),
        (first, last) => this.#upsertSequences.run(row, first, last),
      );
      for (const [kind, lost] of sender.lost) {
        lost.write(
          (first) => this.#deleteLost.run(row, kind, first),
          (first, last) => this.#upsertLost.run(row, kind, first, last),
        );
      }
      for (const runId of sender.runs) this.#upsertRun.run(row, runId, at);
      sender.runs.clear();
      for (const [radio, received] of sender.received) this.#upsertRadio.run(row, radio, received);
      sender.received.clear();
      this.#update.run(
        sender.runId,
        at,
        sender.lastSequence,
        counts.stored,
        counts.rejected,
        counts.repeated,
        counts.duplicateRows,
        sender.leastDelayUs,
        row,
      );
    }
    this.#heard.clear();
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#known.clear();
    this.#heard.clear();
    this.#counts.clear();
  }

  /** Keeps memory flat when senders come and go. */
  trim(most: number): void {
    if (this.#known.size > most) this.#known.clear();
  }

  #countOf(runId: string): number {
    let count = this.#counts.get(runId);
    if (count === undefined) {
      count = this.#countOfRun(runId);
      if (this.#counts.size >= keptRuns) this.#counts.clear();
      this.#counts.set(runId, count);
    }
    return count;
  }

  #find(senderId: string): Sender | undefined {
    const known = this.#known.get(senderId);
    if (known !== undefined) return known;
    const sender = this.#read(senderId);
    if (sender !== undefined) this.#known.set(senderId, sender);
    return sender;
  }

  #read(senderId: string): Sender | undefined {
    const stored = this.#select.get(senderId);
    if (stored === undefined) return undefined;
    const lost = [...this.#sequences.lost(stored.id)].map(
      ([kind, { intervals }]) => [kind, new TrackedSequences(intervals)] as const,
    );
    return {
      row: stored.id,
      senderId: stored.sender_id,
      runId: stored.run_id,
      sequences: new TrackedSequences(this.#sequences.stored(stored.id)),
      lost: new Map(lost),
      counts: {
        stored: stored.stored,
        rejected: stored.rejected,
        repeated: stored.repeated,
        duplicateRows: stored.duplicate_rows,
      },
      received: new Map(),
      runs: new Set(),
      lastSequence: stored.last_sequence,
      leastDelayUs: stored.least_delay_us,
    };
  }

  #make(envelope: ReceivedEnvelope, now: Micros): Sender {
    const sender = this.#new(envelope, now);
    this.#known.set(envelope.senderId, sender);
    const run = runOf(envelope);
    this.#counts.set(run, this.#countOf(run) + 1);
    return sender;
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
      runId: runId === "" ? null : runId,
      sequences: new TrackedSequences(),
      lost: new Map(),
      counts: { stored: 0, rejected: 0, repeated: 0, duplicateRows: 0 },
      received: new Map(),
      runs: new Set(),
      lastSequence: null,
      leastDelayUs: null,
    };
  }
}

/** The run that a new sender counts for: the one that it names, or else its first message. */
function runOf(envelope: ReceivedEnvelope): string {
  const { runId } = envelope.context;
  if (runId !== "") return runId;
  const [first] = envelope.messages;
  return first === undefined || "unreadable" in first ? "" : (first.kind?.value.runId ?? "");
}

function lostOf(sender: Sender, kind: string): TrackedSequences {
  let lost = sender.lost.get(kind);
  if (lost === undefined) sender.lost.set(kind, (lost = new TrackedSequences()));
  return lost;
}
