import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";

import Database from "better-sqlite3";
import test from "ava";

import { at, resourceInfo, runId, sample, taskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { memoryMib } from "../support/process.js";
import { Service } from "../support/service.js";
import type { Scope } from "../support/scope.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil } from "../support/wait.js";

/** What users report of a database file that others use too. Each test is a collector or two of its own;
 *  one after the other, since locks are about time. */

/** How long the locks of cases 1 and 2 are held once the collector says that it is blocked, in s. Users hold
 *  theirs for minutes: PARSL_COLLECTOR_TEST_LOCK_SECONDS=100 does too, and more with a longer --timeout of ava. */
const lockSeconds = Number(process.env["PARSL_COLLECTOR_TEST_LOCK_SECONDS"] ?? 0);

/** Another user's connection to the file. */
function otherUser(t: Scope, path: string): Database.Database {
  const db = new Database(path);
  t.teardown(() => db.close());
  return db;
}

async function untilBlocked(service: Service): Promise<void> {
  await waitUntil("the collector says that it is blocked", async () => {
    const { blockedReason } = await service.status();
    return /database is locked/.test(blockedReason);
  });
}

test.serial(
  "case 1: while another writes, samples wait unacknowledged, and all are stored once it is done",
  async (t) => {
    const collector = await startCollector(t);
    const service = Service.connect(t, collector.address);
    const db = openDatabase(t, collector.database);
    await service.send([workflowStart(), taskInfo()]);
    const other = otherUser(t, collector.database);
    other.exec("BEGIN IMMEDIATE");

    const stream = service.stream();
    const senderId = newSenderId();
    for (let first = 1; first <= 200; first += 10) {
      const ten = Array.from({ length: 10 }, (_, n) => sample(first + n));
      await stream.write(envelopeOf(ten, { senderId, first }));
    }
    await untilBlocked(service);

    await sleep(lockSeconds * 1_000);
    t.deepEqual(stream.acknowledgements, []);
    t.is(db.count("resource"), 0);
    other.exec("COMMIT");
    await stream.acknowledged(20);
    t.is(db.count("resource"), 200);
    t.regex(collector.stderr, /database cannot be written for now/);
    await waitUntil("the log says that it goes on", () => /can be written again/.test(collector.stderr));
  },
);

test.serial(
  "case 2: a file that is locked at the start is waited for, and what came meanwhile is stored",
  async (t) => {
    const database = join(temporaryDirectory(t), "monitoring.db");
    const other = otherUser(t, database);
    other.exec("CREATE TABLE theirs (x); BEGIN EXCLUSIVE");

    const collector = await startCollector(t, { database });
    const service = Service.connect(t, collector.address);
    const stream = service.stream();
    const senderId = newSenderId();
    for (let n = 0; n < 50; n += 1) {
      await stream.write(envelopeOf([taskInfo({ taskId: n })], { senderId, first: n + 1 }));
    }
    await untilBlocked(service);

    await sleep(lockSeconds * 1_000);
    t.deepEqual(stream.acknowledgements, []);
    other.exec("COMMIT");
    await stream.acknowledged(50);
    t.is(openDatabase(t, database).count("task"), 50);
  },
);

test.serial(
  "case 40: while the file is locked, senders at full speed are held up and memory is not",
  async (t) => {
    const senders = 4;
    const envelopesEach = 100;
    const collector = await startCollector(t);
    const observer = Service.connect(t, collector.address);
    await observer.send([workflowStart(), taskInfo()]);
    const other = otherUser(t, collector.database);
    other.exec("BEGIN IMMEDIATE");
    const before = memoryMib(collector.pid, "VmRSS");

    // 64 samples of 4 kB each are an envelope of 256 KiB, and all of them 100 MiB.
    const text = "x".repeat(4_000);
    let written = 0;
    const pushes = Array.from({ length: senders }, async (_, taskId) => {
      const stream = Service.connect(t, collector.address).stream();
      const senderId = newSenderId();
      for (let n = 0; n < envelopesEach; n += 1) {
        const samples = Array.from({ length: 64 }, (__, k) =>
          resourceInfo({ taskId, timestamp: at(n + k / 100), psutilProcessStatus: text }),
        );
        await stream.write(envelopeOf(samples, { senderId, first: n * 64 + 1 }));
        written += 1;
      }
      return stream;
    });
    await untilBlocked(observer);
    // Until nobody has got on for as long as 200 questions and answers take.
    let still = 0;
    let seen = 0;
    await waitUntil("the senders are held up", async () => {
      const { queuedBytes } = await observer.status();
      still = written === seen ? still + 1 : 0;
      seen = written;
      return still > 200 && queuedBytes >= 4n * 1024n * 1024n;
    });
    const grownMib = memoryMib(collector.pid, "VmRSS") - before;

    // The 4 MiB that one address may have waiting for the writer, and what is in the client's buffers.
    t.true(written < senders * envelopesEach, `${String(written)} envelopes were taken`);
    t.true(grownMib < 80, `memory grew by ${grownMib.toFixed(0)} MiB`);
    other.exec("COMMIT");
    const streams = await Promise.all(pushes);
    await Promise.all(streams.map((stream) => stream.acknowledged(envelopesEach)));
    t.is(openDatabase(t, collector.database).count("resource"), senders * envelopesEach * 64);
    const peakMib = memoryMib(collector.pid, "VmHWM");
    t.log(`memory grew by ${grownMib.toFixed(0)} MiB while locked; at most ${peakMib.toFixed(0)} MiB at all`);
    t.true(peakMib < 256, `memory reached ${peakMib.toFixed(0)} MiB`);
  },
);

test.serial("case 55: two collectors on one file store everything of both", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const samplesEach = 20_000;

  const collectors = await Promise.all([startCollector(t, { database }), startCollector(t, { database })]);
  await Promise.all(
    collectors.map(async ({ address }, taskId) => {
      const stream = Service.connect(t, address).stream();
      const senderId = newSenderId();
      for (let first = 1; first <= samplesEach; first += 500) {
        const samples = Array.from({ length: 500 }, (_, n) =>
          resourceInfo({ taskId, timestamp: at((first + n) / 1_000) }),
        );
        await stream.write(envelopeOf(samples, { senderId, first }));
      }
      await stream.acknowledged(samplesEach / 500);
    }),
  );

  const db = openDatabase(t, database);
  t.is(db.count("resource"), 2 * samplesEach);
  t.is(db.value("PRAGMA integrity_check"), "ok");
});

