import { readFileSync } from "node:fs";
import { join } from "node:path";

import Database from "better-sqlite3";

import { openLogger } from "../../src/base/logger.js";
import { Data } from "../../src/view/answers.js";
import { graphOf } from "../../src/view/graph.js";
import { Indexer } from "../../src/view/indexer.js";
import { openIndexForReading, openIndexForWriting } from "../../src/view/index-file.js";
import { resourcesOf } from "../../src/view/resources.js";
import { runDetail, runSummaries } from "../../src/view/runs.js";
import { Source } from "../../src/view/source.js";
import { taskDetail, taskPage, type TaskQuery } from "../../src/view/tasks.js";
import { timelineOf } from "../../src/view/timeline.js";
import { View, type ViewOptions } from "../../src/view/view.js";
import { workersOf } from "../../src/view/workers.js";
import type { Row } from "../support/database.js";
import type { Scope } from "../support/scope.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil } from "../support/wait.js";

const golden = new URL("../../../tests/golden/", import.meta.url);

export const goldenRun = "803afe5f-20d5-405c-985e-72a06e9b936c";

/** A file as Parsl's own hub writes it, of the golden workflow; its times are taken for UTC. */
export function parslFile(t: Scope): string {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const db = new Database(path);
  db.exec(readFileSync(new URL("schema.sql", golden), "utf8"));
  const tables = JSON.parse(readFileSync(new URL("rows.json", golden), "utf8")) as Record<string, Row[]>;
  for (const [table, rows] of Object.entries(tables)) {
    for (const row of rows) {
      const columns = Object.keys(row);
      const values = columns.map((column) => `@${column}`).join(", ");
      db.prepare(`INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${values})`).run(row);
    }
  }
  db.close();
  return path;
}

/** The page of a file until the test ends. */
export async function openPage(
  t: Scope,
  database: string,
  options: Partial<ViewOptions> = {},
): Promise<Page> {
  const view = await View.open(
    { database, listen: "127.0.0.1:0", timezone: "UTC", ...options },
    openLogger("silent"),
  );
  t.teardown(() => view[Symbol.asyncDispose]());
  return new Page(view.url, options.tokens?.[0]);
}

export class Page {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, token?: string) {
    this.url = url;
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    for (const [name, value] of Object.entries(this.#headers)) headers.set(name, value);
    return fetch(new URL(path, this.url), { ...init, headers });
  }

  async get<T>(path: string): Promise<T> {
    const answer = await this.fetch(path);
    if (!answer.ok) throw new Error(`${path}: ${String(answer.status)} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  /** Waits until so many rows of the status table are indexed. */
  async indexed(rows: number): Promise<void> {
    await waitUntil(`${String(rows)} rows in the index`, async () => {
      const { indexed } = await this.get<{ indexed: { rows: number } }>("/api/source");
      return indexed.rows >= rows;
    });
  }
}

/** An index of a file that is built by the test, a step at a time. */
export class OwnIndex {
  readonly indexer: Indexer;
  readonly data: Data;

  constructor(t: Scope, path: string) {
    const source = new Source(path);
    const indexPath = join(temporaryDirectory(t), "index.db");
    const index = openIndexForWriting(indexPath);
    const reading = openIndexForReading(indexPath);
    t.teardown(() => {
      for (const db of [source.db, index, reading]) db.close();
    });
    this.indexer = new Indexer(source, index, "UTC");
    this.data = new Data(source, reading, "UTC");
  }

  /** Indexes all that there is. */
  build(): void {
    while (this.indexer.step().isBehind);
  }

  /** All that it answers of all runs. */
  answers(): unknown {
    const now = Date.now();
    return runSummaries(this.data, now).map(({ runId }) => {
      const page = taskPage(this.data, runId, allTasks);
      return {
        detail: runDetail(this.data, runId, now),
        timeline: timelineOf(this.data, runId, { points: 200 }),
        page,
        tasks: page.rows.map(({ task }) => taskDetail(this.data, runId, task)),
        graphs: [graphOf(this.data, runId, "task"), graphOf(this.data, runId, "app")],
        workers: workersOf(this.data, runId, { most: 1_000 }),
        resources: resourcesOf(this.data, runId),
      };
    });
  }
}

export const allTasks: TaskQuery = {
  ...{ offset: 0, limit: 1_000, sort: "task", order: "asc", search: "" },
  ...{ state: [], app: [], executor: [], block: [], host: [] },
};
