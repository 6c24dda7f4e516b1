import type { Data } from "./answers.js";
import type { TaskState, Timeline } from "./api.js";
import { momentColumns } from "./index-file.js";
import { blocksOf } from "./runs.js";
import { taskStates } from "./states.js";

export interface TimelineOptions {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly points: number;
}

/** Statuses of a block that has nodes. */
const isThere = new Set(["RUNNING"]);

/** What was in a run at evenly spaced times. Throws NotFound. */
export function timelineOf(data: Data, runId: string, options: TimelineOptions): Timeline {
  const run = data.run(runId);
  const workflow = data.workflow(runId);
  const began = data.ms(workflow?.time_began) ?? run.first ?? 0;
  const from = options.from ?? Math.min(began, run.first ?? began);
  const to = Math.max(from, options.to ?? run.last ?? from);
  const { points } = options;
  const stepMs = points > 1 ? (to - from) / (points - 1) : 0;
  const times = Array.from({ length: points }, (_, i) => from + i * stepMs);
  /** The first of the times that is not before this one; `points` where all are. */
  const slotOf = (at: number): number =>
    at <= from ? 0 : stepMs === 0 ? points : Math.min(points, Math.ceil((at - from) / stepMs));

  const columns = momentColumns.map(() => new Float64Array(points + 1));
  const sums = momentColumns.map((column) => `sum(${column})`).join(", ");
  // What came before the first time counts as of it. A stretch counts from its begin on.
  const slot =
    "CASE WHEN bucket * @width <= @from OR @step = 0 THEN 0 ELSE (bucket * @width - @from) / @step END";
  const rows = data.rows<Record<string, number>>(
    `SELECT min(@points, CAST(ceil(${slot}) AS INTEGER)) AS slot, ${sums} FROM moment
    WHERE run = @run AND bucket <= @last GROUP BY 1`,
    { run: run.id, width: run.width, from, step: stepMs, points, last: Math.floor(to / run.width) },
  );
  for (const row of rows) {
    const values = Object.values(row);
    for (const [i, column] of columns.entries()) column[values[0] ?? 0] = values[i + 1] ?? 0;
  }
  return {
    ...{ from, to, times },
    ...seriesOf(columns, points, stepMs),
    ...presenceOf(data, runId, points, slotOf, data.ms(workflow?.time_completed)),
  };
}

function seriesOf(
  columns: readonly Float64Array[],
  points: number,
  stepMs: number,
): Pick<Timeline, "states" | "endedPerSecond" | "busy"> {
  const states: Partial<Record<TaskState, number[]>> = {};
  for (const [code, state] of taskStates.entries()) {
    const counts = runningSum(columns[code], points);
    if (counts.some((count) => count > 0)) states[state] = counts;
  }
  const ended = columns[taskStates.length];
  return {
    states,
    endedPerSecond: Array.from({ length: points }, (_, i) =>
      i === 0 || stepMs === 0 ? 0 : (ended?.[i] ?? 0) / (stepMs / 1000),
    ),
    busy: runningSum(columns[taskStates.length + 1], points),
  };
}

/** Nodes, their workers, and blocks, at each time. */
function presenceOf(
  data: Data,
  runId: string,
  points: number,
  slotOf: (at: number) => number,
  completed: number | null,
): Pick<Timeline, "workers" | "nodes" | "blocks"> {
  const [nodes, workers, blocks] = [1, 2, 3].map(() => new Float64Array(points + 1));
  const add = (counts: Float64Array | undefined, from: number, to: number | null, by: number): void => {
    if (counts === undefined) return;
    const [first, last] = [slotOf(from), to === null ? points : slotOf(to)];
    counts[first] = (counts[first] ?? 0) + by;
    counts[last] = (counts[last] ?? 0) - by;
  };
  const there = data.workersOf(runId);
  for (const node of there) {
    const end = node.active === 0 ? node.last : completed;
    add(nodes, node.first, end, 1);
    add(workers, node.first, end, node.workers);
  }
  for (const { states } of blocksOf(data, runId)) {
    for (const [i, { at, status }] of states.entries()) {
      if (isThere.has(status)) add(blocks, at, states[i + 1]?.at ?? completed, 1);
    }
  }
  return {
    nodes: runningSum(nodes, points),
    blocks: runningSum(blocks, points),
    workers: there.length === 0 ? Array.from({ length: points }, () => null) : runningSum(workers, points),
  };
}

function runningSum(changes: Float64Array | undefined, points: number): number[] {
  let sum = 0;
  return Array.from({ length: points }, (_, i) => (sum += changes?.[i] ?? 0));
}
