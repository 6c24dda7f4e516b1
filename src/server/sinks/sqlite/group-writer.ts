import type Database from "better-sqlite3";

import { reasonOf } from "../../../base/errors.js";
import { faultPoint } from "../../../base/fault-points.js";
import type { Acknowledgement, Rejection } from "../../../model/envelope.js";
import { kindName, kindNames } from "../../../model/kinds.js";
import type { Principal } from "../../../model/principal.js";
import { utcText, type Micros } from "../../../model/time.js";
import {
  readMessage,
  type readEnvelope,
  type ReadMessage,
  type ReceivedEnvelope,
} from "../../envelope-reader.js";
import { factsOf, type Context } from "../../rows/facts.js";
import type { StoreCounts } from "../../store-counts.js";
import type { Arrival, Outcome } from "../sink.js";
import { isDamage } from "./damage.js";
import { isTemporary } from "./file.js";
import { LogWriter } from "./log-writer.js";
import { Owners } from "./owners.js";
import { RejectedMessages, type KeptRejected } from "./rejected.js";
import { Senders, type Sender } from "./senders.js";
import { Tables } from "./tables.js";

/** Senders that are kept in memory from one group to the next. */
const keptSenders = 20_000;

const sampleKind = kindNames["resourceInfo"] ?? "";

type StorableMessage = Exclude<ReadMessage, { readonly unreadable: string }>;

/** An arrival whose envelope was read, or why that could not be. */
export type ReadArrival = Omit<Arrival, "envelope"> & { readonly envelope: ReturnType<typeof readEnvelope> };

export interface GroupWriterOptions {
  readonly sendersPerRun: number;
  readonly logBytes: number;
  /** How many senders a run has, where the database does not know them all. */
  readonly sendersOf?: (runId: string) => number;
}

/** How a group is stored that some row of was refused for a reason that we do not check beforehand. */
export type Care =
  | "none"
  /** Each message by itself, so that SQLite's refusal names one. */
  | "each message"
  /** No message becomes a row: all are kept as rejected, with this reason. */
  | { readonly refusal: string };

/** Stores groups in the tables: the ledger's check, the rows, the ledger, the rejected messages. What it keeps in memory
 *  holds as long as nobody else writes to them. Used inside a transaction. */
export class GroupWriter {
  readonly #db: Database.Database;
  readonly #senders: Senders;
  readonly #owners: Owners;
  readonly #tables: Tables;
  readonly #log: LogWriter;
  readonly #rejected: RejectedMessages;
  readonly #storeCounts: StoreCounts;

  /** `counts` are told what is stored. */
  constructor(db: Database.Database, options: GroupWriterOptions, counts: StoreCounts) {
    this.#db = db;
    this.#senders = new Senders(db, options.sendersPerRun, options.sendersOf);
    this.#owners = new Owners(db);
    this.#tables = new Tables(db);
    this.#log = new LogWriter(db, options.logBytes);
    this.#rejected = new RejectedMessages(db);
    this.#storeCounts = counts;
  }

  store(group: readonly ReadArrival[], now: Micros, care: Care = "none"): Outcome[] {
    this.#storeCounts.discard(); // what an attempt before this one counted
    const outcomes = group.map(({ envelope, radio, principal }): Outcome => {
      if ("invalid" in envelope) return envelope;
      const exhausted = this.#senders.exceeds(envelope);
      if (exhausted !== undefined) return { exhausted };
      const forbidden =
        principal && this.#owners.claim(envelope, this.#senders.firstRunOf(envelope.senderId), principal);
      if (forbidden !== undefined) return { forbidden };
      return { acknowledgement: this.#storeEnvelope(envelope, radio, now, care) };
    });
    this.#tables.flush();
    faultPoint("writer: rows written");
    this.#senders.flush(now);
    this.#log.flush();
    faultPoint("writer: ledger written");
    return outcomes;
  }

  /** Makes the tables of the log, if they are not there. */
  keepLog(): void {
    this.#log.keep();
  }

  /** See LogWriter.follow. */
  follow(names: readonly string[], now: Micros): ReadonlyMap<string, number> {
    return this.#log.follow(names, now);
  }

  followed(name: string, position: number, now: Micros): void {
    this.#log.followed(name, position, now);
  }

  /** See SqliteWriter.retryRejected. */
  retryRejected(ids: readonly number[]): ReadonlyMap<number, string | undefined> {
    const outcomes = new Map<number, string | undefined>();
    for (const id of ids) {
      const rejected = this.#rejected.find(id);
      if (rejected === undefined) {
        outcomes.set(id, "no rejected message has this number");
        continue;
      }
      const reason = this.#retry(rejected);
      if (reason !== undefined) this.#rejected.refusedAgain(rejected, reason);
      outcomes.set(id, reason);
    }
    this.#tables.flush();
    // Their counts have changed behind the back of what is kept in memory.
    this.#senders.forget();
    return outcomes;
  }

  mayWrite(runId: string, principal: Principal): boolean {
    return this.#owners.mayWrite(runId, principal);
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#tables.forget();
    this.#senders.forget();
    this.#owners.forget();
    this.#log.forget();
  }

  /** Keeps memory flat. Call after a commit only: what is kept must be written. */
  trim(): void {
    this.#tables.trim();
    this.#senders.trim(keptSenders);
  }

  #storeEnvelope(envelope: ReceivedEnvelope, radio: string, now: Micros, care: Care): Acknowledgement {
    const sender = this.#senders.hear(envelope, radio, now);
    const { sequences } = envelope;
    const refused = new Map<number, string>();
    const rejections =
      sequences === undefined
        ? []
        : this.#storeMessages(envelope, radio, sequences.first, sender, now, care, refused);
    const first = sequences?.first ?? 0;
    // Before the ledger has them: then none is new.
    this.#log.append(envelope, (index) => !sender.sequences.has(first + index), refused, radio, now);
    if (sequences !== undefined) sender.sequences.add(sequences);
    return {
      senderId: envelope.senderId,
      committed:
        sequences === undefined
          ? undefined
          : { first: BigInt(sequences.first), last: BigInt(sequences.last) },
      rejections,
      closed: sender.lastSequence !== null,
    };
  }

