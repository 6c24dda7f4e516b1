import Database from "better-sqlite3";

import { utcText } from "../src/model/time.js";
import { prepareFile } from "../src/server/sinks/sqlite/file.js";
import { columnsOf } from "../src/server/sinks/sqlite/schema.js";

/** Of each ten tasks: what they do, on which of the ten they wait, and how long they take, in seconds. */
const pattern = [
  { app: "prepare", waitsFor: [], seconds: 5 },
  ...Array.from({ length: 6 }, () => ({ app: "simulate", waitsFor: [0], seconds: 60 })),
  { app: "analyse", waitsFor: [1, 2, 3], seconds: 20 },
  { app: "analyse", waitsFor: [4, 5, 6], seconds: 20 },
  { app: "collect", waitsFor: [7, 8], seconds: 2 },
] as const;

const nodes = 200;
const nodesOfBlock = 10;
const workersOfNode = 8;

/** Of the tries. */
const failing = 0.02;

/** Samples of a try that ran, on average. */
const samples = 1;

const failures = [
  (task: number) => `ValueError('cannot invert matrix ${String(task)}')`,
  () => "MemoryError()",
  () => "BashExitFailure('simulate', 137)",
  () => "FileNotFoundError(2, 'No such file or directory')",
  () => "WorkerLost('Task failure due to loss of worker 3 on host node017')",
];

/** When the run began. */
const beganMicros = Date.UTC(2026, 2, 1, 8) * 1000;

/** Writes a file that holds one finished run of `tasks` tasks, as a collector would have, with times in UTC: several apps,
 *  dependencies, hosts, blocks, retries, failures and memoized tasks. It is the same each time. A million take about a
 *  minute, and 2 GB. Returns the run's id. */
