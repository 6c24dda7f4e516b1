import { join } from "node:path";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { compact } from "../../../../src/server/sinks/sqlite/compact.js";
import { OverviewReader } from "../../../../src/server/sinks/sqlite/overview.js";
import {
  openForPruning,
  prune,
  readPruned,
  type Pruned,
  type PruneOptions,
} from "../../../../src/server/sinks/sqlite/prune.js";
import type { SqliteWriter } from "../../../../src/server/sinks/sqlite/writer.js";
import { age, ago, runOf, storeRun } from "../../../support/aged-runs.js";
import { nodeUsage, resourceInfo, taskInfo } from "../../../support/builders.js";
import { openDatabase, type ReadableDatabase } from "../../../support/database.js";
import { envelopeOf } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../../../support/writer.js";

const dayMs = 86_400_000;
const oldRun = "aaaaaaaa-0000-4000-8000-000000000000";
const newRun = "bbbbbbbb-0000-4000-8000-000000000000";
const oldSender = "a".repeat(32);
const newSender = "b".repeat(32);

interface File {
  readonly path: string;
  /** A collector's, which keeps the file open. */
  readonly writer: SqliteWriter;
  readonly db: ReadableDatabase;
  readonly prune: (options?: Partial<PruneOptions>) => Promise<Pruned>;
}

function newFile(t: ExecutionContext): File {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  return {
    path,
    writer,
    db: openDatabase(t, path),
    prune: async (options = {}) => {
      const db = openForPruning(path, options.dryRun ?? false);
      try {
        return await prune(db, { olderThanMs: 30 * dayMs, pause: () => Promise.resolve(), ...options });
      } finally {
        db.close();
      }
    },
  };
}

/** A file with a run that ended 40 days ago and one that ended today. */
function twoRuns(t: ExecutionContext): File {
  const file = newFile(t);
  storeRun(file.writer, oldRun, oldSender, runOf(40));
  storeRun(file.writer, newRun, newSender, runOf(0));
  return file;
}

/** All rows of all tables but for those of SQLite itself, as text. */
function contentOf(db: ReadableDatabase): Record<string, string[]> {
  const tables = db.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
  return Object.fromEntries(
    tables.map(({ name }) => [
      String(name),
      db.rows(`SELECT * FROM "${String(name)}"`).map((row) => JSON.stringify(row)),
    ]),
  );
}

test("a prune takes a completed run out of every table, and nothing of another run", async (t) => {
  const { db, prune } = twoRuns(t);
  const before = contentOf(db);

  const { runs, rows } = await prune();

  const after = contentOf(db);
  t.deepEqual(
    runs.map(({ runId, state }) => [runId, state]),
    [[oldRun, "completed"]],
  );
  for (const [table, content] of Object.entries(before)) {
    if (/^collector_(pruned|sender.*|sequence)$/.test(table)) continue; // the ledger, of which other tests tell
    const left = after[table] ?? [];
    t.is(content.length - left.length, rows.get(table) ?? 0, table);
    t.is(left.length, content.length / 2, table);
    t.deepEqual(left, content.slice(content.length / 2), table);
  }
  t.is(rows.get("collector_moved"), 1);
  t.is(rows.get("collector_rejected"), 1);
  t.is(db.value("PRAGMA integrity_check"), "ok");
});

test("a dry run says what a prune then takes, table by table, and changes nothing", async (t) => {
  const { path, db, prune } = twoRuns(t);
  age(path, oldRun, 100);
  const before = contentOf(db);

  const foretold = await prune({ dryRun: true });

  t.deepEqual(contentOf(db), before);
  const done = await prune();
  t.deepEqual(foretold, done);
  t.true((done.rows.get("collector_sender") ?? 0) > 0);
});

