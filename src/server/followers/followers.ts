import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { CollectorError, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import { readBehind } from "../log-following.js";
import type { MessageLog, Positions } from "../message-log.js";
import type { FollowersData, FromFollowers, SinkOption, ToFollowers } from "./messages.js";

/** How often a sink's position is written to the database, in ms: what was stored since is told again after a crash. */
const savedEveryMs = 1_000;

/** How long a collector that ends lets its sinks catch up, in ms; what they lack then they get at the next start. */
const catchUpMs = 10_000;

interface Progress {
  position: number;
  saved: number;
}

/** Sinks that follow what is committed. They run in a thread of their own; the store is read here, where its connection
 *  is. */
export class Followers implements AsyncDisposable {
  readonly #log: MessageLog;
  readonly #positions: Positions;
  readonly #progress = new Map<string, Progress>();
  readonly #worker: Worker;
  readonly #ended = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<CollectorError>();
  readonly #stop = new AbortController();
  readonly #saving: NodeJS.Timeout;
  /** The newest entry at the end, and what tells that all sinks have it. */
  #newest = 0;
  #caughtUp: PromiseWithResolvers<void> | undefined;

  private constructor(
    log: MessageLog,
    positions: Positions,
    sinks: FollowersData["sinks"],
    logger: Logger,
    opened: PromiseWithResolvers<void>,
  ) {
    this.#log = log;
    this.#positions = positions;
    for (const { name, position } of sinks) this.#progress.set(name, { position, saved: position });
    const workerData: FollowersData = { sinks, level: logger.level };
    this.#worker = new Worker(new URL("./followers-thread.js", import.meta.url), { workerData });
    this.#worker.on("message", (told: FromFollowers) => {
      if ("opened" in told) opened.resolve();
      else if ("next" in told) void this.#answer(told.next);
      else if ("stored" in told) this.#stored(told.stored);
      else if ("failed" in told) fail(new CollectorError("invalid-argument", told.failed));
    });
    const fail = (error: CollectorError): void => {
      opened.reject(error);
      this.#failed.resolve(error);
    };
    this.#worker.on("error", (cause) =>
      fail(new CollectorError("internal", `run sinks: ${reasonOf(cause)}`)),
    );
    this.#worker.on("exit", () => {
      if (!this.#stop.signal.aborted)
        fail(new CollectorError("internal", "run sinks: their thread has ended"));
      this.#ended.resolve();
    });
    this.#saving = setInterval(() => void this.#save().catch(() => undefined), savedEveryMs).unref();
  }

  /** Rejects with a CollectorError when one of them can never be. */
  static async open(
    log: MessageLog,
    positions: Positions,
    options: readonly SinkOption[],
    logger: Logger,
  ): Promise<Followers> {
    const names = options.map(nameOf);
    const from = await positions.follow(names);
    const sinks = options.map((option, index) => {
      const name = names[index] ?? "";
      return { ...option, name, position: from.get(name) ?? 0 };
    });
    const opened = Promise.withResolvers<void>();
    const followers = new Followers(log, positions, sinks, logger, opened);
    try {
      await opened.promise;
    } catch (cause) {
      followers.#stop.abort();
      await followers.#end();
      throw cause;
    }
    logger.info({ sinks: Object.fromEntries(from) }, "sinks follow");
    return followers;
  }

  /** Resolves with why no sink is told anything any more, should that ever happen. */
  get failed(): Promise<CollectorError> {
    return this.#failed.promise;
  }

  /** Commits that each sink has not taken yet, at most. */
  async lags(): Promise<Map<string, number>> {
    const { to } = await this.#log.span();
    return new Map([...this.#progress].map(([name, { position }]) => [name, Math.max(0, to - position)]));
  }

  /** Lets them take what there is, as far as they do, and ends them. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#newest = (await this.#log.span()).to;
    if (!this.#haveAll()) {
      const caughtUp = new AbortController();
      await Promise.race([
        sleep(catchUpMs, undefined, { signal: caughtUp.signal }).catch(() => undefined),
        this.#whenCaughtUp(),
        this.#ended.promise,
      ]);
      caughtUp.abort();
    }
    this.#stop.abort();
    await this.#end();
    await this.#save();
  }

  #whenCaughtUp(): Promise<void> {
    this.#caughtUp = Promise.withResolvers<void>();
    return this.#caughtUp.promise;
  }

  #haveAll(): boolean {
    return [...this.#progress.values()].every(({ position }) => position >= this.#newest);
  }

  async #end(): Promise<void> {
    clearInterval(this.#saving);
    this.#worker.postMessage({ end: true } satisfies ToFollowers);
    const late = setTimeout(() => void this.#worker.terminate(), 1_000);
    await this.#ended.promise;
    clearTimeout(late);
  }

  async #answer({
    sink,
    after,
    mostBytes,
  }: {
    sink: string;
    after: number;
    mostBytes: number;
  }): Promise<void> {
    try {
      const { entries, span, missed } = await readBehind(this.#log, after, mostBytes, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      const from = missed ? span.from : after;
      this.#worker.postMessage({ entries: { sink, from, entries } } satisfies ToFollowers);
    } catch (cause) {
      // The store is closed, or cannot be read any more, which ends the collector by itself.
      if (this.#stop.signal.aborted) return;
      this.#failed.resolve(
        cause instanceof CollectorError
          ? cause
          : new CollectorError("database", `read for sink ${sink}: ${reasonOf(cause)}`, { cause }),
      );
    }
  }

  #stored({ sink, position }: { sink: string; position: number }): void {
    const progress = this.#progress.get(sink);
    if (progress === undefined) return;
    progress.position = position;
    if (this.#haveAll()) this.#caughtUp?.resolve();
  }

  async #save(): Promise<void> {
    for (const [name, progress] of this.#progress) {
      const { position } = progress;
      if (progress.saved === position) continue;
      await this.#positions.followed(name, position);
      progress.saved = position;
    }
  }
}

/** The name under which a store knows a sink, and logs and metrics tell it: whoever changes the address begins a new
 *  one. Without what may be secret in a URL. */
function nameOf({ kind, address }: SinkOption): string {
  return `${kind}=${address.replace(/(?<=:\/\/)[^/@]*@/, "")}`;
}
