import { Worker } from "node:worker_threads";

import { CollectorError, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import type { Principal } from "../../model/principal.js";
import type { Positions } from "../message-log.js";
import { StoreCounts } from "../store-counts.js";
import type { CommitLog } from "./commit-log.js";
import type { Arrival, Losses, Outcome, Sink, SinkStatus } from "./sink.js";
import type { Call, Report, WriterData } from "./writer-messages.js";

/** How long opening waits for a database that cannot be used for now (a lock of another process, a server that is away),
 *  in ms, before the collector takes messages all the same: they wait in memory, and receivers push back. */
const openPatienceMs = 2_000;

/** Of the thread's heap, in MiB; V8's own is 48. What is read of a message dies young, so that to collect it more often costs
 *  no more CPU, down to this; at half of it the thread takes 4 % more. */
const maxYoungGenerationSizeMb = 6;

/** Memory that both threads have for a group, in bytes; a larger one (one large message, say) gets its own. A buffer that
 *  were made for each group and handed over would be garbage of the thread, which seldom collects any: 20 MiB at full
 *  speed. */
const packedBytes = 2 * 1024 * 1024;

/** What makes a sink of a writer. */
export interface WriterSinkParts {
  /** The database's name for people: without a password. */
  readonly name: string;
  /** The module that runs the writer, and what it is told. */
  readonly thread: URL;
  readonly options: unknown;
  readonly durability: string;
  /** Reads the log of messages; `startKeeping` lets the writer begin it. */
  readonly log: (startKeeping: () => Promise<void>) => CommitLog;
  readonly sizes: Sink["sizes"];
}

/** A sink whose writer runs in a thread of its own. */
export class WriterSink implements Sink {
  /** Resolves when the database is open, or cannot be used for now. */
  readonly opened: Promise<void>;
  readonly failed: Promise<CollectorError>;
  readonly counts: StoreCounts;
  readonly log: CommitLog;
  readonly positions: Positions;
  readonly #sizes: () => Promise<Readonly<Record<string, number>>>;
  readonly #resolveFailed: (error: CollectorError) => void;
  readonly #worker: Worker;
  readonly #logger: Logger;
  /** Of the database, for people. */
  readonly #name: string;
  readonly #ended: Promise<void>;
  /** That no group is in now: as many as the thread ever had at a time. */
  readonly #memories: SharedArrayBuffer[] = [];
  /** Calls that the thread has not yet answered, in order. */
  readonly #calls: { resolve: (answer: Report) => void; reject: (error: CollectorError) => void }[] = [];
  #blockedReason: string | undefined;
  readonly #toldWhenBlocked = new Set<(reason: string | undefined) => void>();
  #failure: CollectorError | undefined;
  #closing = false;
  #isOpen = false;

  constructor(parts: WriterSinkParts, logger: Logger, radios: readonly string[]) {
    const { name, thread, options, log } = parts;
    this.#logger = logger;
    this.#name = name;
    this.counts = new StoreCounts(radios);
    this.log = log(() => this.#keepLog());
    this.positions = {
      follow: (names) => this.#follow({ follow: names }),
      followed: async (name, position) => {
        await this.#follow({ followed: { name, position } });
      },
    };
    this.#sizes = parts.sizes;
    const workerData: WriterData = { options, radios, counts: this.counts.memory };
    const resourceLimits = { maxYoungGenerationSizeMb };
    this.#worker = new Worker(thread, { workerData, resourceLimits });
    const opened = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<CollectorError>();
    this.opened = opened.promise;
    this.failed = failed.promise;
    this.#resolveFailed = failed.resolve;
    this.#ended = ended.promise;
    // Only one that cannot be used now is worth going on without: one that is slow to open is soon there.
    let isPatient = true;
    const patience = setTimeout(() => {
      isPatient = false;
      if (this.#blockedReason !== undefined) opened.resolve();
    }, openPatienceMs);
    this.#worker.on("message", (report: Report) => {
      if ("opened" in report) {
        logger.info(
          { database: name, journal: report.opened, durability: parts.durability },
          "database open",
        );
        this.#isOpen = true;
        opened.resolve();
      } else if ("failed" in report) {
        this.#fail(new CollectorError("database", report.failed.message));
        opened.reject(this.#failure);
      } else if ("blocked" in report) {
        this.#block(report.blocked);
        if (!isPatient && report.blocked !== undefined) opened.resolve();
      } else this.#calls.shift()?.resolve(report);
    });
    this.#worker.on("error", (cause) => {
      this.#fail(new CollectorError("internal", `write database ${name}: ${reasonOf(cause)}`, { cause }));
      opened.reject(this.#failure);
    });
    this.#worker.on("exit", () => {
      clearTimeout(patience);
      const over = new CollectorError(
        this.#closing ? "closed" : "internal",
        `use database ${name}: the writer has ended`,
      );
      if (this.#closing) this.#refuse(over);
      else this.#fail(over);
      ended.resolve();
    });
    // Someone who does not wait for it learns of the failure from the next call.
    this.opened.catch(() => undefined);
  }

  get blockedReason(): string | undefined {
    return this.#blockedReason;
  }

  whenBlocked(tell: (reason: string | undefined) => void): () => void {
    this.#toldWhenBlocked.add(tell);
    return () => this.#toldWhenBlocked.delete(tell);
  }

  async store(group: readonly Arrival[]): Promise<readonly Outcome[]> {
    const bytes = group.reduce((sum, { envelope }) => sum + envelope.byteLength, 0);
    const memory = this.#memoryFor(bytes);
    const packed = new Uint8Array(memory, 0, bytes);
    let at = 0;
    for (const { envelope } of group) {
      packed.set(envelope, at);
      at += envelope.byteLength;
    }
    const lengths = group.map(({ envelope }) => envelope.byteLength);
    const radios = group.map(({ radio }) => radio);
    const principals = group.some(({ principal }) => principal !== undefined)
      ? group.map(({ principal }) => principal)
      : undefined;
    const answer = await this.#call({ store: { packed, lengths, radios, principals } });
    if (memory.byteLength === packedBytes) this.#memories.push(memory);
    if ("stored" in answer) {
      this.log.committed();
      return answer.stored;
    }
    throw new CollectorError("internal", "store a group: the writer answered something else");
  }

  async status(runId: string, principal?: Principal): Promise<SinkStatus> {
    const answer = await this.#call({ status: runId, principal });
    if ("status" in answer) return answer.status;
    throw new CollectorError("internal", "read the ledger: the writer answered something else");
  }

  async losses(): Promise<Losses> {
    const answer = await this.#call({ losses: true });
    if ("losses" in answer) return answer.losses;
    throw new CollectorError("internal", "read the losses: the writer answered something else");
  }

  sizes(): Promise<Readonly<Record<string, number>>> {
    return this.#sizes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      // Nothing is lost with a writer that waits for its database and was given nothing to store.
      if (!this.#isOpen && this.#calls.length === 0) await this.#worker.terminate();
      else this.#worker.postMessage({ close: true } satisfies Call);
    }
    await this.#ended;
    this.log.close();
  }

  async abort(): Promise<void> {
    this.#closing = true;
    this.#refuse(
      new CollectorError(
        "shutting-down",
        `write database ${this.#name}: the collector was told to stop at once`,
      ),
    );
    await this.#worker.terminate();
    this.log.close();
  }

  async #follow(
    call: Extract<Call, { follow: unknown } | { followed: unknown }>,
  ): Promise<ReadonlyMap<string, number>> {
    const answer = await this.#call(call);
    if ("positions" in answer) return answer.positions;
    throw new CollectorError("internal", "follow the log: the writer answered something else");
  }

  async #keepLog(): Promise<void> {
    await this.#call({ keepLog: true });
  }

  #call(call: Call): Promise<Report> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve: answer, reject } = Promise.withResolvers<Report>();
    this.#calls.push({ resolve: answer, reject });
    this.#worker.postMessage(call);
    return promise;
  }

  #memoryFor(bytes: number): SharedArrayBuffer {
    if (bytes > packedBytes) return new SharedArrayBuffer(bytes);
    return this.#memories.pop() ?? new SharedArrayBuffer(packedBytes);
  }

  #block(reason: string | undefined): void {
    this.#blockedReason = reason;
    if (reason === undefined) {
      this.#logger.info({ database: this.#name }, "database can be written again");
    } else {
      this.#logger.warn(
        { database: this.#name, reason },
        "database cannot be written for now: waiting, nothing is lost",
      );
    }
    for (const tell of this.#toldWhenBlocked) tell(reason);
  }

  #fail(error: CollectorError): void {
    this.#refuse(error);
    this.#resolveFailed(error);
  }

  #refuse(error: CollectorError): void {
    this.#failure ??= error;
    for (const { reject } of this.#calls.splice(0)) reject(error);
  }
}
