import type Database from "better-sqlite3";

import { momentColumns } from "./index-file.js";
import { isEnd, taskStates } from "./states.js";

/** Stretches of time that a run has at most. They become twice as long when it would have more: a run of a minute is known
 *  to 2 ms then, one of an hour to 0.13 s, one of a month to 2 min. */
const mostBuckets = 32_768;

const endedColumn = taskStates.length;
const busyColumn = endedColumn + 1;

interface Timeline {
  /** Length of a stretch in ms, a power of two; they are counted from 1970. */
  width: number;
  /** The first and the last that there are. */
  least: number;
  most: number;
  /** What is not written yet: by how much each column of each stretch changes. */
  readonly buckets: Map<number, Float64Array>;
}

/** Sums up how the counts of an index change, and writes them together. */
export class Changes {
  readonly #timelines = new Map<number, Timeline>();
  /** By run, app and state. */
  readonly #tallies = new Map<string, { readonly key: readonly [number, number, number]; tasks: number }>();
  readonly #addTally: Database.Statement<[number, number, number, number]>;
  readonly #addMoment: Database.Statement<number[]>;
  readonly #moments: Database.Statement<[number], number[]>;
  readonly #removeMoments: Database.Statement<[number]>;
  readonly #setWidth: Database.Statement<[number, number]>;

  constructor(index: Database.Database) {
    this.#addTally = index.prepare(
      "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks",
    );
    const sums = momentColumns.map((column) => `${column} = ${column} + excluded.${column}`).join(", ");
    this.#addMoment = index.prepare(
      `INSERT INTO moment VALUES (?, ?${", ?".repeat(momentColumns.length)}) ON CONFLICT DO UPDATE SET ${sums}`,
    );
    this.#moments = index
      .prepare<[number], number[]>(`SELECT bucket, ${momentColumns.join(", ")} FROM moment WHERE run = ?`)
      .raw();
    this.#removeMoments = index.prepare("DELETE FROM moment WHERE run = ?");
    this.#setWidth = index.prepare("UPDATE run SET width = ? WHERE id = ?");
  }

  /** Adds what a task was in (or takes it away again, by a `sign` of -1). */
  history(
    run: number,
    history: readonly { readonly at: number; readonly code: number }[],
    sign: 1 | -1,
  ): void {
    let before: number | undefined;
    for (const { at, code } of history) {
      if (before !== undefined) this.#add(run, at, before, -sign);
      this.#add(run, at, code, sign);
      if (isEnd(code)) this.#add(run, at, endedColumn, sign);
      before = code;
    }
  }

  /** Adds a try that ran. */
  busy(run: number, began: number, ended: number | null, sign: 1 | -1): void {
    this.#add(run, began, busyColumn, sign);
    if (ended !== null) this.#add(run, Math.max(began, ended), busyColumn, -sign);
  }

  /** Adds tasks of an app that are in a state now. */
  tally(run: number, app: number, state: number, tasks: number): void {
    const name = `${String(run)} ${String(app)} ${String(state)}`;
    const tally = this.#tallies.get(name);
    if (tally === undefined) this.#tallies.set(name, { key: [run, app, state], tasks });
    else tally.tasks += tasks;
  }

  /** Writes all that was added; in a transaction of the caller's. */
  flush(): void {
    for (const { key, tasks } of this.#tallies.values()) {
      if (tasks !== 0) this.#addTally.run(...key, tasks);
    }
    this.#tallies.clear();
    for (const [run, timeline] of this.#timelines) {
      this.#fit(run, timeline);
      for (const [bucket, columns] of timeline.buckets) {
        if (columns.some((value) => value !== 0)) this.#addMoment.run(run, bucket, ...columns);
      }
      timeline.buckets.clear();
    }
  }

  #add(run: number, at: number, column: number, by: number): void {
    let timeline = this.#timelines.get(run);
    if (timeline === undefined) {
      timeline = { width: 1, least: Infinity, most: -Infinity, buckets: new Map() };
      this.#timelines.set(run, timeline);
    }
    const bucket = Math.floor(at / timeline.width);
    addTo(timeline.buckets, bucket, column, by);
    timeline.least = Math.min(timeline.least, bucket);
    timeline.most = Math.max(timeline.most, bucket);
  }

  /** Makes stretches longer until there are not too many. */
  #fit(run: number, timeline: Timeline): void {
    let factor = 1;
    while (timeline.most / factor - timeline.least / factor > mostBuckets) factor *= 2;
    if (factor === 1) return;
    timeline.width *= factor;
    timeline.least = Math.floor(timeline.least / factor);
    timeline.most = Math.floor(timeline.most / factor);
    const narrow = [
      ...[...timeline.buckets].map(([bucket, columns]) => [bucket, ...columns]),
      ...this.#moments.all(run),
    ];
    timeline.buckets.clear();
    for (const [bucket = 0, ...columns] of narrow) {
      for (const [column, by] of columns.entries()) {
        if (by !== 0) addTo(timeline.buckets, Math.floor(bucket / factor), column, by);
      }
    }
    this.#removeMoments.run(run);
    this.#setWidth.run(timeline.width, run);
  }
}

function addTo(buckets: Map<number, Float64Array>, bucket: number, column: number, by: number): void {
  let columns = buckets.get(bucket);
  if (columns === undefined) {
    columns = new Float64Array(momentColumns.length);
    buckets.set(bucket, columns);
  }
  columns[column] = (columns[column] ?? 0) + by;
}