export function writeBigFile(path: string, tasks: number): string {
  const runId = "b16f11e0-0000-4000-8000-000000000000";
  const db = new Database(path);
  prepareFile(db, { path, journalMode: "wal", durability: "normal" });
  db.pragma("synchronous = OFF");
  db.pragma("cache_size = -200000");
  const put = Object.fromEntries(
    ["workflow", "task", "try", "status", "node", "block", "resource"].map((table) => {
      const columns = columnsOf(table);
      const statement = db.prepare(
        `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
      );
      return [
        table,
        (row: Readonly<Record<string, unknown>>) => statement.run(...columns.map((one) => row[one] ?? null)),
      ];
    }),
  ) as Readonly<Record<string, (row: Readonly<Record<string, unknown>>) => unknown>>;
  const run = new BigRun(runId, put);
  const chunk = 20_000;
  for (let from = 0; from < tasks; from += chunk) {
    db.transaction(() => {
      for (let task = from; task < Math.min(tasks, from + chunk); task += 1) run.task(task);
    })();
  }
  db.transaction(() => run.end())();
  db.pragma("wal_checkpoint(TRUNCATE)");
  db.pragma("optimize = 0x10002");
  db.close();
  return runId;
}

type Put = Readonly<Record<string, (row: Readonly<Record<string, unknown>>) => unknown>>;

/** What became of one of the last tasks. */
interface Past {
  readonly endedSeconds: number;
  readonly isFailed: boolean;
}

class BigRun {
  readonly #runId: string;
  readonly #put: Put;
  /** When each worker is free again, in seconds after the begin. */
  readonly #free = new Float64Array(nodes * workersOfNode);
  readonly #past = new Map<number, Past>();
  #state = 20_260_301;
  #done = 0;
  #failed = 0;
  #ended = 0;

  constructor(runId: string, put: Put) {
    this.#runId = runId;
    this.#put = put;
  }

  task(task: number): void {
    const step = pattern[task % pattern.length] ?? pattern[0];
    const parents = step.waitsFor.map((one) => task - (task % pattern.length) + one);
    const pasts = parents.map((parent) => this.#past.get(parent));
    this.#past.delete(task - 2 * pattern.length);
    const submitted = task * 0.0002;
    const ready = Math.max(submitted, ...pasts.map((past) => past?.endedSeconds ?? 0));
    const parentFailed = pasts.findIndex((past) => past?.isFailed === true);
    const say = (tryId: number, status: string, seconds: number): void => {
      this.#row("status", { task_id: task, try_id: tryId, task_status_name: status, timestamp: at(seconds) });
    };
    say(0, "pending", submitted + 0.0001);
    let end: Past;
    let failCount = 0;
    if (parentFailed !== -1) {
      end = { endedSeconds: ready + 0.001, isFailed: true };
      failCount = 1;
      const history = `DependencyError([(MemoryError(), 'task ${String(parents[parentFailed])}')], ${String(task)})`;
      say(0, "dep_fail", end.endedSeconds);
      this.#try(task, 0, { task_try_time_returned: at(end.endedSeconds), task_fail_history: history });
    } else if (step.app === "prepare" && this.#random() < 0.05) {
      end = { endedSeconds: ready + 0.001, isFailed: false };
      say(0, "memo_done", end.endedSeconds);
      this.#try(task, 0, { task_try_time_launched: at(ready), task_try_time_returned: at(end.endedSeconds) });
    } else {
      end = this.#attempt(task, 0, ready, step.seconds, say);
      if (end.isFailed) {
        failCount = 1;
        say(1, "pending", end.endedSeconds + 0.0001);
        end = this.#attempt(task, 1, end.endedSeconds + 0.0002, step.seconds, say);
        if (end.isFailed) failCount = 2;
      }
    }
    this.#row("task", {
      ...{ task_id: task, task_depends: parents.join(","), task_func_name: step.app, task_memoize: "0" },
      ...{ task_inputs: "None", task_outputs: "None", task_stdout: "", task_stderr: "" },
      ...{ task_time_invoked: at(submitted), task_time_returned: at(end.endedSeconds) },
      ...{ task_fail_count: failCount, task_fail_cost: failCount },
    });
    this.#past.set(task, end);
    this.#ended = Math.max(this.#ended, end.endedSeconds);
    if (end.isFailed) this.#failed += 1;
    else this.#done += 1;
  }

  #attempt(
    task: number,
    tryId: number,
    ready: number,
    seconds: number,
    say: (tryId: number, status: string, seconds: number) => void,
  ): Past {
    const worker = this.#nextFree(ready);
    const launched = ready + 0.001;
    const began = Math.max(launched + 0.01, this.#free[worker] ?? 0);
    const took = seconds * Math.exp(this.#random() * 2 - 1.3);
    const ended = began + took;
    this.#free[worker] = ended + 0.001;
    // A second try helps half of the time.
    const isFailed = this.#random() < (tryId === 0 ? failing : 0.5);
    const failure = failures[Math.floor(this.#random() * failures.length)] ?? (() => "MemoryError()");
    const returned = ended + 0.005;
    say(tryId, "launched", launched);
    say(tryId, "running", began);
    say(tryId, "running_ended", ended);
    say(tryId, !isFailed ? "exec_done" : tryId === 0 ? "fail_retryable" : "failed", returned);
    this.#try(task, tryId, {
      ...{ block_id: blockOf(worker), hostname: hostOf(worker) },
      ...{ task_try_time_launched: at(launched), task_try_time_running: at(began) },
      ...{ task_try_time_returned: at(returned), task_fail_history: isFailed ? failure(task) : "" },
    });
    for (let sample = 1; sample <= samples; sample += 1)
      this.#sample(task, tryId, began, took * (sample / samples));
    return { endedSeconds: returned, isFailed };
  }

  /** One of a few that are drawn: near enough to the first that is free. */
  #nextFree(ready: number): number {
    let best = Math.floor(this.#random() * this.#free.length);
    for (let draw = 0; draw < 8 && (this.#free[best] ?? 0) > ready; draw += 1) {
      const other = Math.floor(this.#random() * this.#free.length);
      if ((this.#free[other] ?? 0) < (this.#free[best] ?? 0)) best = other;
    }
    return best;
  }

  #sample(task: number, tryId: number, began: number, after: number): void {
    this.#row("resource", {
      ...{ try_id: tryId, task_id: task, timestamp: at(began + after), resource_monitoring_interval: 30 },
      ...{ psutil_process_pid: 4000, psutil_process_memory_percent: 0.3, psutil_process_children_count: 0 },
      ...{ psutil_process_time_user: after * 0.9, psutil_process_time_system: after * 0.05 },
      psutil_process_memory_virtual: 500e6,
      psutil_process_memory_resident: Math.round(70e6 + 400e6 * this.#random()),
      ...{
        psutil_process_disk_read: Math.round(1e5 * after),
        psutil_process_disk_write: Math.round(1e4 * after),
      },
      ...{ psutil_process_status: "running", psutil_cpu_num: "1" },
      ...{ psutil_process_num_ctx_switches_voluntary: 10, psutil_process_num_ctx_switches_involuntary: 100 },
    });
  }

  /** What is said of the run as a whole. */
  end(): void {
    const ended = this.#ended + 1;
    for (let node = 0; node < nodes; node += 1) {
      const first = node * workersOfNode;
      for (const [active, seconds] of [
        [1, 0],
        [0, ended],
      ] as const) {
        this.#row("node", {
          ...{
            hostname: hostOf(first),
            uid: `manager-${String(node)}`,
            block_id: blockOf(first),
            cpu_count: 8,
          },
          ...{ total_memory: 64 * 2 ** 30, active, worker_count: workersOfNode, python_v: "3.11.7" },
          ...{ timestamp: at(seconds), last_heartbeat: at(seconds) },
        });
      }
      if (node % nodesOfBlock !== 0) continue;
      for (const [status, seconds] of [
        ["PENDING", 0],
        ["RUNNING", 0.5],
        ["COMPLETED", ended],
      ] as const) {
        this.#row("block", {
          ...{ executor_label: "htex", block_id: blockOf(first), job_id: String(1000 + node) },
          ...{ timestamp: at(seconds), status },
        });
      }
    }
    this.#row("workflow", {
      ...{
        workflow_name: "big",
        workflow_version: "1.0",
        host: "login1",
        user: "ada",
        rundir: "/runs/runinfo/000",
      },
      ...{ time_began: at(0), time_completed: at(ended) },
      ...{ tasks_failed_count: this.#failed, tasks_completed_count: this.#done },
    });
  }

  #try(task: number, tryId: number, row: Readonly<Record<string, unknown>>): void {
    this.#row("try", { task_id: task, try_id: tryId, task_executor: "htex", task_fail_history: "", ...row });
  }

  #row(table: string, row: Readonly<Record<string, unknown>>): void {
    this.#put[table]?.({ run_id: this.#runId, ...row });
  }

  /** From 0 to below 1 (mulberry32). */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

function at(seconds: number): string {
  return utcText(beganMicros + Math.round(seconds * 1e6));
}

function nodeOf(worker: number): number {
  return Math.floor(worker / workersOfNode);
}

function hostOf(worker: number): string {
  return `node${String(nodeOf(worker)).padStart(3, "0")}`;
}

function blockOf(worker: number): string {
  return String(Math.floor(nodeOf(worker) / nodesOfBlock));
}
