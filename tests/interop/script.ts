import type Database from "better-sqlite3";

/** What every client is to send, message by message, and so what the database holds then. */

/** 2026-01-01T00:00:00Z, in s since 1970. */
const beganSeconds = 1_767_225_600;

export interface Told {
  readonly runId: string;
  /** Messages in all: the workflow's start, samples, its end. */
  readonly count: number;
  /** As the client calls itself. */
  readonly language: string;
}

/** One line for each thing in the database that is not as the client said it; the first ten. */
export function faultsOf(db: Database.Database, told: Told): string[] {
  const faults: string[] = [];
  compare(faults, "workflow", [expectedWorkflow(told)], db.prepare(workflowQuery).all(told.runId));
  compare(faults, "resource", expectedSamples(told), db.prepare(samplesQuery).all(told.runId));
  const rejected = db.prepare("SELECT count(*) FROM collector_rejected").pluck().get();
  if (rejected !== 0) faults.push(`collector_rejected: ${String(rejected)} rows`);
  return faults.slice(0, 10);
}

const workflowQuery = `
  SELECT workflow_name, workflow_version, rundir, tasks_completed_count, tasks_failed_count, user, host, time_began,
    time_completed
  FROM workflow WHERE run_id = ?`;

function expectedWorkflow({ count, language }: Told): Record<string, unknown> {
  return {
    workflow_name: `interop ${language}`,
    workflow_version: "1",
    rundir: "/interop",
    tasks_completed_count: count - 2,
    tasks_failed_count: 0,
    user: "interop",
    host: `interop-${language}`,
    time_began: timeText(1),
    time_completed: timeText(count),
  };
}

const samplesQuery = `
  SELECT task_id, try_id, timestamp, psutil_process_pid, psutil_process_memory_percent, psutil_process_time_user,
    psutil_process_disk_write, psutil_process_status, psutil_process_children_count
  FROM resource WHERE run_id = ? ORDER BY psutil_process_pid, timestamp`;

function expectedSamples({ count }: Told): Record<string, unknown>[] {
  return Array.from({ length: count - 2 }, (_, index) => {
    const n = index + 2;
    return {
      task_id: n % 100,
      try_id: 0,
      timestamp: timeText(n),
      psutil_process_pid: n,
      psutil_process_memory_percent: n / 4,
      psutil_process_time_user: n / 8,
      psutil_process_disk_write: n * 1_048_576,
      psutil_process_status: "sleeping – ✓",
      psutil_process_children_count: null,
    };
  });
}

/** T(n), n ms and 123 us after the beginning, as the collector writes it with --timezone UTC. */
function timeText(n: number): string {
  const day = new Date((beganSeconds + Math.floor(n / 1_000)) * 1_000).toISOString().slice(0, 19);
  return `${day.replace("T", " ")}.${String(n % 1_000).padStart(3, "0")}123`;
}

function compare(faults: string[], table: string, expected: unknown[], actual: unknown[]): void {
  if (actual.length !== expected.length) {
    faults.push(`${table}: ${String(actual.length)} rows instead of ${String(expected.length)}`);
  }
  for (const [index, row] of expected.entries()) {
    const [wanted, found] = [JSON.stringify(row), JSON.stringify(actual[index])];
    if (wanted !== found) faults.push(`${table}: ${found} instead of ${wanted}`);
  }
}