test("what is sent again after a prune is no new row", async (t) => {
  const { writer, db, prune } = twoRuns(t);
  const messages = runOf(40);
  await prune();
  const before = contentOf(db);

  storeRun(writer, oldRun, oldSender, messages);

  t.is(db.value("SELECT count(*) FROM workflow WHERE run_id = ?", oldRun), 0);
  t.deepEqual(contentOf(db)["resource"], before["resource"]);
  t.is(db.value("SELECT repeated FROM collector_sender WHERE sender_id = ?", oldSender), messages.length);
});

test("the status of a file speaks of what remains, and of what was pruned by its counts", async (t) => {
  const { path, writer, db: file, prune } = twoRuns(t);
  const gaps = {
    senderId: oldSender,
    runId: oldRun,
    first: 50,
    losses: [{ first: 20, last: 29, kind: "TASK_INFO" }],
  };
  acknowledgementsOf(writer, [envelopeOf([taskInfo()], gaps)]);
  const alone = newFile(t);
  storeRun(alone.writer, newRun, newSender, runOf(0));

  await prune();

  const { total, runs, senders } = writer.status("");
  t.deepEqual(total, alone.writer.status("").total);
  t.deepEqual(
    [runs.map(({ runId }) => runId), senders.map(({ senderId }) => senderId)],
    [[newRun], [newSender]],
  );
  t.deepEqual(writer.losses(), alone.writer.losses());
  const db = openForPruning(path, true);
  t.teardown(() => db.close());
  const { senders: seen, counts } = new OverviewReader(db, "").read(Date.now());
  t.like({ seen, ...counts }, { seen: 1, stored: 10, missing: 0, lost: 0 });
  t.is(file.count("collector_sender"), 2);
  t.like(readPruned(db), [
    { runId: oldRun, gone: true, rows: { workflow: 1, task: 1, try: 2, resource: 3 } },
  ]);
});

test("a message of a pruned run that had not come before makes it a run again", async (t) => {
  const { writer, db, prune } = twoRuns(t);
  await prune();

  storeRun(writer, oldRun, oldSender, [taskInfo({ taskId: 7 })], 100);

  t.is(db.value("SELECT task_id FROM task WHERE run_id = ?", oldRun), 7);
  t.deepEqual(
    writer.status("").runs.map(({ runId }) => runId),
    [oldRun, newRun],
  );
});

test("a sender is remembered for as long as told, and for as long as one of its runs is there", async (t) => {
  const { path, writer, db, prune } = twoRuns(t);
  storeRun(writer, oldRun, newSender, [taskInfo({ taskId: 9 })], 100); // a sender of both runs
  age(path, oldRun, 50);

  await prune({ keepLedgerMs: 60 * dayMs });
  t.is(db.count("collector_sender"), 2);

  const { rows } = await prune({ keepLedgerMs: 40 * dayMs });
  t.deepEqual(
    db.rows("SELECT sender_id FROM collector_sender").map(({ sender_id }) => sender_id),
    [newSender],
  );
  t.is(db.count("collector_sequence"), 2);
  t.is(rows.get("collector_sender"), 1);
  t.is(rows.get("collector_sequence"), 1);
});

test("a sender whose rejected messages were kept stays, and so do they", async (t) => {
  const { path, db, prune } = twoRuns(t);
  age(path, oldRun, 100);

  await prune({ keepRejected: true });

  t.is(db.count("collector_rejected"), 2);
  t.is(db.count("collector_sender"), 2);
  await prune();
  t.is(db.count("collector_rejected"), 2, "it came today, whatever its run says");
});

test("a run without an end goes when it is lost and its last word is old, and stays while it runs", async (t) => {
  const { path, writer, db, prune } = newFile(t);
  storeRun(writer, oldRun, oldSender, runOf(undefined));
  storeRun(writer, newRun, newSender, runOf(undefined));
  age(path, oldRun, 40);

  const { runs } = await prune({ olderThanMs: 0 });
  t.deepEqual(
    runs.map(({ runId, state }) => [runId, state]),
    [[oldRun, "lost"]],
  );
  t.deepEqual(db.rows("SELECT run_id FROM workflow"), [{ run_id: newRun }]);
});

