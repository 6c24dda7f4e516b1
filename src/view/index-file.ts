import Database from "better-sqlite3";

import type { TaskColumn } from "./api.js";
import { taskStates } from "./states.js";

/** What a word of the index names. The same text may be several of them. */
export const wordKinds = ["app", "executor", "block", "host", "failure"] as const;
export type WordKind = (typeof wordKinds)[number];

/** Tasks of all runs go by one number, so that a run's are together, in order. Parsl counts them from 0. */
export function taskKey(run: number, task: number): number {
  return run * 2 ** 32 + task;
}

export function taskOfKey(key: number): number {
  return key % 2 ** 32;
}

export const momentColumns = [...taskStates.map((state) => `"${state}"`), "ended", "busy"];

/** What the table of tasks tells of each, beside its key. */
export const toldColumns = [
  "app",
  "state",
  "executor",
  "block",
  "host",
  "submitted",
  "began",
  "ended",
  "seconds",
  "tries",
  "failure",
] as const satisfies readonly TaskColumn[];

/** By what a page of tasks may be sorted. */
export const taskColumns = ["task", ...toldColumns] as const satisfies readonly TaskColumn[];

/** Times in ms since 1970. A word that is not known is '', so that sorting has a place for it. */
const schema = `
CREATE TABLE run (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, first REAL, last REAL, width REAL NOT NULL);
CREATE TABLE word (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE (kind, text));
CREATE TABLE used (run INTEGER NOT NULL, kind INTEGER NOT NULL, word INTEGER NOT NULL, PRIMARY KEY (run, kind, word))
  WITHOUT ROWID;
-- said: all statuses of it in the order of their rows, as JSON; read_at: it is as its row was when the last status was this.
CREATE TABLE task (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, app INTEGER NOT NULL, state INTEGER NOT NULL,
  executor INTEGER NOT NULL, block INTEGER NOT NULL, host INTEGER NOT NULL, submitted REAL, began REAL, ended REAL,
  seconds REAL, tries INTEGER NOT NULL, failure INTEGER NOT NULL, read_at INTEGER NOT NULL, said BLOB NOT NULL);
CREATE INDEX task_run ON task (run);
-- Tries that began to run.
CREATE TABLE attempt (task INTEGER NOT NULL, try INTEGER NOT NULL, run INTEGER NOT NULL, app INTEGER NOT NULL,
  block INTEGER NOT NULL, host INTEGER NOT NULL, began REAL NOT NULL, ended REAL, seconds REAL, failed INTEGER NOT NULL,
  PRIMARY KEY (task, try)) WITHOUT ROWID;
CREATE INDEX attempt_began ON attempt (run, began, ended);
CREATE INDEX attempt_longest ON attempt (run, seconds);
CREATE INDEX attempt_open ON attempt (run, began) WHERE ended IS NULL;
CREATE TABLE tally (run INTEGER NOT NULL, app INTEGER NOT NULL, state INTEGER NOT NULL, tasks INTEGER NOT NULL,
  PRIMARY KEY (run, app, state)) WITHOUT ROWID;
-- By how much the tasks in each state and the tries that run change in each stretch of time, which is \`width\` of the run.
CREATE TABLE moment (run INTEGER NOT NULL, bucket INTEGER NOT NULL, ${momentColumns
  .map((column) => `${column} INTEGER NOT NULL`)
  .join(", ")}, PRIMARY KEY (run, bucket)) WITHOUT ROWID;
CREATE TABLE node (run INTEGER NOT NULL, host TEXT NOT NULL, uid TEXT NOT NULL, block TEXT NOT NULL,
  cpus INTEGER NOT NULL, memory INTEGER NOT NULL, workers INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
  heartbeat REAL NOT NULL, active INTEGER NOT NULL, PRIMARY KEY (run, host, uid, block)) WITHOUT ROWID;
-- What depends on what, by task and by app.
CREATE TABLE edge (parent INTEGER NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
CREATE TABLE app_edge (run INTEGER NOT NULL, parent INTEGER NOT NULL, child INTEGER NOT NULL, edges INTEGER NOT NULL,
  PRIMARY KEY (run, parent, child)) WITHOUT ROWID;
`;

/** Opens the index to write it: it is private and can be made again, so nothing is synchronised. */
export function openIndexForWriting(path: string): Database.Database {
  const index = new Database(path);
  index.pragma("page_size = 8192");
  index.pragma("journal_mode = WAL"); // so that answers are read while it is written
  index.pragma("synchronous = OFF");
  index.pragma("cache_size = -65536"); // KiB

  if (index.prepare("SELECT 1 FROM sqlite_master WHERE name = 'task'").get() === undefined)
    index.exec(schema);
  return index;
}

export function openIndexForReading(path: string): Database.Database {
  const index = new Database(path, { readonly: true });
  index.pragma("cache_size = -32768"); // KiB
  index.pragma("temp_store = MEMORY");
  index.pragma(`mmap_size = ${String(2 ** 31)}`);
  return index;
}

/** Makes what sorting many tasks wants; late, for it is slow to keep while they come in. */
export function addSortIndexes(index: Database.Database): void {
  for (const column of toldColumns)
    index.exec(`CREATE INDEX IF NOT EXISTS task_${column} ON task (run, ${column})`);
  index.exec("CREATE INDEX IF NOT EXISTS attempt_seconds ON attempt (run, app, seconds)");
}

export function clearIndex(index: Database.Database): void {
  const tables = index
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
    .pluck()
    .all() as string[];
  index.transaction(() => {
    for (const table of tables) index.exec(`DROP TABLE "${table}"`);
    index.exec(schema);
  })();
}
