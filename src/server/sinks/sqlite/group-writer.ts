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
import { factsOf, type Context, type Facts } from "../../rows/facts.js";
import type { Interval } from "../../ledger.js";
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

/** Messages that are stored at once, and their bytes: a row costs less in company, and what a message says in memory, thirty
 *  times its bytes at worst, stays until all of them are stored. */
const [messagesAtOnce, bytesAtOnce] = [128, 256 * 1024];

const sampleKind = kindNames["resourceInfo"] ?? "";

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

/** An envelope while its messages are stored. */
interface Reception {
  readonly envelope: ReceivedEnvelope;
  readonly radio: string;
  readonly sender: Sender;
  readonly now: Micros;
  readonly care: Care;
  /** Why messages were refused, by their sequences. */
  readonly refused: Map<number, string>;
}

/** A message and its place in the envelope. */
interface Waiting {
  readonly index: number;
  readonly message: ReadMessage;
}

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
        : this.#storeMessages({ envelope, radio, sender, now, care, refused }, sequences);
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

  #storeMessages(reception: Reception, { first, last }: Interval): Rejection[] {
    const { envelope, radio, sender, refused } = reception;
    const { length } = envelope;
    const { counts, sequences } = sender;
    if (sequences.includes({ first, last })) {
      counts.repeated += length;
      for (const message of envelope.messages) this.#storeCounts.add(radio, kindOf(message), "repeated");
      return this.#rejectionsOf(sender, first, last);
    }
    const overlaps = first <= sequences.highest;
    let waiting: Waiting[] = [];
    let bytes = 0;
    for (let index = 0; index < length; index += 1) {
      const message = envelope.read(index);
      // A sender that reconnects resends its whole window, so a known number is a repeat and not a fault.
      if (overlaps && sequences.has(first + index)) {
        counts.repeated += 1;
        this.#storeCounts.add(radio, kindOf(message), "repeated");
        continue;
      }
      waiting.push({ index, message });
      bytes += envelope.sizeOf(index);
      if (waiting.length < messagesAtOnce && bytes < bytesAtOnce) continue;
      this.#storeWaiting(reception, first, waiting);
      [waiting, bytes] = [[], 0];
    }
    this.#storeWaiting(reception, first, waiting);
    return refused.size > 0 || overlaps ? this.#rejectionsOf(sender, first, last) : [];
  }

  /** `first`: the sequence of the envelope's first message. */
  #storeWaiting(reception: Reception, first: number, waiting: readonly Waiting[]): void {
    const { envelope, radio, sender, now, refused } = reception;
    const refusals = this.#refusals(reception, waiting);
    for (const [at, { index, message }] of waiting.entries()) {
      const reason = refusals[at];
      if (reason === undefined) {
        sender.counts.stored += 1;
        this.#storeCounts.add(radio, kindOf(message), "stored");
        continue;
      }
      sender.counts.rejected += 1;
      this.#storeCounts.add(radio, kindOf(message), "rejected");
      refused.set(first + index, reason);
      this.#rejected.add({
        senderId: sender.senderId,
        sequence: first + index,
        runId: ownRunOf(message) ?? (envelope.context.runId || null),
        kind: kindOf(message),
        reason,
        receivedAt: utcText(now),
        message: envelope.bytesOf(index),
      });
    }
  }

  /** Stores messages, and says of each why it was refused; undefined when it is stored. */
  #refusals(reception: Reception, waiting: readonly Waiting[]): (string | undefined)[] {
    const { care } = reception;
    if (care === "none") return this.#storeTogether(reception, waiting);
    return waiting.map((one) => {
      if ("unreadable" in one.message) return one.message.unreadable;
      if (care !== "each message") return care.refusal;
      return this.#savepoint(() => this.#storeTogether(reception, [one])[0]);
    });
  }

  #storeTogether(reception: Reception, waiting: readonly Waiting[]): (string | undefined)[] {
    const { envelope, sender, now } = reception;
    const said = waiting.map(({ message }) => {
      this.#senders.hearOfRun(sender, ownRunOf(message) ?? "");
      return factsIn(message, envelope.context);
    });
    const applied = this.#tables.apply(said.filter((facts): facts is Facts => !("refused" in facts)));
    let next = 0;
    return said.map((facts) => {
      if ("refused" in facts) return facts.refused;
      const became = applied[next];
      next += 1;
      if (typeof became === "object") return became.refused;
      if (became === "duplicate") sender.counts.duplicateRows += 1;
      this.#storeCounts.addTime(facts.at);
      const delay = now - facts.at;
      if (sender.leastDelayUs === null || delay < sender.leastDelayUs) sender.leastDelayUs = delay;
      return undefined;
    });
  }

  /** Returns why a message is refused still; undefined when it is rows now. */
  #retry(rejected: KeptRejected): string | undefined {
    const message = readMessage(rejected.message);
    const context = { runId: rejected.runId ?? "", hostname: rejected.hostname ?? "" };
    return this.#savepoint(() => {
      const facts = factsIn(message, context);
      if ("refused" in facts) return facts.refused;
      const [became] = this.#tables.apply([facts]);
      if (typeof became === "object") return became.refused;
      this.#rejected.becameRow(rejected, became === "duplicate");
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

/** What a message says, or why no table takes it. */
function factsIn(message: ReadMessage, context: Context): Facts | { readonly refused: string } {
  if ("unreadable" in message) return { refused: message.unreadable };
  return "sample" in message ? message.sample : factsOf(message, context);
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