test("a named run that must stay is an error that says why, and nothing is removed", async (t) => {
  const { writer, db, prune } = twoRuns(t);
  const running = "cccccccc-0000-4000-8000-000000000000";
  storeRun(writer, running, "c".repeat(32), runOf(undefined));
  const before = contentOf(db);

  const named = (...runs: string[]) => prune({ runs });
  await t.throwsAsync(named(oldRun, running), {
    message: new RegExp(`^prune run ${running}: it is still running: it was last heard at .* UTC$`),
  });
  await t.throwsAsync(named(newRun), { message: /^prune run bbbb.*: it ended at .*, which is after / });
  await t.throwsAsync(named("nobody"), { message: /the file has no such run; it has aaaa.*, bbbb.*, cccc/ });
  t.deepEqual(contentOf(db), before);

  storeRun(writer, "dddddddd", "d".repeat(32), runOf(50));
  await named(oldRun);
  t.is(db.value("SELECT count(*) FROM workflow WHERE run_id = 'dddddddd'"), 1, "one that was not named");
});

test("a run that Parsl wrote by itself goes when it ended, and without an end only when it is named", async (t) => {
  const { path, db, prune } = newFile(t);
  const parsls = new Database(path);
  const insert = parsls.prepare("INSERT INTO workflow VALUES (?, 'w', '1', ?, ?, 'h', 'u', '/', 0, 0)");
  insert.run("ended", "2020-01-01 00:00:00.000000", "2020-01-02 00:00:00.000000");
  insert.run("open", "2020-01-01 00:00:00.000000", null);
  insert.run("recent", "2020-01-01 00:00:00.000000", null);
  parsls
    .prepare("INSERT INTO status VALUES (0, 'running', ?, 'recent', 0)")
    .run(new Date().toISOString().replace("T", " ").replace("Z", "000"));
  parsls.close();
  const left = () => db.rows("SELECT run_id FROM workflow ORDER BY run_id").map(({ run_id }) => run_id);

  await prune();
  t.deepEqual(left(), ["open", "recent"]);

  await t.throwsAsync(prune({ runs: ["recent"] }), { message: /was last heard at .*, which is after/ });
  await prune({ runs: ["open"] });
  t.deepEqual(left(), ["recent"]);
});

test("thinning keeps of each try the first sample, the last, and one each so many seconds", async (t) => {
  const { writer, db, prune } = newFile(t);
  const samples = (tryId: number, seconds: readonly number[]) =>
    seconds.map((s) => resourceInfo({ tryId, timestamp: ago(50, -s), psutilProcessTimeUser: s }));
  const messages = [
    ...samples(0, [0, 1, 59, 60, 61, 119, 121, 122]),
    ...samples(1, [5]),
    ...samples(2, [1, 2]),
  ];
  for (const [runId, sender, days] of [
    [oldRun, oldSender, 40],
    [newRun, newSender, 0],
  ] as const) {
    storeRun(writer, runId, sender, [
      ...runOf(days).filter((message) => !("resourceInfo" in message)),
      ...messages,
    ]);
  }

  const { rows } = await prune({ thinToMs: 60_000 });

  const kept = (runId: string) =>
    db
      .rows(
        "SELECT try_id, psutil_process_time_user AS s FROM resource WHERE run_id = ? ORDER BY 1, 2",
        runId,
      )
      .map(({ try_id, s }) => [try_id, s]);
  t.deepEqual(kept(oldRun), [[0, 0], [0, 60], [0, 121], [0, 122], [1, 5], [2, 1], [2, 2]]); // prettier-ignore
  t.is(kept(newRun).length, messages.length);
  t.deepEqual([...rows], [["resource", 4]]);
  t.is(db.count("workflow"), 2);
  t.deepEqual([...(await prune({ thinToMs: 60_000 })).rows], [], "a second time");
});

