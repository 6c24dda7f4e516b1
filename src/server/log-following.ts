import type { LogEntry, LogSpan, MessageLog } from "./message-log.js";

/** How long to wait for a commit before one looks all the same, in ms: another collector may write to the same store. */
const lookAgainMs = 1_000;

/** What is behind a position of a log. */
export interface Following {
  readonly entries: readonly LogEntry[];
  readonly span: LogSpan;
  /** Entries before these may have been dropped unread. */
  readonly missed: boolean;
}

/** Reads behind a position, so many bytes at once; waits for the next commit while there is nothing. Nothing is read when
 *  the signal aborts, or when all of it is gone (`missed`). */
export async function readBehind(
  log: MessageLog,
  after: number,
  mostBytes: number,
  signal: AbortSignal,
): Promise<Following> {
  for (;;) {
    // Before the look: what is committed during it wakes us too.
    const committed = nextCommit(log, signal);
    try {
      const entries = await log.read(after, mostBytes);
      // After the look: the log may drop entries between the two, and would tell here what it dropped before.
      const span = await log.span();
      const missed = after < span.from && entries[0]?.position !== after + 1;
      if (entries.length > 0 || missed || signal.aborted) return { entries, span, missed };
      await committed.promise;
    } finally {
      committed.forget();
    }
  }
}

/** Resolves with the next commit, or when the signal aborts, and at times without either; `forget` ends the wait. */
function nextCommit(
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
  return { promise, forget };
}
