import type { Clock } from "../base/clock.js";
import { CollectorError } from "../base/errors.js";
import type { Message } from "../client/message.js";
import { timestampFromMicros } from "../client/timestamps.js";
import { MomentaryProc } from "./momentary-proc.js";
import { SystemProc, type Proc } from "./proc.js";
import { descent, scan, type ProcessTree } from "./process-tree.js";
import { Usage } from "./usage.js";

/** Longest time between two looks at a try's children, in seconds: what a child used since the last one before its
 *  end is not seen. Parsl's monitor has the same. */
const mostSecondsBetweenLooks = 5;

/** A look may be late by this part of the time between two, so that one pass serves many tries. Never more than
 *  this, and without drift: the next is due at its own time. */
const mostLateness = 0.1;

/** About how many stat files can be read in the time that it takes to ask for one worker's children (bench/sampler.ts). */
const readsOfDescent = 6;

/** A try of a task, in a process of this host. */
export interface WatchedTry {
  readonly runId: string;
  readonly taskId: number;
  readonly tryId: number;
  /** As the worker calls its host. */
  readonly hostname: string;
  readonly pid: number;
  /** Seconds between samples; 0: only the final one, which then knows no children that ended before. */
  readonly intervalSeconds: number;
}

export interface SamplerOptions {
  readonly clock: Clock;
  /** Called with a `resourceInfo` for each sample, in the order of their times. */
  readonly onSample: (message: Message) => void;
  /** Called once with why samples are left out, and once when there is nothing to sample on this system. */
  readonly onWarning?: (warning: CollectorError) => void;
  /** Default: of this host. */
  readonly proc?: Proc;
}

interface Watch {
  readonly one: WatchedTry;
  readonly rootStarted: number;
  readonly usage: Usage;
  readonly schedule: Schedule | undefined;
}

/** Times in ms of the clock. */
interface Schedule {
  /** The looks come at `startMs` and every `stepMs` from then on. */
  startMs: number;
  readonly stepMs: number;
  /** Every so many looks one is a sample. */
  readonly looksASample: number;
  /** How many looks have been due by now. */
  looks: number;
}

/** Takes the samples that Parsl's monitor processes would take, for all tries of a node in one process: one when a
 *  try begins, one each interval, and one at its end. A try whose process is gone, or whose pid has become
 *  another's, has no more samples and is forgotten. */
