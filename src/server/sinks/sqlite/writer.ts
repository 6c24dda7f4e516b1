import type Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { faultPoint } from "../../../base/fault-points.js";
import type { Acknowledgement, Rejection } from "../../../model/envelope.js";
import { nowMicros, utcText, type Micros } from "../../../model/time.js";
import { readEnvelope, readMessage, type ReceivedEnvelope } from "../../envelope-reader.js";
import { factsOf, type Context } from "../../rows/facts.js";
import { kindName } from "../../../model/kinds.js";
import { StoreCounts } from "../../store-counts.js";
import type { Arrival, Losses, Outcome, SinkStatus } from "../sink.js";
import { damageCure, isDamage } from "./damage.js";
import type { Principal } from "../../../model/principal.js";
import { advisePlanner, cureOf, isTemporary, openFile, prepareFile, type FileOptions } from "./file.js";
import { defaultLogBytes, LogWriter } from "./log-writer.js";
import { Owners } from "./owners.js";
import { RejectedMessages, type KeptRejected } from "./rejected.js";
import { defaultSendersPerRun, Senders, type Sender } from "./senders.js";
import { onlyOf, readLosses, readStatus } from "./status.js";
import { Tables } from "./tables.js";

/** Senders that are kept in memory from one group to the next. */
const keptSenders = 20_000;

/** Told when the file cannot be written now, with the reason, and with undefined when it can again. */
export type OnBlocked = (reason: string | undefined) => void;

/** Blocks the calling thread between two attempts to write: 20 ms at first, 500 ms at most. */
export function blockThread(attempt: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(500, 20 * 2 ** attempt));
}

/** An arrival whose envelope was read, or why that could not be. */
type ReadArrival = Omit<Arrival, "envelope"> & { readonly envelope: ReturnType<typeof readEnvelope> };

/** The only writer of a database file. Synchronous, and all of a group in one transaction: the ledger's
 *  check, the rows, the ledger, the rejected messages. Split, a crash between two would lose a row or
 *  store it twice. */
export class SqliteWriter {
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #senders: Senders;
  readonly #owners: Owners;
  readonly #tables: Tables;
  readonly #log: LogWriter;
  readonly #rejected;
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  readonly #readDataVersion;
  readonly #onBlocked: OnBlocked;
  readonly #wait: (attempt: number) => void;
  readonly #storeCounts: StoreCounts;
  /** The journal mode, and why. */
  readonly journal: string;
  #dataVersion: number | undefined;
  #blocked = false;
  /** Messages that came since the file was opened, and how many have come when it is next seen to that readers find
   *  their way: a user who asks for the last try of each of 100,000 tasks of a running workflow would wait for 12
   *  minutes, not 0.2 s. */
  #messages = 0;
  #adviseAt = 10_000;

  /** Opens and prepares the file, waiting while another holds it. `wait` blocks this thread between two
   *  attempts, the number of which (from 0) it is told. `counts` are told what is stored. */
  constructor(
    options: FileOptions,
    onBlocked: OnBlocked,
    wait: (attempt: number) => void,
    counts = new StoreCounts([]),
  ) {
    this.#path = options.path;
    this.#onBlocked = onBlocked;
    this.#wait = wait;
    this.#storeCounts = counts;
    this.#db = openFile(options.path);
    try {
      const { journalMode, because } = this.#whenFree(() => prepareFile(this.#db, options));
      this.journal = `${journalMode} (${because})`;
      this.#senders = new Senders(this.#db, options.sendersPerRun ?? defaultSendersPerRun);
      this.#owners = new Owners(this.#db);
      this.#tables = new Tables(this.#db);
      this.#log = new LogWriter(this.#db, options.logBytes ?? defaultLogBytes);
    } catch (cause) {
      this.#db.close();
      throw this.#failure("open database", cause);
    }
    this.#rejected = new RejectedMessages(this.#db);
    this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
    this.#commit = this.#db.prepare("COMMIT");
    this.#rollback = this.#db.prepare("ROLLBACK");
    this.#readDataVersion = this.#db.prepare<[], number>("PRAGMA data_version").pluck();
  }

