import { join } from "node:path";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { age, runOf, storeRun } from "../support/aged-runs.js";
import { sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf } from "../support/encoded.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { openWriter } from "../support/writer.js";

/** `parsl-collector prune` as a user runs it. What it removes is tested in tests/server/sinks/sqlite/retention.test.ts. */

const oldRun = "aaaaaaaa-0000-4000-8000-000000000000";
const newRun = "bbbbbbbb-0000-4000-8000-000000000000";
const oldSender = "a".repeat(32);

/** A file with a run that ended 40 days ago and has 5,000 samples more, and one that ended today. */
function fileOfTwoRuns(t: ExecutionContext): string {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  storeRun(writer, oldRun, oldSender, runOf(40));
  storeRun(writer, newRun, "b".repeat(32), runOf(0));
  writer.close();
  new Database(path)
    .exec(
      `INSERT INTO resource (try_id, task_id, run_id, timestamp)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        SELECT 0, i, '${oldRun}', '2020-01-01 00:00:00.000000' FROM n`,
    )
    .close();
  return path;
}

test.serial("prune says what would go, removes it, and gives the space back", async (t) => {
  const path = fileOfTwoRuns(t);
  const on = ["prune", "--database", path, "--older-than", "30d"];

  const foretold = await runToEnd(t, [...on, "--dry-run", "--json"]);
  const done = await runToEnd(t, on);
  const status = await runToEnd(t, ["status", "--database", path]);
  const ofGone = await runToEnd(t, ["status", "--database", path, "--run", oldRun]);

  t.deepEqual([foretold.exit, done.exit, done.stderr], [0, 0, ""]);
  const said = JSON.parse(foretold.stdout) as Record<string, unknown>;
  t.like(said, { dryRun: true, rows: { resource: 5003, workflow: 1 }, compacted: null });
  t.like((said["runs"] as unknown[])[0], { runId: oldRun, state: "completed" });
  t.regex(done.stdout, new RegExp(`^run ${oldRun}: completed\n`));
  t.regex(done.stdout, /\nresource +5,003\n/);
  t.regex(done.stdout, /\n1 run removed, 5,\d{3} rows gone\n0\.\d MB given back to the filesystem\n$/);
  t.regex(status.stdout, /\n1 run pruned, with 5,\d{3} rows, the last at .* UTC\n/);
  t.regex(status.stdout, /10 of 11 messages stored, 1 kept as rejected: complete\n$/);
  t.is(status.exit, 0);
  t.regex(
    ofGone.stderr,
    new RegExp(`run ${oldRun} was pruned, 5,\\d{3} rows pruned, the last at .*; it has bbbb`),
  );
});

test.serial(
  "an age without its unit, none at all, and a run that must stay are told with their cures",
  async (t) => {
    const path = fileOfTwoRuns(t);
    const on = ["prune", "--database", path];

    const bare = await runToEnd(t, [...on, "--older-than", "30"]);
    const none = await runToEnd(t, on);
    const recent = await runToEnd(t, [...on, "--older-than", "30d", "--run", oldRun, "--run", newRun]);

    t.is(bare.exit, 2);
    t.regex(
      bare.stderr,
      /expected a number with its unit \(s, m, h, d or w: seconds to weeks\), as in 30d or 12h; got "30"/,
    );
    t.is(none.exit, 2);
    t.regex(none.stderr, /say how old: --older-than <age>, as 30d/);
    t.deepEqual([recent.exit, recent.stdout], [1, ""]);
    t.regex(
      recent.stderr,
      new RegExp(`^parsl-collector prune: prune run ${newRun}: it ended at .*, which is after`),
    );
    t.is(openDatabase(t, path).count("workflow"), 2);
  },
);

test.serial(
  "a prune beside a collector: all it acknowledges meanwhile is there, and the old run is not",
  async (t) => {
    const database = fileOfTwoRuns(t);
    const collector = await startCollector(t, { database });
    const stream = Service.connect(t, collector.address).stream();
    let sent = 0;
    const send = () =>
      stream.write(envelopeOf([sample(sent)], { senderId: "c".repeat(32), first: (sent += 1) }));
    await send();
    await stream.acknowledged(1);

    const pruning = runToEnd(t, ["prune", "--database", database, "--older-than", "30d"]);
    const over = new AbortController();
    void pruning.finally(() => {
      over.abort();
    });
    // One after the other, so that messages come in each pause of the prune.
    while (!over.signal.aborted) {
      await send();
      await stream.acknowledged(sent);
    }
    const { exit, stdout } = await pruning;
    // What was pruned comes once more.
    await stream.write(envelopeOf(runOf(40), { senderId: oldSender, runId: oldRun }));
    await stream.acknowledged(sent + 1);

    t.is(exit, 0);
    t.regex(
      stdout,
      /MB are free inside the file.*another process uses it\. Later: sqlite3 .*monitoring\.db VACUUM/,
    );
    const db = openDatabase(t, database);
    t.is(db.value("SELECT count(*) FROM resource WHERE run_id NOT IN (?, ?)", oldRun, newRun), sent);
    t.is(db.value("SELECT count(*) FROM workflow WHERE run_id = ?", oldRun), 0);
    t.is(db.value("PRAGMA integrity_check"), "ok");
  },
);

test.serial(
  "after kill -9 in the middle of a prune the file is whole, and the next prune goes on",
  async (t) => {
    const path = fileOfTwoRuns(t);
    age(path, oldRun, 40);
    // In its third transaction, with rows removed and nothing committed.
    const faultPoints = new URL("../../src/base/fault-points.js", import.meta.url);
    const dying = `import { atFaultPoints } from ${JSON.stringify(faultPoints)};
    let left = 3;
    atFaultPoints((point) => {
      if (point === "prune: rows removed" && --left === 0) process.kill(process.pid, "SIGKILL");
    });`;
    const on = ["prune", "--database", path, "--older-than", "30d"];

    const killed = await runToEnd(t, on, {
      nodeArgs: ["--import", `data:text/javascript,${encodeURIComponent(dying)}`],
    });

    const db = openDatabase(t, path);
    t.is(killed.exit, "SIGKILL");
    t.is(db.value("PRAGMA integrity_check"), "ok");
    // On a slow machine a transaction has less than a table; what it noted is what is gone.
    const ofResource = "SELECT rows FROM collector_pruned WHERE run_id = ? AND table_name = 'resource'";
    const removed = Number(db.value(ofResource, oldRun));
    t.true(removed > 0);
    t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", oldRun), 5003 - removed);
    t.is(db.value("SELECT count(*) FROM try WHERE run_id = ?", oldRun), 2);
    t.is(db.value("SELECT count(*) FROM workflow WHERE run_id = ?", oldRun), 1);

    const next = await runToEnd(t, [...on, "--no-compact", "--json"]);

    t.like(JSON.parse(next.stdout), { rows: { try: 2, workflow: 1 }, compacted: null });
    t.is(db.value(ofResource, oldRun), 5003);
    for (const table of ["workflow", "task", "try", "status", "resource", "node", "block"]) {
      t.is(db.value(`SELECT count(*) FROM "${table}" WHERE run_id = ?`, oldRun), 0, table);
    }
  },
);