export class Sampler implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #onSample: (message: Message) => void;
  readonly #onWarning: (warning: CollectorError) => void;
  /** Codes of what it has been called with. */
  readonly #warned = new Set<string>();
  readonly #proc: MomentaryProc;
  /** Whether a moment lasts over several calls. */
  #isTogether = false;
  readonly #watches = new Map<string, Watch>();
  #timer: { readonly atMs: number; readonly cancel: AbortController } | undefined;
  #lastMicros = 0n;

  constructor({ clock, onSample, onWarning = () => {}, proc = new SystemProc() }: SamplerOptions) {
    this.#clock = clock;
    this.#onSample = onSample;
    this.#onWarning = onWarning;
    this.#proc = new MomentaryProc(proc);
  }

  /** Tries that are watched now. */
  get watched(): number {
    return this.#watches.size;
  }

  /** What is told of tries meanwhile is of one moment: a process that several of them have is read once. */
  together(tell: () => void): void {
    this.#begin();
    this.#isTogether = true;
    try {
      tell();
    } finally {
      this.#isTogether = false;
    }
  }

  /** Samples the try from now on. Told again of the same process, it goes on as before; of another, with that. */
  watch(one: WatchedTry): void {
    this.#begin();
    this.#ifReadable(() => this.#watch(one));
  }

  #watch(one: WatchedTry): void {
    const key = keyOf(one);
    const root = this.#proc.stat(one.pid);
    if (root === undefined) {
      this.#watches.delete(key);
      this.#warnIfBlind();
      return;
    }
    const before = this.#watches.get(key);
    if (before?.one.pid === one.pid && before.rootStarted === root.started) return;
    const schedule = scheduleOf(one.intervalSeconds, this.#clock.nowMs());
    const usage = new Usage(this.#proc, root);
    this.#watches.set(key, { one, rootStarted: root.started, usage, schedule });
    if (schedule !== undefined) this.#wakeBy(latest(schedule));
  }

  /** Takes the final sample of a try at once and forgets the try. */
  end(one: Pick<WatchedTry, "runId" | "taskId" | "tryId">): void {
    const key = keyOf(one);
    const watch = this.#watches.get(key);
    if (watch === undefined) return;
    this.#begin();
    this.#watches.delete(key);
    this.#ifReadable(() => this.#sample(watch, this.#treeFor(1)));
  }

  /** Forgets tries whose process has ended, without waiting for the next look at them. */
  prune(): void {
    this.#begin();
    this.#ifReadable(() => {
      for (const [key, { one, rootStarted }] of this.#watches) {
        const stat = this.#proc.stat(one.pid);
        if (stat?.started !== rootStarted || stat.status === "zombie") this.#watches.delete(key);
      }
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#watches.clear();
    this.#timer?.cancel.abort();
    this.#timer = undefined;
    return Promise.resolve();
  }

  #begin(): void {
    if (!this.#isTogether) this.#proc.renew();
  }

  /** When nothing can be read, nothing has ended: the rest of this act is left out, and the tries stay. */
  #ifReadable(act: () => void): void {
    try {
      act();
    } catch (cause) {
      if (!(cause instanceof CollectorError)) throw cause;
      this.#warn(cause);
    }
  }

  #warnIfBlind(): void {
    if (this.#proc.stat(process.pid) !== undefined) return;
    const text = "sample the processes of tasks: /proc does not show even this one; no task is sampled here";
    this.#warn(new CollectorError("unavailable", text));
  }

  #warn(warning: CollectorError): void {
    if (this.#warned.has(warning.code)) return;
    this.#warned.add(warning.code);
    this.#onWarning(warning);
  }

  /** One timer for all. An end leaves it as it is: with short tasks, to wake once in vain is cheaper. */
  #wakeBy(atMs: number): void {
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.cancel.abort();
    const timer = { atMs, cancel: new AbortController() };
    this.#timer = timer;
    void this.#clock.sleep(Math.max(0, atMs - this.#clock.nowMs()), timer.cancel.signal).then(
      () => {
        if (this.#timer !== timer) return;
        this.#timer = undefined;
        this.#pass();
      },
      () => undefined, // cancelled
    );
  }

  /** Serves every try that is due, with one reading of the processes. */
  #pass(): void {
    this.#begin();
    const nowMs = this.#clock.nowMs();
    const due: { readonly watch: Watch; readonly isSample: boolean }[] = [];
    let next = Infinity;
    for (const watch of this.#watches.values()) {
      const { schedule } = watch;
      if (schedule === undefined) continue;
      const look = takeDue(schedule, nowMs);
      if (look !== undefined) due.push({ watch, isSample: look === "sample" });
      next = Math.min(next, latest(schedule));
    }
    if (due.length > 0) {
      this.#ifReadable(() => {
        const tree = this.#treeFor(due.length);
        for (const { watch, isSample } of due) {
          const isThere = isSample ? this.#sample(watch, tree) : watch.usage.look(tree);
          if (!isThere) this.#watches.delete(keyOf(watch.one));
        }
      });
    }
    if (next < Infinity) this.#wakeBy(next);
  }

  /** For a few tries of a host of many processes it is cheaper to ask for their children alone. */
  #treeFor(tries: number): ProcessTree {
    if (!this.#proc.tellsChildren) return scan(this.#proc, this.#proc.pids());
    if (tries === 1) return descent(this.#proc);
    const pids = this.#proc.pids();
    return tries * readsOfDescent < pids.length ? descent(this.#proc) : scan(this.#proc, pids);
  }

  /** False when the process is gone. */
  #sample({ one, usage }: Watch, tree: ProcessTree): boolean {
    const used = usage.sample(tree);
    if (used === undefined) return false;
    this.#onSample({
      resourceInfo: {
        runId: one.runId,
        taskId: one.taskId,
        tryId: one.tryId,
        hostname: one.hostname,
        timestamp: timestampFromMicros(this.#nextMicros()),
        resourceMonitoringInterval: one.intervalSeconds,
        ...used,
      },
    });
    return true;
  }

  /** The time is part of a row's key: no two samples have the same, also within one ms and when the clock is set
   *  back. */
  #nextMicros(): bigint {
    const now = BigInt(Math.trunc(this.#clock.nowMs() * 1000));
    this.#lastMicros = now > this.#lastMicros ? now : this.#lastMicros + 1n;
    return this.#lastMicros;
  }
}

function keyOf({ runId, taskId, tryId }: Pick<WatchedTry, "runId" | "taskId" | "tryId">): string {
  return `${runId} ${String(taskId)} ${String(tryId)}`;
}

function scheduleOf(intervalSeconds: number, startMs: number): Schedule | undefined {
  if (!(intervalSeconds > 0)) return undefined;
  const looksASample = Math.ceil(intervalSeconds / mostSecondsBetweenLooks);
  return { startMs, stepMs: (intervalSeconds * 1000) / looksASample, looksASample, looks: 0 };
}

/** When the next look must be at the latest. */
function latest({ startMs, stepMs, looks }: Schedule): number {
  return startMs + (looks + mostLateness) * stepMs;
}

/** What is due by now, if anything. Times that went by while the host slept are left out. */
function takeDue(schedule: Schedule, nowMs: number): "look" | "sample" | undefined {
  const { startMs, stepMs, looksASample, looks } = schedule;
  const passed = Math.floor((nowMs - startMs) / stepMs) + 1;
  if (passed < looks) {
    // The clock was set back: it goes on from here instead of waiting for the old time to come again.
    schedule.startMs = nowMs - looks * stepMs;
  } else if (passed === looks) {
    return undefined;
  }
  schedule.looks = Math.max(passed, looks + 1);
  const isSample = Math.ceil(schedule.looks / looksASample) > Math.ceil(looks / looksASample);
  return isSample ? "sample" : "look";
}
