import { countsOf, type Data, type IndexedRun, type WorkflowRow } from "./answers.js";
import type { AppSummary, BlockSummary, NodeSummary, Progress, RunDetail, RunSummary } from "./api.js";
import { wordKinds, type WordKind } from "./index-file.js";
import { isEnd, stateCode } from "./states.js";

/** The time that a rate is of, in ms. */
const rateMs = 60_000;

interface Tally {
  readonly app: number;
  readonly state: number;
  readonly tasks: number;
}

/** All runs of the file, the latest first. */
export function runSummaries(data: Data, now: number): RunSummary[] {
  return data
    .runs()
    .map((run) => summaryOf(data, run, data.workflow(run.run_id), talliesOf(data, run), now))
    .sort((a, b) => b.began - a.began);
}

/** Throws NotFound. */
export function runDetail(data: Data, runId: string, now: number): RunDetail {
  const run = data.run(runId);
  const workflow = data.workflow(runId);
  const tallies = talliesOf(data, run);
  const summary = summaryOf(data, run, workflow, tallies, now);
  return {
    ...summary,
    rundir: workflow?.rundir ?? "",
    apps: appsOf(data, run, tallies),
    executors: usedWords(data, run, "executor"),
    hosts: usedWords(data, run, "host"),
    blocks: blocksOf(data, runId),
    nodes: data.workersOf(runId).map((node): NodeSummary => ({
      ...{ host: node.host, block: node.block, cpus: node.cpus, memoryBytes: node.memory },
      ...{ workers: node.workers, firstSeen: node.first, lastHeartbeat: node.heartbeat },
      active: node.active !== 0,
    })),
    progress: progressOf(data, run, tallies, summary),
  };
}

/** Blocks with what the provider told of them, in the order of their first words. */
export function blocksOf(data: Data, runId: string): BlockSummary[] {
  if (!data.source.has("block")) return [];
  const blocks = new Map<string, BlockSummary & { states: { at: number; status: string }[] }>();
  for (const row of data.fileRows<{
    executor_label: string;
    block_id: string;
    job_id: string | null;
    timestamp: string;
    status: string;
  }>("SELECT * FROM block WHERE run_id = ? ORDER BY timestamp, rowid", runId)) {
    const at = data.ms(row.timestamp);
    if (at === null) continue;
    const key = JSON.stringify([row.executor_label, row.block_id]);
    const before = blocks.get(key);
    const { executor_label: executor, block_id: block } = row;
    const states = [...(before?.states ?? []), { at, status: row.status }];
    blocks.set(key, { executor, block, job: row.job_id ?? before?.job ?? null, states });
  }
  return [...blocks.values()];
}

function talliesOf(data: Data, run: IndexedRun): Tally[] {
  return data.rows("SELECT app, state, tasks FROM tally WHERE run = ? AND tasks > 0", run.id);
}

function summaryOf(
  data: Data,
  run: IndexedRun,
  workflow: WorkflowRow | undefined,
  tallies: readonly Tally[],
  now: number,
): RunSummary {
  const began = data.ms(workflow?.time_began) ?? run.first ?? 0;
  return {
    runId: run.run_id,
    workflow: workflow?.workflow_name ?? null,
    version: workflow?.workflow_version ?? null,
    host: workflow?.host ?? "",
    user: workflow?.user ?? "",
    began,
    completed: data.ms(workflow?.time_completed),
    lastHeard: run.last ?? began,
    tasks: tallies.reduce((sum, { tasks }) => sum + tasks, 0),
    states: countsOf(tallies),
    completeness: data.completeness(run.run_id, now),
  };
}

function appsOf(data: Data, run: IndexedRun, tallies: readonly Tally[]): AppSummary[] {
  const apps = Map.groupBy(tallies, ({ app }) => app);
  return [...apps]
    .map(([app, rows]) => ({
      app: data.word(app) ?? "",
      tasks: rows.reduce((sum, { tasks }) => sum + tasks, 0),
      states: countsOf(rows),
      medianSeconds: medianSeconds(data, run, app),
    }))
    .sort((a, b) => (a.app < b.app ? -1 : 1));
}

function medianSeconds(data: Data, run: IndexedRun, app: number): number | null {
  const ended = "FROM attempt WHERE run = ? AND app = ? AND seconds NOT NULL";
  const count = data.row<{ tries: number }>(`SELECT count(*) AS tries ${ended}`, run.id, app)?.tries ?? 0;
  const middle = data.rows<{ seconds: number }>(
    `SELECT seconds ${ended} ORDER BY seconds LIMIT ? OFFSET ?`,
    ...[run.id, app, count % 2 === 0 ? 2 : 1, Math.max(0, Math.ceil(count / 2) - 1)],
  );
  return count === 0 ? null : middle.reduce((sum, { seconds }) => sum + seconds, 0) / middle.length;
}

function usedWords(data: Data, run: IndexedRun, kind: WordKind): string[] {
  return data
    .rows<{ text: string }>(
      `SELECT text FROM used JOIN word ON word.id = used.word WHERE run = ? AND used.kind = ? AND text <> '' ORDER BY text`,
      run.id,
      wordKinds.indexOf(kind),
    )
    .map(({ text }) => text);
}

function progressOf(
  data: Data,
  run: IndexedRun,
  tallies: readonly Tally[],
  { began, completed, completeness }: RunSummary,
): Progress {
  const count = (is: (state: number) => boolean): number =>
    tallies.filter(({ state }) => is(state)).reduce((sum, { tasks }) => sum + tasks, 0);
  const done = count((state) => state === stateCode.exec_done || state === stateCode.memo_done);
  const failed = count((state) => state === stateCode.failed || state === stateCode.dep_fail);
  const open = count((state) => !isEnd(state));
  const isOver = completed !== null || completeness?.state === "lost";
  const perSecond = rateOf(data, run, began, isOver);
  const secondsLeft = isOver || perSecond === null || perSecond === 0 ? null : open / perSecond;
  return { done, failed, open, perSecond, secondsLeft };
}

/** Tasks that ended a second, over the last minute that had any; of a run that is over, over all of it. */
function rateOf(data: Data, run: IndexedRun, began: number, isOver: boolean): number | null {
  const last = data.row<{ bucket: number }>(
    "SELECT bucket FROM moment WHERE run = ? AND ended > 0 ORDER BY bucket DESC LIMIT 1",
    run.id,
  );
  if (last === undefined) return null;
  const to = Math.min((last.bucket + 1) * run.width, run.last ?? Infinity);
  const from = isOver ? began : Math.max(began, to - rateMs);
  const ended =
    data.row<{ ended: number }>(
      "SELECT sum(ended) AS ended FROM moment WHERE run = ? AND bucket >= ?",
      run.id,
      Math.floor(from / run.width),
    )?.ended ?? 0;
  return to > from ? ended / ((to - from) / 1000) : null;
}
