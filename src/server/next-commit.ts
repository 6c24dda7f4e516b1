import type { MessageLog } from "./message-log.js";

/** How long to wait for a commit before one looks all the same, in ms: another collector may write to the same store. */
const lookAgainMs = 1_000;

/** Resolves with the next commit, or when the signal aborts, and at times without either. Whoever asks before he looks
 *  misses none; `forget` is for whoever found something. */
export function nextCommit(
  log: MessageLog,
  signal: AbortSignal,
): { readonly promise: Promise<void>; readonly forget: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, lookAgainMs);
  const stopListening = log.whenCommitted(resolve);
  const wake = (): void => resolve();
  signal.addEventListener("abort", wake);
  if (signal.aborted) wake();
  const forget = (): void => {
    clearTimeout(timer);
    stopListening();
    signal.removeEventListener("abort", wake);
  };
  return { promise: promise.finally(forget), forget };
}