test("samples of nodes go by their own age, or are thinned by node", async (t) => {
  const { writer, db, prune } = newFile(t);
  const samples = ["n1", "n2"].flatMap((hostname) =>
    [0, 30, 60, 70].map((s) => nodeUsage({ hostname, timestamp: ago(40, -s) })),
  );
  const recent = nodeUsage({ hostname: "n1", timestamp: ago(1) });
  acknowledgementsOf(writer, [envelopeOf([...samples, recent], { runId: "" })]);

  await prune({ thinToMs: 60_000 });
  t.is(db.count("collector_node_usage"), 2 * 3 + 1);

  await prune({ runs: [] });
  t.is(db.count("collector_node_usage"), 1);
});

test("a prune has the file for 50 ms at a time, and a collector writes in between, which all stays", async (t) => {
  const { path, writer, db } = twoRuns(t);
  const samples = Array.from({ length: 40 }, (_, n) => resourceInfo({ timestamp: ago(50, n) }));
  storeRun(writer, oldRun, oldSender, samples, 100);
  const pruning = openForPruning(path, false);
  t.teardown(() => pruning.close());
  // A slow disk: 5 ms for each sample.
  pruning.function("linger", () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5));
  pruning.exec("CREATE TEMP TRIGGER slow AFTER DELETE ON resource BEGIN SELECT linger(); END");
  const left: number[] = [];

  await prune(pruning, {
    olderThanMs: 30 * dayMs,
    pause: () => {
      left.push(Number(db.value("SELECT count(*) FROM resource WHERE run_id = ?", oldRun)));
      // The writer of the tests throws when it finds the file locked.
      const task = taskInfo({ taskId: left.length, timestamp: ago(0, left.length) });
      storeRun(writer, newRun, newSender, [task], 100 + left.length);
      return Promise.resolve();
    },
  });

  t.true(left.filter((samplesLeft) => samplesLeft > 0).length >= 3, left.join(" "));
  t.is(left.at(-1), 0);
  t.is(db.value("SELECT count(*) FROM task WHERE run_id = ?", newRun), 1 + left.length);
  t.is(db.value("PRAGMA integrity_check"), "ok");
});

test("a lost run that is heard of while a prune takes it stays from there on, with what it said", async (t) => {
  const { path, writer, db, prune } = newFile(t);
  storeRun(writer, oldRun, oldSender, runOf(undefined));
  age(path, oldRun, 40);
  let pauses = 0;

  const { runs, heardMeanwhile } = await prune({
    pause: () => {
      pauses += 1;
      if (pauses === 2)
        storeRun(writer, oldRun, oldSender, [taskInfo({ taskId: 5, timestamp: ago(0) })], 100);
      return Promise.resolve();
    },
  });

  t.deepEqual([runs, heardMeanwhile], [[], [oldRun]]);
  t.is(db.value("SELECT count(*) FROM workflow"), 1);
  t.is(db.value("SELECT count(*) FROM task WHERE task_id = 5"), 1);
});

test("a pruned file is made smaller, but not while another has it open", async (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  storeRun(writer, oldRun, oldSender, runOf(40));
  const bulk = new Database(path);
  bulk.exec(`INSERT INTO status WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    SELECT i, 'pending', '2020-01-01 00:00:00.000000', '${oldRun}', 0 FROM n`);
  bulk.close();
  const pruning = openForPruning(path, false);
  await prune(pruning, { olderThanMs: 30 * dayMs });

  const besideCollector = compact(pruning);
  writer.close();
  const alone = compact(pruning);
  pruning.close();

  t.like(besideCollector, { because: "another process uses it" });
  t.true("freedBytes" in alone && alone.freedBytes > 100_000, JSON.stringify(alone));
  const db = openDatabase(t, path);
  t.is(db.value("PRAGMA integrity_check"), "ok");
  t.is(db.value("PRAGMA journal_mode"), "wal");
});
