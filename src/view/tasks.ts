import { NotFound, type Data, type IndexedRun } from "./answers.js";
import type { Sample, TaskColumn, TaskDetail, TaskLink, TaskPage, TaskRow, TaskState, Try } from "./api.js";
import { taskKey, taskOfKey, wordKinds } from "./index-file.js";
import { codeOf, stateOf } from "./states.js";

/** Characters of a failure in a row of a table. */
const shownFailure = 200;

/** Tasks that depend on one, of which a page tells. */
const shownDependents = 200;

/** Matches from which on they are taken as they come in the order that is wanted, and not sorted. */
const manyMatches = 20_000;

export interface TaskQuery {
  readonly offset: number;
  readonly limit: number;
  readonly sort: TaskColumn;
  readonly order: "asc" | "desc";
  readonly search: string;
  readonly state: readonly string[];
  readonly app: readonly string[];
  readonly executor: readonly string[];
  readonly block: readonly string[];
  readonly host: readonly string[];
}

interface IndexedTask {
  readonly id: number;
  readonly app: number;
  readonly state: number;
  readonly executor: number;
  readonly block: number;
  readonly host: number;
  readonly submitted: number | null;
  readonly began: number | null;
  readonly ended: number | null;
  readonly seconds: number | null;
  readonly tries: number;
  readonly failure: number;
  readonly said: string;
}

/** Throws NotFound. */
export function taskPage(data: Data, runId: string, query: TaskQuery): TaskPage {
  const run = data.run(runId);
  const conditions = conditionsOf(data, run, query);
  const total = conditions.isAll ? tasksOf(data, run) : count(data, conditions.where);
  const { offset, limit } = query;
  const keys = total === 0 ? [] : keysOf(data, query, conditions, total);
  return { total, offset, rows: keys.slice(0, limit).flatMap((key) => rowOf(data, key)) };
}

/** The tasks of a page, in order. */
function keysOf(data: Data, query: TaskQuery, conditions: Conditions, total: number): number[] {
  // From whichever end is nearer.
  const isFromEnd = query.offset > total / 2;
  const offset = isFromEnd ? Math.max(0, total - query.offset - query.limit) : query.offset;
  const limit = isFromEnd ? Math.min(query.limit, total - query.offset) : query.limit;
  const order = (query.order === "asc") === isFromEnd ? "DESC" : "ASC";
  if (limit <= 0) return [];
  const from = sortedFrom(query.sort, order, conditions, total);
  const keys = data.rows<{ id: number }>(`${from} LIMIT ? OFFSET ?`, limit, offset).map(({ id }) => id);
  return isFromEnd ? keys.reverse() : keys;
}

function sortedFrom(sort: TaskColumn, order: string, { where, isAll }: Conditions, total: number): string {
  if (sort === "task") {
    // The numbers of a run's tasks alone are a tenth of the size of their rows.
    const numbers = isAll ? "INDEXED BY task_run" : "";
    return `SELECT id FROM task ${numbers} WHERE ${where} ORDER BY id ${order}`;
  }
  const kind = wordKinds.findIndex((one) => one === sort);
  // Few are read where they are and sorted (a "+" keeps the planner from the index); many are taken in the index's order.
  const plus = total < manyMatches ? "+" : "";
  if (kind === -1) return `SELECT id FROM task WHERE ${where} ORDER BY ${plus}${sort} ${order}, id ${order}`;
  return `SELECT task.id FROM word CROSS JOIN task ON task.${sort} = word.id
    WHERE word.kind = ${String(kind)} AND ${where} ORDER BY ${plus}word.text ${order}, task.id ${order}`;
}

interface Conditions {
  readonly where: string;
  /** Whether all tasks of the run fulfil them. */
  readonly isAll: boolean;
}

/** What a page's tasks fulfil, as SQL without values of the asker's: words are numbers in it, and what no word is like
 *  matches nothing. */
