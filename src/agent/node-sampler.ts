import type { Clock } from "../base/clock.js";
import type { Message } from "../client/message.js";
import { timestampFromMicros } from "../client/timestamps.js";
import type { NodeUsage } from "../model/messages.js";
import { cpuPercent, nodeUsage, systemNodeFiles, type NodeFiles } from "./node-usage.js";

/** Longest time that a timer waits, in ms; one of more fires at once. */
const longestSleepMs = 2 ** 31 - 1;

export interface NodeSamplerOptions {
  readonly clock: Clock;
  /** Seconds between samples; above 0. */
  readonly intervalSeconds: number;
  /** Called with a `nodeUsage` for each sample, which leaves it to the envelope to name the host. */
  readonly onSample: (message: Message) => void;
  /** Default: of this host. */
  readonly files?: NodeFiles;
}

/** Takes samples of the node as a whole: one at once, and one each interval until it is disposed of. */
export class NodeSampler implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #intervalSeconds: number;
  readonly #onSample: (message: Message) => void;
  readonly #files: NodeFiles;
  readonly #startMs: number;
  readonly #stopped = new AbortController();
  #before: Partial<NodeUsage> | undefined;

  constructor({ clock, intervalSeconds, onSample, files = systemNodeFiles }: NodeSamplerOptions) {
    this.#clock = clock;
    this.#intervalSeconds = intervalSeconds;
    this.#onSample = onSample;
    this.#files = files;
    this.#startMs = clock.nowMs();
    void this.#run();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    return Promise.resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    for (;;) {
      const usage = await nodeUsage(this.#files);
      if (signal.aborted) return;
      this.#say(usage);
      try {
        await this.#clock.sleep(this.#msUntilNext(), signal);
      } catch {
        return; // disposed of
      }
    }
  }

  #say(usage: Partial<NodeUsage>): void {
    const before = this.#before;
    this.#before = usage;
    this.#onSample({
      nodeUsage: {
        timestamp: timestampFromMicros(BigInt(Math.trunc(this.#clock.nowMs() * 1000))),
        intervalSeconds: this.#intervalSeconds,
        cpuPercent: before === undefined ? undefined : cpuPercent(before, usage),
        ...usage,
      },
    });
  }

  /** The samples come at the start and at whole intervals after it, without drift, also after the clock was set or the
   *  host slept. Counted from the nearest of them: a timer may fire a little before its time. */
  #msUntilNext(): number {
    const intervalMs = this.#intervalSeconds * 1000;
    const passedMs = this.#clock.nowMs() - this.#startMs;
    const next = (Math.round(passedMs / intervalMs) + 1) * intervalMs;
    return Math.min(longestSleepMs, next - passedMs);
  }
}
