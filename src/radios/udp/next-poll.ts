import { setImmediate as nextTurn } from "node:timers/promises";

/** Resolves when the event loop has looked for input once more. The first turn may be the rest of one that has
 *  looked already. */
export async function nextPoll(): Promise<void> {
  await nextTurn();
  await nextTurn();
}