function conditionsOf(data: Data, run: IndexedRun, query: TaskQuery): Conditions {
  const conditions = [`task.run = ${String(run.id)}`];
  const among = (column: string, ids: readonly (number | undefined)[]): string =>
    `task.${column} IN (${ids.filter((id) => id !== undefined).join(", ")})`;
  if (query.state.length > 0) conditions.push(among("state", query.state.map(codeOf)));
  for (const kind of ["app", "executor", "block", "host"] as const) {
    const texts = query[kind];
    if (texts.length > 0)
      conditions.push(
        among(
          kind,
          texts.map((text) => data.wordId(kind, text)),
        ),
      );
  }
  if (query.search !== "") conditions.push(`(${searched(data, run, query.search)})`);
  return { where: conditions.join(" AND "), isAll: conditions.length === 1 };
}

function searched(data: Data, run: IndexedRun, search: string): string {
  const like = `%${search.replace(/[\\%_]/g, (character) => `\\${character}`)}%`;
  const any = ["app", "host", "block", "failure"].flatMap((column) => {
    const kind = wordKinds.findIndex((one) => one === column);
    const words = data.rows<{ id: number }>(
      "SELECT id FROM word WHERE kind = ? AND text LIKE ? ESCAPE '\\' AND text <> ''",
      ...[kind, like],
    );
    return words.length === 0 ? [] : [`task.${column} IN (${words.map(({ id }) => String(id)).join(", ")})`];
  });
  if (/^\d{1,9}$/.test(search)) any.push(`task.id = ${String(taskKey(run.id, Number(search)))}`);
  return any.length === 0 ? "0" : any.join(" OR ");
}

function count(data: Data, where: string): number {
  return data.row<{ tasks: number }>(`SELECT count(*) AS tasks FROM task WHERE ${where}`)?.tasks ?? 0;
}

function tasksOf(data: Data, run: IndexedRun): number {
  const all = data.row<{ tasks: number | null }>(
    "SELECT sum(tasks) AS tasks FROM tally WHERE run = ?",
    run.id,
  );
  return all?.tasks ?? 0;
}

function rowOf(data: Data, key: number): TaskRow[] {
  const task = data.row<IndexedTask>("SELECT * FROM task WHERE id = ?", key);
  return task === undefined ? [] : [shown(data, task)];
}

function shown(data: Data, task: IndexedTask): TaskRow {
  return {
    task: taskOfKey(task.id),
    app: data.word(task.app) ?? "",
    state: stateOf(task.state),
    executor: data.word(task.executor),
    block: data.word(task.block),
    host: data.word(task.host),
    submitted: task.submitted,
    began: task.began,
    ended: task.ended,
    seconds: task.seconds,
    tries: task.tries,
    failure: data.word(task.failure)?.slice(0, shownFailure) ?? null,
  };
}

/** Throws NotFound. */
export function taskDetail(data: Data, runId: string, task: number): TaskDetail {
  const run = data.run(runId);
  const indexed = data.row<IndexedTask>("SELECT * FROM task WHERE id = ?", taskKey(run.id, task));
  if (indexed === undefined) {
    throw new NotFound(`show task ${String(task)}: run ${runId} has no such task; see the list of its tasks`);
  }
  const row =
    data.fileRow<Record<string, unknown>>(
      "SELECT * FROM task WHERE task_id = ? AND run_id = ?",
      task,
      runId,
    ) ?? {};
  const count = (name: string): number => (typeof row[name] === "number" ? row[name] : 0);
  return {
    ...shown(data, indexed),
    failure: data.word(indexed.failure),
    ...{ inputs: given(row["task_inputs"]), outputs: given(row["task_outputs"]) },
    ...{
      stdin: given(row["task_stdin"]),
      stdout: given(row["task_stdout"]),
      stderr: given(row["task_stderr"]),
    },
    memoized: indexed.state === codeOf("memo_done"),
    hashsum: given(row["task_hashsum"]),
    returned: data.ms(row["task_time_returned"]),
    failCount: count("task_fail_count"),
    failCost: count("task_fail_cost"),
    attempts: triesOf(data, runId, task, indexed.said),
    ...linksOf(data, run, row["task_depends"], indexed.id),
  };
}

