import type { Logger } from "../base/logger.js";
import type { CollectorError } from "../base/errors.js";
import { openGrpcReceiver, type GrpcReceiver } from "../radios/grpc/receiver.js";
import { Batcher } from "./batcher.js";
import type { Sink } from "./sinks/sink.js";
import type { FileOptions } from "./sinks/sqlite/file.js";
import { openSqliteSink, type SqliteSink } from "./sinks/sqlite/sink.js";

export interface CollectorOptions {
  readonly database: FileOptions;
  /** "host:port" for gRPC; port 0 lets the system choose. */
  readonly listen: string;
}

/** Builds the pieces of a collector, and starts and stops them in order: receivers, inbox with group
 *  commit, sink. */
export class Collector implements AsyncDisposable {
  readonly #sink: SqliteSink;
  readonly #batcher: Batcher;
  readonly #receiver: GrpcReceiver;

  private constructor(sink: SqliteSink, batcher: Batcher, receiver: GrpcReceiver) {
    this.#sink = sink;
    this.#batcher = batcher;
    this.#receiver = receiver;
  }

  /** Rejects with a CollectorError that says what to do when the database cannot be used or the address
   *  cannot be listened on; nothing is left open then. */
  static async open(options: CollectorOptions, logger: Logger): Promise<Collector> {
    const sink = await openSqliteSink(options.database, logger);
    try {
      const batcher = new Batcher(sink);
      const status = async (runId: string) => ({
        ...((await unlessBlocked(sink, () => batcher.status(runId))) ?? {
          total: undefined,
          senders: [],
          runs: [],
        }),
        queuedBytes: BigInt(batcher.queuedBytes),
        blockedReason: sink.blockedReason ?? "",
      });
      return new Collector(
        sink,
        batcher,
        await openGrpcReceiver({ listen: options.listen }, batcher, status, logger),
      );
    } catch (cause) {
      await sink[Symbol.asyncDispose]();
      throw cause;
    }
  }

  /** Where senders reach it. */
  get address(): string {
    return this.#receiver.address;
  }

  /** Resolves with the first fault after which nothing can be stored any more. */
  get failed(): Promise<CollectorError> {
    return this.#sink.failed;
  }

  /** Drains: receivers stop reading, what was accepted is committed and answered, the file is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#receiver[Symbol.asyncDispose]();
    await this.#batcher[Symbol.asyncDispose]();
    await this.#sink[Symbol.asyncDispose]();
  }

  /** Gives up at once. Returns how many bytes of envelopes were neither stored nor acknowledged: their
   *  senders still have them. */
  async abort(): Promise<number> {
    const left = this.#batcher.queuedBytes;
    this.#batcher.abort();
    this.#receiver.abort();
    await this.#sink.abort();
    return left;
  }
}

/** The answer, or undefined when the sink is blocked before it comes: whoever asks how things are must not
 *  wait for a lock. */
function unlessBlocked<T>(sink: Sink, ask: () => Promise<T>): Promise<T | undefined> {
  if (sink.blockedReason !== undefined) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const forget = sink.whenBlocked(() => resolve(undefined));
    void ask().then(resolve, reject).finally(forget);
  });
}
