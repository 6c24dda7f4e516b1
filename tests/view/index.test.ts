import { join } from "node:path";

import test from "ava";
import Database from "better-sqlite3";

import { writeBigFile } from "../../bench/big-file.js";
import { connect } from "../../src/index.js";
import { taskPage } from "../../src/view/tasks.js";
import { startCollector } from "../support/collector.js";
import { rollDice, shuffled } from "../support/dice.js";
import { goldenMessages } from "../support/golden.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { allTasks, OwnIndex, parslFile } from "./files.js";

/** The index of a file: whichever way it came about, it says what the file says. */

// Alone, for the other tests keep this thread busy.
test.serial(
  "an index that grows while a collector writes says what one says that is built at the end",
  async (t) => {
    const dice = rollDice(t);
    const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
    const client = connect({ address: collector.address });
    const growing = new OwnIndex(t, collector.database);

    for (const message of shuffled(goldenMessages(), dice)) {
      await client.send(message);
      if (dice() < 0.2) {
        await client.flush();
        growing.build();
      }
    }
    await client.close();
    await collector.stop();
    growing.build();

    const whole = new OwnIndex(t, collector.database);
    whole.build();
    t.deepEqual(growing.answers(), whole.answers());
  },
);

test("a file that Parsl wrote on is read on from where it was", (t) => {
  const path = parslFile(t);
  const index = new OwnIndex(t, path);
  index.build();
  const db = new Database(path);
  t.teardown(() => db.close());

  db.exec(`INSERT INTO task SELECT 15, run_id, '14', 'late', task_memoize, task_hashsum, task_inputs, task_outputs,
      task_stdin, task_stdout, task_stderr, task_time_invoked, NULL, 0, 0 FROM task WHERE task_id = 14;
    INSERT INTO status SELECT 15, 'pending', '2026-11-25 01:25:31.000000', run_id, 0 FROM workflow`);
  const step = index.indexer.step();

  t.is(step.changed.size, 1);
  const [runId = ""] = step.changed;
  const { rows } = taskPage(index.data, runId, { ...allTasks, search: "late" });
  t.like(rows[0], { task: 15, app: "late", state: "pending", executor: null, tries: 0 });
  t.is(rows.length, 1);
});

test("an index of a file from which a run was removed, and that was made anew, is made anew", (t) => {
  const path = parslFile(t);
  const db = new Database(path);
  db.pragma("foreign_keys = OFF"); // as Parsl has it
  t.teardown(() => db.close());
  for (const table of ["workflow", "task", "try", "status"]) {
    const columns = db.prepare<[], string>(`SELECT name FROM pragma_table_info('${table}')`).pluck().all();
    const values = columns.map((column) => (column === "run_id" ? "'older'" : column)).join(", ");
    db.exec(`CREATE TEMP TABLE copy AS SELECT ${values} FROM ${table}; INSERT INTO ${table} SELECT * FROM copy;
      DROP TABLE copy`);
  }
  const index = new OwnIndex(t, path);
  index.build();
  t.is((index.answers() as unknown[]).length, 2);

  for (const table of ["resource", "status", "try", "task", "node", "block", "workflow"]) {
    db.exec(`DELETE FROM ${table} WHERE run_id <> 'older'`);
  }
  db.exec("VACUUM");
  index.build();

  const whole = new OwnIndex(t, path);
  whole.build();
  t.is((index.answers() as unknown[]).length, 1);
  t.deepEqual(index.answers(), whole.answers());
});

test("a run of 20,000 tasks is indexed by task, and pages of it come in order from both ends", (t) => {
  const path = join(temporaryDirectory(t), "big.db");
  const runId = writeBigFile(path, 20_000);
  const index = new OwnIndex(t, path);
  index.build();
  const db = new Database(path, { readonly: true });
  t.teardown(() => db.close());

  const page = (offset: number): number[] =>
    taskPage(index.data, runId, { ...allTasks, sort: "seconds", offset, limit: 50 }).rows.map(
      ({ task }) => task,
    );
  const [all, first, last] = [
    taskPage(index.data, runId, { ...allTasks, sort: "seconds", limit: 20_000 }).rows.map(({ task }) => task),
    page(100),
    page(19_900),
  ];

  t.is(all.length, 20_000);
  t.deepEqual(first, all.slice(100, 150));
  t.deepEqual(last, all.slice(19_900, 19_950));
  const failed = taskPage(index.data, runId, { ...allTasks, state: ["failed", "dep_fail"], limit: 0 }).total;
  t.is(failed, db.prepare<[], number>("SELECT tasks_failed_count FROM workflow").pluck().get() ?? -1);
});