/** Parsl has "" or "None" where there is nothing. */
function given(value: unknown): string | null {
  return typeof value !== "string" || value === "" || value === "None" ? null : value;
}

function triesOf(data: Data, runId: string, task: number, said: string): Try[] {
  const statuses = (JSON.parse(said) as [number, number, number][]).sort(([a], [b]) => a - b);
  const numbers = [...new Set(statuses.map(([, , number]) => number))].sort((a, b) => a - b);
  return numbers.map((number): Try => {
    const row = data.fileRow<Record<string, string | null>>(
      "SELECT * FROM try WHERE try_id = ? AND task_id = ? AND run_id = ?",
      ...[number, task, runId],
    );
    const own = statuses.filter(([, , one]) => one === number);
    return {
      try: number,
      executor: row?.["task_executor"] ?? "",
      block: row?.["block_id"] ?? null,
      host: row?.["hostname"] ?? null,
      launched: data.ms(row?.["task_try_time_launched"]),
      began: data.ms(row?.["task_try_time_running"]),
      returned: data.ms(row?.["task_try_time_returned"]),
      failure: given(row?.["task_fail_history"]),
      joins: given(row?.["task_joins"]),
      states: own.map(([at, code]): { at: number; state: TaskState } => ({ at, state: stateOf(code) })),
      samples: samplesOf(data, runId, task, number),
    };
  });
}

/** Every sample of a try: of one in a second for a day there are 86,400, which are 8 MB. */
export function samplesOf(data: Data, runId: string, task: number, number: number): Sample[] {
  if (!data.source.has("resource")) return [];
  const columns = [
    ...[
      "timestamp",
      "psutil_process_time_user",
      "psutil_process_time_system",
      "psutil_process_memory_resident",
    ],
    ...["psutil_process_disk_read", "psutil_process_disk_write"],
  ];
  const rows = data.fileRows<Record<string, string | number | null>>(
    `SELECT ${data.source.columns("resource", columns)} FROM resource
    WHERE try_id = ? AND task_id = ? AND run_id = ? ORDER BY timestamp`,
    ...[number, task, runId],
  );
  const numberOr = (value: unknown): number | null => (typeof value === "number" ? value : null);
  return rows.flatMap((row): Sample[] => {
    const at = data.ms(row["timestamp"]);
    if (at === null) return [];
    const [user, system] = [
      numberOr(row["psutil_process_time_user"]),
      numberOr(row["psutil_process_time_system"]),
    ];
    return [
      {
        at,
        cpuSeconds: user === null && system === null ? null : (user ?? 0) + (system ?? 0),
        residentBytes: numberOr(row["psutil_process_memory_resident"]),
        readBytes: numberOr(row["psutil_process_disk_read"]),
        writtenBytes: numberOr(row["psutil_process_disk_write"]),
      },
    ];
  });
}

function linksOf(
  data: Data,
  run: IndexedRun,
  depends: unknown,
  key: number,
): Pick<TaskDetail, "dependsOn" | "dependents" | "dependentCount"> {
  const parents = typeof depends === "string" ? (depends.match(/\d+/g) ?? []).map(Number) : [];
  const children = data.rows<{ child: number }>(
    "SELECT child FROM edge WHERE parent = ? ORDER BY child LIMIT ?",
    ...[key, shownDependents],
  );
  const number =
    data.row<{ children: number }>("SELECT count(*) AS children FROM edge WHERE parent = ?", key)?.children ??
    0;
  return {
    dependsOn: parents.flatMap((task) => linkOf(data, taskKey(run.id, task))),
    dependents: children.flatMap(({ child }) => linkOf(data, child)),
    dependentCount: number,
  };
}

function linkOf(data: Data, key: number): TaskLink[] {
  const task = data.row<IndexedTask>("SELECT * FROM task WHERE id = ?", key);
  if (task === undefined) return [];
  return [{ task: taskOfKey(key), app: data.word(task.app) ?? "", state: stateOf(task.state) }];
}
