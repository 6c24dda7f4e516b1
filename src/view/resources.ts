import type { Data, IndexedRun } from "./answers.js";
import type { Distribution, Resources } from "./api.js";
import { taskOfKey } from "./index-file.js";

/** Tasks of an app whose samples are read at most, and of all apps together: 0.3 s for as many with ten samples each. */
const mostOfApp = 2_000;
const mostOfAll = 8_000;

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
  const apps = data.rows<{ app: number; ran: number }>(
    "SELECT app, count(DISTINCT task) AS ran FROM attempt WHERE run = ? GROUP BY app",
    run.id,
  );
  const most = Math.min(mostOfApp, Math.ceil(mostOfAll / Math.max(1, apps.length)));
  return {
    apps: apps
      .map(({ app, ran }) => ofApp(data, run, app, ran, most))
      .sort((a, b) => (a.app < b.app ? -1 : 1)),
  };
}

function ofApp(data: Data, run: IndexedRun, app: number, ran: number, most: number): AppResources {
  // A choice that looks random, and is the same each time.
  const chosen = data.rows<{ task: number; tries: number; seconds: number | null }>(
    `SELECT task, max(try) + 1 AS tries, seconds FROM attempt
    WHERE run = ? AND app = ? AND ((task % 4294967296) * 2654435761 >> 12) % ? = 0 GROUP BY task LIMIT ?`,
    ...[run.id, app, Math.max(1, Math.floor(ran / most)), most],
  );
  const used = chosen.flatMap(({ task, tries }) => usedBy(data, run, taskOfKey(task), tries) ?? []);
  const of = (figure: (one: Used) => number | null): Distribution | null => distributionOf(used.map(figure));
  return {
    app: data.word(app) ?? "",
    tasks: chosen.length === 0 ? 0 : Math.round((ran * used.length) / chosen.length),
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
