import { setTimeout as delay } from "node:timers/promises";

/** Time, as far as waiting goes. Handed in, so that tests need not wait. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. With `ref` false it does not keep the
   *  process alive; default: it does. */
  sleep(ms: number, signal: AbortSignal, ref?: boolean): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  sleep: async (ms, signal, ref = true) => {
    await delay(ms, undefined, { signal, ref });
  },
};