test.serial(
  "case 57: with a rollback journal, as on a network filesystem, everything is stored too",
  async (t) => {
    const collector = await startCollector(t, { args: ["--journal-mode", "delete"] });
    const service = Service.connect(t, collector.address);

    for (let n = 0; n < 20; n += 1) await service.send([sample(n)]);

    const db = openDatabase(t, collector.database);
    t.is(db.value("PRAGMA journal_mode"), "delete");
    t.is(db.count("resource"), 20);
    t.regex(collector.stderr, /"journal":"delete \(as told\)","durability":"full"/);
  },
);

test.serial(
  "case 57: with a rollback journal a long SELECT of a reader delays a commit and loses nothing",
  async (t) => {
    const collector = await startCollector(t, { args: ["--journal-mode", "delete"] });
    const service = Service.connect(t, collector.address);
    await service.send([workflowStart()]);
    const reader = otherUser(t, collector.database);
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM workflow").get();

    const sent = service.send(Array.from({ length: 500 }, (_, n) => sample(n)));
    await untilBlocked(service);

    reader.exec("COMMIT");
    t.deepEqual((await sent).committed, { first: 1n, last: 500n });
    t.is(openDatabase(t, collector.database).count("resource"), 500);
  },
);

test.serial(
  "case 61: whoever reads while tasks are stored finds each task with its try and its status",
  async (t) => {
    const collector = await startCollector(t);
    const service = Service.connect(t, collector.address);
    await service.send([workflowStart()]);
    const db = openDatabase(t, collector.database);
    const stream = service.stream();
    const senderId = newSenderId();
    let reads = 0;

    for (let first = 1; first <= 5_000; first += 50) {
      const tasks = Array.from({ length: 50 }, (_, n) => taskInfo({ taskId: first + n }));
      await stream.write(envelopeOf(tasks, { senderId, first }));
    }
    for (let tasks = 0; tasks < 5_000; reads += 1) {
      const [seen] = db.rows(
        `SELECT count(*) AS tasks, count(s.task_id) AS statuses, count(y.task_id) AS tries FROM task t
         LEFT JOIN status s ON s.task_id = t.task_id AND s.run_id = t.run_id
         LEFT JOIN try y ON y.try_id = 0 AND y.task_id = t.task_id AND y.run_id = t.run_id
         WHERE t.run_id = ?`,
        runId,
      );
      tasks = Number(seen?.["tasks"]);
      t.deepEqual(seen, { tasks, statuses: tasks, tries: tasks });
      await nextTurn();
    }

    await stream.acknowledged(100);
    t.true(reads > 1, "the reader saw the table grow");
  },
);
