import { setTimeout as delay } from "node:timers/promises";

/** How long a wait may take before it has failed, in ms: the start of one program takes 20 s on one core that is busy
 *  with those of other tests. */
const failureMs = 60_000;

/** Asks until the answer is neither undefined nor false, and returns it. The deadline is for failures only:
 *  it rejects with what was waited for. */
export async function waitUntil<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = failureMs,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await condition();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`waited ${String(deadlineMs)} ms until ${what}`);
    await delay(10);
  }
}

/** The promise's own end, or a rejection after `deadlineMs`: for a wait that only a failure makes long. */
export async function within<T>(what: string, promise: Promise<T>, deadlineMs = failureMs): Promise<T> {
  const over = new AbortController();
  const late = delay(deadlineMs, undefined, { signal: over.signal, ref: true }).then(() => {
    throw new Error(`waited ${String(deadlineMs)} ms for ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    over.abort();
    await late.catch(() => undefined); // its AbortError, or the error that the race has thrown already
  }
}
