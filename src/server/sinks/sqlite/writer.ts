import type Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { faultPoint } from "../../../base/fault-points.js";
import type { Principal } from "../../../model/principal.js";
import { nowMicros, type Micros } from "../../../model/time.js";
import { readEnvelope } from "../../envelope-reader.js";
import { StoreCounts } from "../../store-counts.js";
import type { Arrival, Losses, Outcome, SinkStatus } from "../sink.js";
import type { OnBlocked, Writer } from "../writer-loop.js";
import { damageCure, isDamage } from "./damage.js";
import { advisePlanner, cureOf, isTemporary, openFile, prepareFile, type FileOptions } from "./file.js";
import { GroupWriter, type Care, type ReadArrival } from "./group-writer.js";
import { defaultLogBytes } from "./log-writer.js";
import { defaultSendersPerRun } from "./senders.js";
import { onlyOf, readLosses, readStatus } from "./status.js";

/** Blocks the calling thread between two attempts to write: 20 ms at first, 500 ms at most. */
export function blockThread(attempt: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(500, 20 * 2 ** attempt));
}

/** An arrival whose envelope is read each time that it is asked for. Read before the group is stored, its messages would
 *  all stay until the commit: a third of the memory, and of the time that goes into collecting garbage. */
function readWhenStored({ envelope, ...arrival }: Arrival): ReadArrival {
  return {
    ...arrival,
    get envelope() {
      return readEnvelope(envelope);
    },
  };
}

function messagesIn(outcomes: readonly Outcome[]): number {
  let messages = 0;
  for (const outcome of outcomes) {
    if (!("acknowledgement" in outcome)) continue;
    const { committed } = outcome.acknowledgement;
    if (committed !== undefined) messages += Number(committed.last - committed.first) + 1;
  }
  return messages;
}

/** The only writer of a database file. Synchronous, and all of a group in one transaction: the ledger's
 *  check, the rows, the ledger, the rejected messages. Split, a crash between two would lose a row or
 *  store it twice. */
export class SqliteWriter implements Writer {
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #writer: GroupWriter;
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
      const { sendersPerRun = defaultSendersPerRun, logBytes = defaultLogBytes } = options;
      this.#writer = new GroupWriter(this.#db, { sendersPerRun, logBytes }, counts);
    } catch (cause) {
      this.#db.close();
      throw this.#failure("open database", cause);
    }
    this.#begin = this.#db.prepare("BEGIN IMMEDIATE");
    this.#commit = this.#db.prepare("COMMIT");
    this.#rollback = this.#db.prepare("ROLLBACK");
    this.#readDataVersion = this.#db.prepare<[], number>("PRAGMA data_version").pluck();
  }

  /** Stores a group, as received `now`; see Sink.store. Blocks this thread for as long as the file cannot be written. */
  store(group: readonly Arrival[], now = nowMicros()): Outcome[] {
    const beganMs = performance.now();
    const outcomes = this.#storeRead(group.map(readWhenStored), now);
    this.#storeCounts.commit((performance.now() - beganMs) / 1_000, nowMicros());
    this.#messages += messagesIn(outcomes);
    if (this.#messages >= this.#adviseAt) {
      this.#adviseAt *= 10;
      advisePlanner(this.#db);
    }
    return outcomes;
  }

  #storeRead(read: readonly ReadArrival[], now: Micros): Outcome[] {
    try {
      return this.#whenFree(() => this.#transaction(read, now, "none"));
    } catch (cause) {
      // A row that SQLite itself refuses, for a reason that we do not check beforehand (a trigger or a
      // further column that the user added, say). Find it: each message by itself.
      if (cause instanceof CollectorError) throw cause;
      if (isDamage(cause)) {
        // No fault of any message: none of them is refused, and all stay with their senders.
        throw new CollectorError("database", `${reasonOf(cause)}; ${damageCure}`, { cause });
      }
      return this.#whenFree(() => this.#transaction(read, now, "each message"));
    }
  }

  status(runId: string, principal?: Principal): SinkStatus {
    const status = this.#whenFree(() => readStatus(this.#db, runId, nowMicros() / 1000));
    if (principal === undefined || principal.runs === "all") return status;
    // What another collector on this file has given away since.
    this.#writer.forget();
    return onlyOf(status, (run) => this.#writer.mayWrite(run, principal));
  }

  losses(): Losses {
    return this.#whenFree(() => readLosses(this.#db));
  }

  /** Keeps a log of what is committed from now on. */
  keepLog(): void {
    this.#whenFree(() => this.#inTransaction(() => this.#writer.keepLog()));
  }

  /** Lets sinks follow what is committed, and says from where each has to go on. */
  follow(names: readonly string[]): ReadonlyMap<string, number> {
    return this.#whenFree(() => this.#inTransaction(() => this.#writer.follow(names, nowMicros())));
  }

  /** A sink that follows has all up to a position. */
  followed(name: string, position: number): void {
    this.#whenFree(() => this.#inTransaction(() => this.#writer.followed(name, position, nowMicros())));
  }

  /** Tries rejected messages again, for a table may take now what none did before: by their numbers in
   *  collector_rejected. Says of each why it is refused still, and undefined when it is rows now. */
  retryRejected(ids: readonly number[]): ReadonlyMap<number, string | undefined> {
    return this.#whenFree(() => this.#inTransaction(() => this.#writer.retryRejected(ids)));
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

  #transaction(read: readonly ReadArrival[], now: Micros, care: Care): Outcome[] {
    return this.#inTransaction(() => this.#writer.store(read, now, care));
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
      this.#writer.trim();
      return result;
    } catch (cause) {
      if (this.#db.inTransaction) this.#rollback.run();
      this.#writer.forget();
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
    if (version !== this.#dataVersion) this.#writer.forget();
    this.#dataVersion = version;
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
