import { counted } from "../../../base/counted.js";
import { RunState } from "../../../model/status.js";
import type { SinkStatus } from "../sink.js";

/** Why the messages of these runs are not all known to be stored; nothing when they are. `isPruned`: of a run without
 *  messages, whether it had some. */
export function whatLacks({ runs, senders, total }: SinkStatus, isPruned: boolean): string[] {
  const lacks: string[] = [];
  if (senders.length === 0 && !isPruned) lacks.push("no message has come");
  const running = runs.filter(({ state }) => state === RunState.RUNNING).length;
  const lost = runs.filter(({ state }) => state === RunState.LOST).length;
  const open = senders.filter(({ closed }) => !closed).length;
  if (running > 0) lacks.push(`${counted(running, "run")} still running`);
  if (lost > 0) lacks.push(`${counted(lost, "run")} lost before the end`);
  if (total !== undefined && total.missing > 0n) lacks.push(`${counted(total.missing, "message")} missing`);
  if (total !== undefined && total.lost > 0n) lacks.push(`${counted(total.lost, "message")} lost`);
  if (open > 0) lacks.push(`${counted(open, "sender")} without a last word`);
  return lacks;
}
