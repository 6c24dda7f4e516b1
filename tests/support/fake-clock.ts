import type { Clock } from "../../src/base/clock.js";

interface Sleeper {
  untilMs: number;
  readonly wake: () => void;
}

/** A clock that moves only when told. */
export class FakeClock implements Clock {
  #nowMs = 0;
  readonly #sleepers = new Set<Sleeper>();
  /** How long each sleep was to take, in the order of the calls. */
  readonly sleeps: number[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason as Error);
      });
    });
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** As an administrator or a time server does: sleeps go on as long as they were to. */
  set(nowMs: number): void {
    const movedMs = nowMs - this.#nowMs;
    this.#nowMs = nowMs;
    for (const sleeper of this.#sleepers) sleeper.untilMs += movedMs;
  }

  /** Wakes those whose time has come. */
  advance(ms: number): void {
    this.#nowMs += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.untilMs > this.#nowMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}