  #storeMessages(
    envelope: ReceivedEnvelope,
    radio: string,
    first: number,
    sender: Sender,
    now: Micros,
    care: Care,
    refused: Map<number, string>,
  ): Rejection[] {
    const { length } = envelope;
    const last = first + length - 1;
    const { counts, sequences } = sender;
    if (sequences.includes({ first, last })) {
      counts.repeated += length;
      for (const message of envelope.messages) this.#storeCounts.add(radio, kindOf(message), "repeated");
      return this.#rejectionsOf(sender, first, last);
    }
    const overlaps = first <= sequences.highest;
    for (let index = 0; index < length; index += 1) {
      const sequence = first + index;
      const message = envelope.read(index);
      // A sender that reconnects resends its whole window, so a known number is a repeat and not a fault.
      if (overlaps && sequences.has(sequence)) {
        counts.repeated += 1;
        this.#storeCounts.add(radio, kindOf(message), "repeated");
        continue;
      }
      const reason =
        "unreadable" in message ? message.unreadable : this.#storeWith(care, message, envelope, sender, now);
      if (reason === undefined) {
        counts.stored += 1;
        this.#storeCounts.add(radio, kindOf(message), "stored");
        continue;
      }
      counts.rejected += 1;
      this.#storeCounts.add(radio, kindOf(message), "rejected");
      refused.set(sequence, reason);
      this.#rejected.add({
        senderId: sender.senderId,
        sequence,
        runId: ownRunOf(message) ?? (envelope.context.runId || null),
        kind: kindOf(message),
        reason,
        receivedAt: utcText(now),
        message: envelope.bytesOf(index),
      });
    }
    return refused.size > 0 || overlaps ? this.#rejectionsOf(sender, first, last) : [];
  }

  #storeWith(
    care: Care,
    message: StorableMessage,
    envelope: ReceivedEnvelope,
    sender: Sender,
    now: Micros,
  ): string | undefined {
    if (care === "none") return this.#storeMessage(message, envelope, sender, now);
    if (care !== "each message") return care.refusal;
    return this.#savepoint(() => this.#storeMessage(message, envelope, sender, now));
  }

  /** Returns why the message was refused; undefined when it is stored. */
  #storeMessage(
    message: StorableMessage,
    envelope: ReceivedEnvelope,
    sender: Sender,
    now: Micros,
  ): string | undefined {
    this.#senders.hearOfRun(sender, ownRunOf(message) ?? "");
    const applied = this.#apply(message, envelope.context);
    if ("refused" in applied) return applied.refused;
    if (applied.duplicate) sender.counts.duplicateRows += 1;
    this.#storeCounts.addTime(applied.at);
    const delay = now - applied.at;
    if (sender.leastDelayUs === null || delay < sender.leastDelayUs) sender.leastDelayUs = delay;
    return undefined;
  }

  /** Makes a message rows, or says why no table takes it. */
  #apply(
    message: StorableMessage,
    context: Context,
  ): { readonly refused: string } | { readonly duplicate: boolean; readonly at: Micros } {
    const facts = "sample" in message ? message.sample : factsOf(message, context);
    if ("refused" in facts) return facts;
    const applied = this.#tables.apply(facts);
    return typeof applied === "object" ? applied : { duplicate: applied === "duplicate", at: facts.at };
  }

  /** Returns why a message is refused still; undefined when it is rows now. */
  #retry(rejected: KeptRejected): string | undefined {
    const message = readMessage(rejected.message);
    if ("unreadable" in message) return message.unreadable;
    const context = { runId: rejected.runId ?? "", hostname: rejected.hostname ?? "" };
    return this.#savepoint(() => {
      const applied = this.#apply(message, context);
      if ("refused" in applied) return applied.refused;
      this.#rejected.becameRow(rejected, applied.duplicate);
      return undefined;
    });
  }

  /** Stores one message by itself, merged rows included, so that SQLite's refusal names this message. */
  #savepoint(store: () => string | undefined): string | undefined {
    this.#db.exec("SAVEPOINT message");
    try {
      const reason = store();
      this.#tables.flush();
      this.#db.exec("RELEASE message");
      return reason;
    } catch (cause) {
      if (isTemporary(cause) || isDamage(cause)) throw cause;
      this.#db.exec("ROLLBACK TO message; RELEASE message");
      this.#tables.forget();
      return `SQLite refused it: ${reasonOf(cause)}`;
    }
  }

  #rejectionsOf(sender: Sender, first: number, last: number): Rejection[] {
    if (sender.counts.rejected === 0) return [];
    return this.#rejected.between(sender.senderId, first, last);
  }
}

function kindOf(message: ReadMessage): string {
  if ("sample" in message) return sampleKind;
  return kindName("unreadable" in message ? undefined : message);
}

/** The run that a message names itself; of a sample the one that it is of. */
function ownRunOf(message: ReadMessage): string | undefined {
  if ("sample" in message) return message.sample.runId;
  return "unreadable" in message ? undefined : message.kind?.value.runId;
}
