import type { TaskState } from "./api.js";

/** Parsl's states in the order of a task's life; the index has their places here. */
export const taskStates = [
  "unsched",
  "pending",
  "launched",
  "joining",
  "running",
  "running_ended",
  "fail_retryable",
  "exec_done",
  "memo_done",
  "failed",
  "dep_fail",
] as const satisfies readonly TaskState[];

const codes = new Map<string, number>(taskStates.map((state, code) => [state, code]));

/** Undefined for a state of another version of Parsl. */
export function codeOf(state: string): number | undefined {
  return codes.get(state);
}

export const stateCode = Object.fromEntries(taskStates.map((state, code) => [state, code])) as Readonly<
  Record<TaskState, number>
>;

export function stateOf(code: number): TaskState {
  return taskStates[code] ?? "unsched";
}

const ends = new Set([stateCode.exec_done, stateCode.memo_done, stateCode.failed, stateCode.dep_fail]);

/** Whether nothing comes after this state. */
export function isEnd(code: number): boolean {
  return ends.has(code);
}

/** A status as somebody said it. */
export interface Said {
  readonly at: number;
  readonly code: number;
  readonly try: number;
}

/** When a task went into which state, earliest first, from all that was said of it, in the order of its arrival. What the
 *  submitting process says decides, all by one clock; a worker's word counts only while the try is launched: its clock may
 *  be ahead, and would hide the end of its task. This is the rule of the view collector_task_state. */
export function historyOf(said: readonly Said[]): { readonly at: number; readonly code: number }[] {
  const history: { at: number; code: number }[] = [];
  const enter = (at: number, code: number): void => {
    if (history.at(-1)?.code !== code) history.push({ at, code });
  };
  /** The latest word of each try's worker. */
  const workers = new Map<number, number>();
  let submitter: Said | undefined;
  for (const status of [...said].sort((a, b) => a.at - b.at)) {
    const isWorkers = status.code === stateCode.running || status.code === stateCode.running_ended;
    if (isWorkers) workers.set(status.try, Math.max(workers.get(status.try) ?? 0, status.code));
    else submitter = status;
    const isOpen = submitter === undefined || submitter.code === stateCode.launched;
    const word = isOpen ? workers.get((submitter ?? status).try) : undefined;
    const code = word ?? submitter?.code;
    if (code !== undefined) enter(status.at, code);
  }
  return history;
}
