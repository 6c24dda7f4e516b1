import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { openFilesystemSender } from "../../../src/radios/filesystem/sender.js";
import type { RadioSender } from "../../../src/radios/radio.js";
import { at, resourceInfo, sample, workflowStart } from "../../support/builders.js";
import { startCollector, type RunningCollector } from "../../support/collector.js";
import { openDatabase, type ReadableDatabase } from "../../support/database.js";
import { envelopeOf, newSenderId } from "../../support/encoded.js";
import { Service } from "../../support/service.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { waitUntil, within } from "../../support/wait.js";

/** Collectors that run, and the directory between them and their senders. */

async function startOn(
  t: ExecutionContext,
  directory: string,
  database?: string,
): Promise<{ readonly collector: RunningCollector; readonly db: ReadableDatabase }> {
  const args = ["--radio", `filesystem=${directory}`];
  const collector = await startCollector(t, database === undefined ? { args } : { args, database });
  return { collector, db: openDatabase(t, collector.database) };
}

/** Sends one sample of task `taskId` at second `n`, which is its sender's message `n`. */
async function sendSample(radio: RadioSender, senderId: string, taskId: number, n: number): Promise<void> {
  const bytes = envelopeOf([resourceInfo({ taskId, timestamp: at(n) })], { senderId, first: n });
  await radio.send({ bytes, senderId, firstSequence: n, count: 1 });
}

/** A new sender that sends samples 1 to `count` of a task, a file each. */
async function sendSamples(directory: string, taskId: number, count: number): Promise<void> {
  await using radio = openFilesystemSender(directory);
  const senderId = newSenderId();
  for (let n = 1; n <= count; n += 1) await sendSample(radio, senderId, taskId, n);
}

function filesIn(directory: string, folder: string): string[] {
  return readdirSync(join(directory, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

test("case 34: of 2,000 messages the first is there in 2 s, all in their senders' order, and junk is set aside once", async (t) => {
  const directory = temporaryDirectory(t);
  const { collector, db } = await startOn(t, directory);
  const folder = join(directory, "new", "3");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, ".nfs0001"), "");
  const torn = `${"3".repeat(32)}-0000000001.batch`;
  writeFileSync(join(directory, "tmp", torn), "PCBATCH1 and then something");
  truncateSync(join(directory, "tmp", torn), 12);

  const sent = Promise.all([1, 2, 3, 4].map((taskId) => sendSamples(directory, taskId, 500)));
  await waitUntil("the first message is in the database", () => db.count("resource") > 0, 2_000);
  renameSync(join(directory, "tmp", torn), join(folder, torn));
  await sent;
  await waitUntil("all messages are in the database", () => db.count("resource") === 2_000);

  for (const taskId of [1, 2, 3, 4]) {
    const rows = db.rows("SELECT timestamp FROM resource WHERE task_id = ? ORDER BY rowid", taskId);
    const times = rows.map(({ timestamp }) => String(timestamp));
    t.deepEqual(times, [...times].sort());
  }
  await waitUntil("both are set aside", () => filesIn(directory, "bad").length === 2);
  t.deepEqual(filesIn(directory, "bad").sort(), [".nfs0001", torn]);
  const { receivers } = await Service.connect(t, collector.address).status();
  const receiver = receivers.find(({ radio }) => radio === "filesystem");
  t.deepEqual(receiver?.refused, { foreign: 1n, truncated: 1n });
  await waitUntil(
    "nothing is left",
    () => filesIn(directory, "new").length + filesIn(directory, "cur").length === 0,
  );
});

test("what a collector had taken and not committed when it was killed, the next one stores once", async (t) => {
  const directory = temporaryDirectory(t);
  const { collector } = await startOn(t, directory);
  const other = new Database(collector.database);
  t.teardown(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  await sendSamples(directory, 1, 60);
  await waitUntil("it has taken all that it may", () => filesIn(directory, "cur").length >= 32);
  await collector.kill();
  other.exec("ROLLBACK");

  const { db } = await startOn(t, directory, collector.database);
  await waitUntil("all are in the database", () => db.count("resource") === 60);

  await waitUntil(
    "nothing is left",
    () => filesIn(directory, "new").length + filesIn(directory, "cur").length === 0,
  );
  t.is(db.count("resource"), 60);
});

test("two collectors on one directory store all that ten senders leave, and nothing of it twice", async (t) => {
  const directory = temporaryDirectory(t);
  const collectors = await Promise.all([startOn(t, directory), startOn(t, directory)]);

  await Promise.all(Array.from({ length: 10 }, (_, taskId) => sendSamples(directory, taskId, 60)));
  const counts = (): number[] => collectors.map(({ db }) => db.count("resource"));
  await waitUntil("all are in a database", () => counts().reduce((sum, count) => sum + count) >= 600);
  for (const { collector } of collectors) t.is(await collector.stop(), 0);

  const keys = collectors.map(({ db }) =>
    db.rows("SELECT task_id, timestamp FROM resource").map((row) => JSON.stringify(row)),
  );
  t.is(keys.flat().length, 600);
  t.is(new Set(keys.flat()).size, 600);
  t.true(counts().every((count) => count > 0));
});

test("a TypeScript and a Python sender share a directory", async (t) => {
  const directory = temporaryDirectory(t);
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const { db } = await startOn(t, directory);
  const program = [
    "import sys",
    "from parsl_collector._filesystem_road import Road",
    "road = Road(sys.argv[1])",
    "for envelope in sys.argv[2:]: road.send(bytes.fromhex(envelope))",
  ].join("\n");
  const senderId = newSenderId();
  const envelopes = [1, 2, 3].map((n) =>
    Buffer.from(envelopeOf([n === 1 ? workflowStart() : sample(n)], { senderId, first: n })).toString("hex"),
  );

  const python = spawn(join(root, ".venv", "bin", "python"), ["-c", program, directory, ...envelopes], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  t.teardown(() => python.kill("SIGKILL"));
  const [[exit]] = await within(
    "both senders' end",
    Promise.all([once(python, "close") as Promise<[number]>, sendSamples(directory, 7, 10)]),
  );

  t.is(exit, 0);
  await waitUntil("all are in the database", () => db.count("workflow") === 1 && db.count("resource") === 12);
});