  /** Stores a group; see Sink.store. Blocks this thread for as long as the file cannot be written. */
  store(group: readonly Arrival[]): Outcome[] {
    const now = nowMicros();
    const beganMs = performance.now();
    const read = group.map((arrival) => ({ ...arrival, envelope: readEnvelope(arrival.envelope) }));
    const outcomes = this.#storeRead(read, now);
    this.#storeCounts.commit((performance.now() - beganMs) / 1_000, nowMicros());
    for (const { envelope } of read) if ("messages" in envelope) this.#messages += envelope.messages.length;
    if (this.#messages >= this.#adviseAt) {
      this.#adviseAt *= 10;
      advisePlanner(this.#db);
    }
    return outcomes;
  }

  #storeRead(read: readonly ReadArrival[], now: Micros): Outcome[] {
    try {
      return this.#whenFree(() => this.#transaction(read, now, false));
    } catch (cause) {
      // A row that SQLite itself refuses, for a reason that we do not check beforehand (a trigger or a
      // further column that the user added, say). Find it: each message by itself.
      if (cause instanceof CollectorError) throw cause;
      if (isDamage(cause)) {
        // No fault of any message: none of them is refused, and all stay with their senders.
        throw new CollectorError("database", `${reasonOf(cause)}; ${damageCure}`, { cause });
      }
      return this.#whenFree(() => this.#transaction(read, now, true));
    }
  }

