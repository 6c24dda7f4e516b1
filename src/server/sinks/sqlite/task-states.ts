import type Database from "better-sqlite3";

/** How many tasks of each run are in which state. Reads all statuses once; later looks only at tasks of which something
 *  was said since. */
export class TaskStates {
  readonly #last: Database.Statement<[], number | null>;
  readonly #all: Database.Statement<[], Task & { readonly state: string }>;
  readonly #touched: Database.Statement<[number, number], Task>;
  readonly #now: Database.Statement<[string, number], string>;
  readonly #latest: Database.Statement<[number, number], string | null>;
  readonly #states = new Map<string, Map<number, string>>();
  readonly #counts = new Map<string, Map<string, number>>();
  #position: number | undefined;

  constructor(db: Database.Database) {
    this.#last = db.prepare<[], number | null>("SELECT max(rowid) FROM status").pluck();
    this.#all = db.prepare(
      "SELECT run_id AS runId, task_id AS taskId, task_status_name AS state FROM collector_task_state",
    );
    this.#touched = db.prepare(
      "SELECT DISTINCT run_id AS runId, task_id AS taskId FROM status WHERE rowid > ? AND rowid <= ?",
    );
    // Of one task at a time: joined with those that were touched, the view would be made of the whole table.
    this.#now = db
      .prepare<[string, number], string>(
        "SELECT task_status_name FROM collector_task_state WHERE run_id = ? AND task_id = ?",
      )
      .pluck();
    this.#latest = db
      .prepare<[number, number], string | null>(
        "SELECT max(timestamp) FROM status WHERE rowid > ? AND rowid <= ?",
      )
      .pluck();
  }

  /** Brings the counts up to date. Returns the latest time that a new status says, as Parsl's tables have it. */
  update(): string | undefined {
    const last = this.#last.get() ?? 0;
    const position = this.#position;
    this.#position = last;
    if (position === last) return undefined;
    if (position === undefined || last < position) {
      // The first look, or rows were removed since.
      this.#states.clear();
      this.#counts.clear();
      for (const { state, ...task } of this.#all.iterate()) this.#set(task, state);
      return undefined;
    }
    for (const task of this.#touched.all(position, last)) {
      const state = this.#now.get(task.runId, task.taskId);
      if (state !== undefined) this.#set(task, state); // else only a worker has spoken of it yet
    }
    return this.#latest.get(position, last) ?? undefined;
  }

  /** How many tasks of a run are in each state. */
  of(runId: string): ReadonlyMap<string, number> {
    return this.#counts.get(runId) ?? new Map<string, number>();
  }

  #set({ runId, taskId }: Task, state: string): void {
    const states = entryOf(this.#states, runId, () => new Map<number, string>());
    const counts = entryOf(this.#counts, runId, () => new Map<string, number>());
    const before = states.get(taskId);
    if (before !== undefined) counts.set(before, (counts.get(before) ?? 0) - 1);
    states.set(taskId, state);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
}

interface Task {
  readonly runId: string;
  readonly taskId: number;
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
