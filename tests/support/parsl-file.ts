import { readFileSync } from "node:fs";

import Database from "better-sqlite3";

import { runId, textAt } from "./builders.js";
import type { Row } from "./database.js";
import type { Scope } from "./scope.js";

const schema = readFileSync(new URL("../../../tests/golden/schema.sql", import.meta.url), "utf8");

/** One try of a task: `ran` is when it began and when Parsl heard of its end, in seconds. */
interface Tried {
  readonly failure?: string;
  readonly host?: string | null;
  readonly block?: string | null;
  readonly ran?: readonly [number | null, number | null];
  readonly joins?: string;
  /** When its memory was sampled, in seconds, and what it had, in bytes. */
  readonly memory?: readonly (readonly [number, number])[];
}

interface Task {
  readonly app?: string;
  readonly depends?: string;
  readonly state: string;
  readonly tries?: readonly Tried[];
}

/** A row that a node's manager has. `heartbeat` and `at` in seconds. */
interface Node {
  readonly host?: string;
  readonly block?: string;
  readonly bytes?: number;
  readonly active?: boolean;
  readonly heartbeat?: number;
  readonly at?: number;
}

/** A database with Parsl's tables alone, as its own hub writes them, and one run. Closed after the test. */
export class ParslFile {
  readonly db: Database.Database;
  #tasks = 0;

  constructor(t: Scope, path = ":memory:") {
    this.db = new Database(path);
    t.teardown(() => this.db.close());
    this.db.exec(schema);
  }

  insert(table: string, ...rows: readonly Row[]): void {
    for (const row of rows) {
      const columns = Object.keys(row);
      const values = columns.map(() => "?").join(", ");
      this.db
        .prepare(`INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${values})`)
        .run(...Object.values(row));
    }
  }

  run({ completed = 1000 }: { completed?: number | null } = {}): void {
    this.insert("workflow", {
      run_id: runId,
      time_began: textAt(0),
      time_completed: completed === null ? null : textAt(completed),
      host: "submit",
      user: "ada",
      rundir: "/runs/000",
      tasks_failed_count: 0,
      tasks_completed_count: 0,
    });
  }

  /** Its number; tasks are numbered from 0 on. */
  task({ app = "align", depends = "", state, tries = [{}] }: Task): number {
    const task = this.#tasks++;
    const key = { run_id: runId, task_id: task };
    this.insert("task", {
      ...key,
      task_depends: depends,
      task_func_name: app,
      task_memoize: "0",
      task_fail_count: 0,
      task_fail_cost: 0,
    });
    for (const [number, one] of tries.entries()) this.#try({ ...key, try_id: number }, one);
    const status = { ...key, try_id: tries.length - 1, task_status_name: state, timestamp: textAt(900) };
    this.insert("status", status);
    return task;
  }

  #try(key: Row, { failure = "", host = "n1", block = "0", ran = [1, 2], joins, memory = [] }: Tried): void {
    const [began, returned] = ran;
    this.insert("try", {
      ...key,
      ...{ block_id: block, hostname: host, task_executor: "htex", task_fail_history: failure },
      task_try_time_running: began === null ? null : textAt(began),
      task_try_time_returned: returned === null ? null : textAt(returned),
      task_joins: joins ?? null,
    });
    if (began !== null) {
      this.insert("status", {
        ...key,
        task_status_name: "running",
        timestamp: textAt(began + 1e-3 * Number(key.try_id)),
      });
    }
    for (const [at, bytes] of memory) {
      this.insert("resource", { ...key, timestamp: textAt(at), psutil_process_memory_resident: bytes });
    }
  }

  node({ host = "n1", block = "0", bytes = 2 ** 30, active = true, heartbeat = 1, at }: Node): void {
    this.insert("node", {
      ...{
        run_id: runId,
        hostname: host,
        uid: `uid-${host}`,
        block_id: block,
        cpu_count: 2,
        total_memory: bytes,
      },
      ...{ active: active ? 1 : 0, worker_count: 2, python_v: "3.11.7" },
      ...{ timestamp: textAt(at ?? heartbeat), last_heartbeat: textAt(heartbeat) },
    });
  }

  block(
    status: string,
    at: number,
    { block = "0", job = "4711" }: { block?: string; job?: string | null } = {},
  ): void {
    this.insert("block", {
      ...{ run_id: runId, executor_label: "htex", block_id: block, job_id: job },
      ...{ timestamp: textAt(at), status },
    });
  }
}

/** The tasks that a finding's query returns, each once, in order. */
export function tasksShownBy(db: Database.Database, query: string): number[] {
  const rows = db.prepare<[], { task_id: number | null }>(query).all();
  const tasks = rows.flatMap(({ task_id }) => (task_id === null ? [] : [task_id]));
  return [...new Set(tasks)].sort((a, b) => a - b);
}