  status(runId: string, principal?: Principal): SinkStatus {
    const status = this.#whenFree(() => readStatus(this.#db, runId, nowMicros() / 1000));
    if (principal === undefined || principal.runs === "all") return status;
    // What another collector on this file has given away since.
    this.#owners.forget();
    return onlyOf(status, (run) => this.#owners.mayWrite(run, principal));
  }

  losses(): Losses {
    return this.#whenFree(() => readLosses(this.#db));
  }

  /** Keeps a log of what is committed from now on. */
  keepLog(): void {
    this.#whenFree(() => this.#inTransaction(() => this.#log.keep()));
  }

  /** Tries rejected messages again, for a table may take now what none did before: by their numbers in
   *  collector_rejected. Says of each why it is refused still, and undefined when it is rows now. */
  retryRejected(ids: readonly number[]): ReadonlyMap<number, string | undefined> {
    return this.#whenFree(() =>
      this.#inTransaction(() => {
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
      }),
    );
  }

  /** Leaves one complete file: the journal is written back and removed. */
  close(): void {
    try {
      advisePlanner(this.#db);
      this.#db.pragma("wal_checkpoint(TRUNCATE)");
    } catch (cause) {
      // A reader that is still there keeps the journal; whoever closes last removes it. Nothing is lost.
      if (!isTemporary(cause)) throw this.#failure("close database", cause);
    } finally {
      this.#db.close();
    }
  }

  #transaction(group: readonly ReadArrival[], now: Micros, carefully: boolean): Outcome[] {
    return this.#inTransaction(() => {
      this.#storeCounts.discard(); // what an attempt before this one counted
      const outcomes = group.map(({ envelope, radio, principal }): Outcome => {
        if ("invalid" in envelope) return envelope;
        const exhausted = this.#senders.exceeds(envelope);
        if (exhausted !== undefined) return { exhausted };
        const forbidden =
          principal && this.#owners.claim(envelope, this.#senders.firstRunOf(envelope.senderId), principal);
        if (forbidden !== undefined) return { forbidden };
        return { acknowledgement: this.#storeEnvelope(envelope, radio, now, carefully) };
      });
      this.#tables.flush();
      faultPoint("writer: rows written");
      this.#senders.flush(now);
      this.#log.flush();
      faultPoint("writer: ledger written");
      return outcomes;
    });
  }

  /** All that `act` writes is on the disk when this returns, or nothing of it when it throws. */
  #inTransaction<T>(act: () => T): T {
    this.#begin.run();
    try {
      faultPoint("writer: transaction begun");
      this.#forgetIfChanged();
      const result = act();
      this.#commitWhenFree();
      faultPoint("writer: committed");
      this.#tables.trim();
      this.#senders.trim(keptSenders);
      return result;
    } catch (cause) {
      if (this.#db.inTransaction) this.#rollback.run();
      this.#forget();
      throw cause;
    }
  }

  /** With a rollback journal a reader holds up the commit only: wait for it there, with the work done. */
  #commitWhenFree(): void {
    this.#whenFree(() => this.#commit.run(), /^SQLITE_BUSY/);
  }

  /** Another process may write to the file too (a second collector, Parsl itself): what is kept in memory
   *  is then worth nothing. */
  #forgetIfChanged(): void {
    const version = this.#readDataVersion.get();
    if (version !== this.#dataVersion) this.#forget();
    this.#dataVersion = version;
  }

  #forget(): void {
    this.#tables.forget();
    this.#senders.forget();
    this.#owners.forget();
    this.#log.forget();
  }

  #storeEnvelope(
    envelope: ReceivedEnvelope,
    radio: string,
    now: Micros,
    carefully: boolean,
  ): Acknowledgement {
    const sender = this.#senders.hear(envelope, radio, now);
    const { sequences } = envelope;
    const refused = new Map<number, string>();
    const rejections =
      sequences === undefined
        ? []
        : this.#storeMessages(envelope, radio, sequences.first, sender, now, carefully, refused);
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
    carefully: boolean,
    refused: Map<number, string>,
  ): Rejection[] {
    const { messages } = envelope;
    const last = first + messages.length - 1;
    const { counts, sequences } = sender;
    if (sequences.includes({ first, last })) {
      counts.repeated += messages.length;
      for (const message of messages) this.#storeCounts.add(radio, kindOf(message), "repeated");
      return this.#rejectionsOf(sender, first, last);
    }
    const overlaps = first <= sequences.highest;
    messages.forEach((message, index) => {
      const sequence = first + index;
      // A sender that reconnects resends its whole window, so a known number is a repeat and not a fault.
      if (overlaps && sequences.has(sequence)) {
        counts.repeated += 1;
        this.#storeCounts.add(radio, kindOf(message), "repeated");
        return;
      }
      const reason =
        "unreadable" in message
          ? message.unreadable
          : carefully
            ? this.#savepoint(() => this.#storeMessage(message, envelope, sender, now))
            : this.#storeMessage(message, envelope, sender, now);
      if (reason === undefined) {
        counts.stored += 1;
        this.#storeCounts.add(radio, kindOf(message), "stored");
        return;
      }
      counts.rejected += 1;
      this.#storeCounts.add(radio, kindOf(message), "rejected");
      refused.set(sequence, reason);
      const known = "unreadable" in message ? undefined : message;
      this.#rejected.add({
        senderId: sender.senderId,
        sequence,
        runId: runIdIn(known) ?? (envelope.context.runId || null),
        kind: kindOf(message),
        reason,
        receivedAt: utcText(now),
        message: envelope.bytesOf(index),
      });
    });
    return refused.size > 0 || overlaps ? this.#rejectionsOf(sender, first, last) : [];
  }

  /** Returns why the message was refused; undefined when it is stored. */
  #storeMessage(
    message: Parameters<typeof factsOf>[0],
    envelope: ReceivedEnvelope,
    sender: Sender,
    now: Micros,
  ): string | undefined {
    this.#senders.hearOfRun(sender, message.kind?.value.runId ?? "");
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
    message: Parameters<typeof factsOf>[0],
    context: Context,
  ): { readonly refused: string } | { readonly duplicate: boolean; readonly at: Micros } {
    const facts = factsOf(message, context);
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

  /** Calls `act` until it does not fail for a temporary reason. Says when that begins and when it ends. */
  #whenFree<T>(act: () => T, when: RegExp = /./): T {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const result = act();
        if (attempt > 0 && this.#blocked) {
          this.#blocked = false;
          this.#onBlocked(undefined);
        }
        return result;
      } catch (cause) {
        if (!isTemporary(cause) || !when.test(cause.code)) throw cause;
        if (!this.#blocked) {
          this.#blocked = true;
          this.#onBlocked(`write database ${this.#path}: ${reasonOf(cause)}; ${cureOf(cause, this.#path)}`);
        }
        this.#wait(attempt);
      }
    }
  }

  #failure(act: string, cause: unknown): CollectorError {
    if (cause instanceof CollectorError) return cause;
    const cure = isDamage(cause) ? `; ${damageCure}` : "";
    return new CollectorError("database", `${act} ${this.#path}: ${reasonOf(cause)}${cure}`, { cause });
  }
}

function kindOf(message: ReceivedEnvelope["messages"][number]): string {
  return "unreadable" in message ? "UNREADABLE" : kindName(message);
}

function runIdIn(message: Parameters<typeof factsOf>[0] | undefined): string | undefined {
  return message?.kind?.value.runId;
}
