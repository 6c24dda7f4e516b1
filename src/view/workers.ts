import type { Data } from "./answers.js";
import type { Workers } from "./api.js";
import { taskOfKey } from "./index-file.js";

interface WorkersOptions {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Bars at most. */
  readonly most: number;
}

interface Attempt {
  readonly task: number;
  readonly try: number;
  readonly app: number;
  readonly block: number;
  readonly host: number;
  readonly began: number;
  readonly ended: number | null;
  readonly failed: 0 | 1;
}

/** When which worker ran what. Throws NotFound. */
export function workersOf(data: Data, runId: string, options: WorkersOptions): Workers {
  const run = data.run(runId);
  const from = options.from ?? data.ms(data.workflow(runId)?.time_began) ?? run.first ?? 0;
  const to = Math.max(from, options.to ?? run.last ?? from);
  // No try that began earlier reaches into this time: so only a part of those that began before its end is looked at.
  const longest = data.row<{ seconds: number | null }>(
    "SELECT max(seconds) AS seconds FROM attempt WHERE run = ?",
    run.id,
  );
  const open = "FROM attempt INDEXED BY attempt_open WHERE run = ? AND began <= ? AND ended IS NULL";
  const ended = (index: string): string =>
    `FROM attempt INDEXED BY ${index} WHERE run = ? AND began <= ? AND began >= ? AND ended >= ?`;
  const values = [run.id, to, from - (longest?.seconds ?? 0) * 1000, from];
  const count = (sql: string, ...of: readonly number[]): number =>
    data.row<{ tries: number }>(`SELECT count(*) AS tries ${sql}`, ...of)?.tries ?? 0;
  const openTries = count(open, run.id, to);
  const endedTries = count(ended("attempt_began"), ...values);
  const tries = openTries + endedTries;
  const columns = "task, try, app, block, host, began, ended, failed";
  // Where many of the run's tries match, the longest of all are looked through until there are enough.
  const isMost = endedTries > count("FROM attempt WHERE run = ?", run.id) / 4;
  const chosen = `${ended(isMost ? "attempt_longest" : "attempt_began")} ${tries > options.most ? "ORDER BY seconds DESC" : ""}`;
  const attempts = [
    ...data.rows<Attempt>(`SELECT ${columns} ${open} LIMIT ?`, run.id, to, options.most),
    ...data.rows<Attempt>(
      `SELECT ${columns} ${chosen} LIMIT ?`,
      ...[...values, Math.max(0, options.most - openTries)],
    ),
  ];
  return { from, to, tries, ...onLanes(data, attempts) };
}

/** Puts tries of the same place that overlap on lanes of their own, as few as it takes. */
function onLanes(data: Data, attempts: readonly Attempt[]): Pick<Workers, "lanes" | "bars"> {
  const places = new Map<string, { block: string | null; host: string; attempts: Attempt[] }>();
  for (const attempt of attempts) {
    const key = `${String(attempt.block)} ${String(attempt.host)}`;
    let place = places.get(key);
    if (place === undefined) {
      place = { block: data.word(attempt.block), host: data.word(attempt.host) ?? "", attempts: [] };
      places.set(key, place);
    }
    place.attempts.push(attempt);
  }
  const lanes: Workers["lanes"][number][] = [];
  const bars: Workers["bars"][number][] = [];
  const inOrder = new Intl.Collator("en", { numeric: true }).compare;
  const sorted = [...places.values()].sort(
    (a, b) => inOrder(a.block ?? "", b.block ?? "") || inOrder(a.host, b.host),
  );
  for (const { block, host, attempts: own } of sorted) {
    const first = lanes.length;
    /** When each lane is free again. */
    const free: number[] = [];
    for (const attempt of own.sort((a, b) => a.began - b.began || a.task - b.task)) {
      const found = free.findIndex((at) => at <= attempt.began);
      const lane = found === -1 ? free.length : found;
      free[lane] = attempt.ended ?? Infinity;
      bars.push({
        ...{ lane: first + lane, from: attempt.began, to: attempt.ended },
        ...{ task: taskOfKey(attempt.task), try: attempt.try },
        ...{ app: data.word(attempt.app) ?? "", failed: attempt.failed !== 0 },
      });
    }
    lanes.push(...free.map((_, lane) => ({ block, host, lane })));
  }
  return { lanes, bars };
}
