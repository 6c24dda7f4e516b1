import { RunState, type RunStatus } from "../model/status.js";
import { microsOf, utcText } from "../model/time.js";

/** Where a run stands, in words. */
export const stateNames: Readonly<Record<number, string>> = {
  [RunState.RUNNING]: "running",
  [RunState.COMPLETED]: "completed",
  [RunState.LOST]: "lost",
};

/** When something was last heard of, to the second. */
export function heardAt(at: RunStatus["lastReceivedAt"]): string {
  const micros = at === undefined ? undefined : microsOf(at);
  return micros === undefined ? "never" : `${utcText(micros).slice(0, 19)} UTC`;
}
