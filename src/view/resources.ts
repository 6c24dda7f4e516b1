import type { Data, IndexedRun } from "./answers.js";
import type { Distribution, Resources } from "./api.js";
import { taskOfKey } from "./index-file.js";

/** Tasks of an app whose samples are read at most, and of all apps together: it takes 0.2 s for as many. */
const mostOfApp = 2_000;
const mostOfAll = 4_000;

/** Tasks that stand side by side in a choice: their samples are near each other in the file too. */
const sideBySide = 20;

type AppResources = Resources["apps"][number];

interface Used {
  readonly cpu: number | null;
  readonly resident: number | null;
  readonly read: number | null;
  readonly written: number | null;
}

/** What the tasks of each app took. Throws NotFound. */
export function resourcesOf(data: Data, runId: string): Resources {
  const run = data.run(runId);
  const apps = data.rows<{ app: number; tasks: number }>(
    "SELECT app, sum(tasks) AS tasks FROM tally WHERE run = ? GROUP BY app HAVING sum(tasks) > 0",
    run.id,
  );
  const most = Math.min(mostOfApp, Math.ceil(mostOfAll / Math.max(1, apps.length)));
  return {
    apps: apps
      .map(({ app, tasks }) => ofApp(data, run, app, tasks, most))
      .sort((a, b) => (a.app < b.app ? -1 : 1)),
  };
}

interface Chosen {
  readonly id: number;
  readonly tries: number;
  readonly seconds: number | null;
}

/** All tasks of an app, or some from all over the run, the same each time. */
function chosenOf(data: Data, run: IndexedRun, app: number, tasks: number, most: number): Chosen[] {
  const from = "FROM task WHERE run = ? AND app = ?";
  if (tasks <= most) return data.rows(`SELECT id, tries, seconds ${from}`, run.id, app);
  const span = data.row<{ first: number; last: number }>(
    `SELECT min(id) AS first, max(id) AS last ${from}`,
    ...[run.id, app],
  ) ?? { first: 0, last: 0 };
  const groups = Math.floor(most / sideBySide);
  const chosen = new Map<number, Chosen>();
  for (let group = 0; group < groups; group += 1) {
    const start = span.first + Math.floor(((span.last - span.first) * group) / groups);
    const sql = `SELECT id, tries, seconds ${from} AND id >= ? ORDER BY id LIMIT ?`;
    for (const one of data.rows<Chosen>(sql, run.id, app, start, sideBySide)) chosen.set(one.id, one);
  }
  return [...chosen.values()];
}

function ofApp(data: Data, run: IndexedRun, app: number, tasks: number, most: number): AppResources {
  const chosen = chosenOf(data, run, app, tasks, most);
  const used = chosen.flatMap(({ id, tries }) => usedBy(data, run, taskOfKey(id), tries) ?? []);
  const of = (figure: (one: Used) => number | null): Distribution | null => distributionOf(used.map(figure));
  return {
    app: data.word(app) ?? "",
    tasks: chosen.length === 0 ? 0 : Math.round((tasks * used.length) / chosen.length),
    sampled: used.length,
    cpuSeconds: of(({ cpu }) => cpu),
    peakResidentBytes: of(({ resident }) => resident),
    readBytes: of(({ read }) => read),
    writtenBytes: of(({ written }) => written),
    wallSeconds: distributionOf(chosen.map(({ seconds }) => seconds)),
  };
}

/** What the last try of a task took that was sampled; undefined where none was. Totals of a process that ended early can
 *  become less in the last sample: the most counts. */
function usedBy(data: Data, run: IndexedRun, task: number, tries: number): Used | undefined {
  if (!data.source.has("resource")) return undefined;
  for (let number = tries - 1; number >= 0; number -= 1) {
    const used = data.fileRow<Used & { readonly samples: number }>(
      `SELECT count(*) AS samples,
        max(coalesce(psutil_process_time_user, psutil_process_time_system)
          + coalesce(psutil_process_time_system, 0) * (psutil_process_time_user NOT NULL)) AS cpu,
        max(psutil_process_memory_resident) AS resident, max(psutil_process_disk_read) AS read,
        max(psutil_process_disk_write) AS written
      FROM resource WHERE try_id = ? AND task_id = ? AND run_id = ?`,
      ...[number, task, run.run_id],
    );
    if (used !== undefined && used.samples > 0) return used;
  }
  return undefined;
}

function distributionOf(values: readonly (number | null)[]): Distribution | null {
  const sorted = Float64Array.from(values.filter((value) => value !== null)).sort();
  if (sorted.length === 0) return null;
  /** Between two values what lies between. */
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = sorted[Math.floor(place)] ?? 0;
    const above = sorted[Math.ceil(place)] ?? 0;
    return below + (above - below) * (place - Math.floor(place));
  };
  return { min: at(0), p25: at(0.25), median: at(0.5), p75: at(0.75), p95: at(0.95), max: at(1) };
}
