import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import test, { type ExecutionContext } from "ava";

import { systemClock, type Clock } from "../../../src/base/clock.js";
import { CollectorError } from "../../../src/base/errors.js";
import { thisProcess } from "../../../src/base/process-identity.js";
import { encodeBatch } from "../../../src/radios/filesystem/batch.js";
import { Mailbox } from "../../../src/radios/filesystem/mailbox.js";
import { batchName, claimName } from "../../../src/radios/filesystem/names.js";
import { openFilesystemReceiver } from "../../../src/radios/filesystem/receiver.js";
import type { RadioReceiver } from "../../../src/radios/radio.js";
import { FakeClock } from "../../support/fake-clock.js";
import { recordingLogger } from "../../support/log-lines.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { TextInbox } from "../../support/text-inbox.js";
import { waitUntil } from "../../support/wait.js";

const vectors = fileURLToPath(new URL("../../../../tests/vectors/", import.meta.url));

interface Opened {
  readonly directory: string;
  readonly inbox: TextInbox;
  readonly receiver: RadioReceiver;
  readonly lines: readonly Record<string, unknown>[];
}

interface Options {
  readonly directory?: string;
  readonly inbox?: TextInbox;
  readonly clock?: Clock;
}

async function opened(
  t: ExecutionContext,
  { directory = temporaryDirectory(t), inbox = new TextInbox(), clock = systemClock }: Options = {},
): Promise<Opened> {
  const { logger, lines } = recordingLogger();
  const receiver = await openFilesystemReceiver(directory, inbox, { logger }, clock);
  t.teardown(() => {
    inbox.commitAll();
    return receiver[Symbol.asyncDispose]();
  });
  return { directory, inbox, receiver, lines };
}

/** Batch `number` of writer `digit`, as a sender leaves it. */
function leave(directory: string, digit: string, number: number, ...texts: string[]): string {
  return leaveBytes(directory, digit, number, encodeBatch(texts.map((text) => Buffer.from(text))));
}

function leaveBytes(directory: string, digit: string, number: number, bytes: Uint8Array): string {
  const name = batchName(digit.repeat(32), number);
  mkdirSync(join(directory, "new", digit), { recursive: true });
  mkdirSync(join(directory, "tmp"), { recursive: true });
  writeFileSync(join(directory, "tmp", name), bytes);
  renameSync(join(directory, "tmp", name), join(directory, "new", digit, name));
  return name;
}

function names(directory: string, folder: string): string[] {
  return readdirSync(join(directory, folder), { recursive: true, encoding: "utf8" }).sort();
}

/** What waits in `new`, without its folders. */
function waiting(directory: string): string[] {
  return names(directory, "new")
    .filter((name) => name.endsWith(".batch"))
    .map((name) => basename(name));
}

test("a batch is accepted in order as come by this radio, and removed only once all is committed", async (t) => {
  const { directory, inbox } = await opened(t);
  inbox.answer = undefined;

  leave(directory, "a", 1, "one", "two");
  await waitUntil("it is accepted", () => inbox.accepted.length === 2);

  t.deepEqual(inbox.texts, ["one", "two"]);
  t.is(inbox.accepted[0]?.radio, "filesystem");
  t.is(names(directory, "cur").length, 1);
  inbox.commit(inbox.accepted[0] ?? t.fail());
  t.is(names(directory, "cur").length, 1);
  inbox.commitAll();
  await waitUntil("it is removed", () => names(directory, "cur").length === 0);
  t.deepEqual(waiting(directory), []);
});

test("many batches of several writers are accepted in the order of each writer", async (t) => {
  const directory = temporaryDirectory(t);
  for (let n = 1; n <= 120; n += 1)
    for (const digit of ["0", "7", "f"]) leave(directory, digit, n, `${digit} ${String(n)}`);

  const { inbox } = await opened(t, { directory });
  await waitUntil("all are there", () => inbox.accepted.length === 360);

  for (const digit of ["0", "7", "f"]) {
    const of = inbox.texts.filter((text) => text.startsWith(digit));
    t.deepEqual(
      of,
      Array.from({ length: 120 }, (_, n) => `${digit} ${String(n + 1)}`),
    );
  }
});

test("what is no batch is moved to bad/ once and counted by reason, and what is whole of it is stored", async (t) => {
  const directory = temporaryDirectory(t);
  const vector = (name: string): Uint8Array => readFileSync(vectors + name);
  leaveBytes(directory, "1", 1, vector("batch-truncated.bin"));
  leaveBytes(directory, "1", 2, vector("batch-damaged.bin"));
  leaveBytes(directory, "1", 3, vector("batch-foreign.bin"));
  leaveBytes(directory, "1", 4, Buffer.of());
  for (const name of [".nfs0001", "1/.nfs0002", "1/other.txt", "stranger"]) {
    writeFileSync(join(directory, "new", name), "");
  }
  mkdirSync(join(directory, "new", "1", batchName("1".repeat(32), 5)));
  symlinkSync("/etc/passwd", join(directory, "new", "1", batchName("1".repeat(32), 6)));
  leave(directory, "2", 1, "good");

  const { inbox, receiver, lines } = await opened(t, { directory });
  await waitUntil("the good one is there", () => inbox.texts.includes("good"));
  const refused = (): number[] => [...(receiver.refused ?? new Map<string, number>()).values()];
  await waitUntil("all others are counted", () => refused().reduce((sum, count) => sum + count, 0) === 10);
  t.is(names(directory, "bad").length, 10);

  t.is(inbox.accepted.length, 2 + 1 + 1);
  t.deepEqual(Object.fromEntries(receiver.refused ?? []), { foreign: 7, truncated: 1, damaged: 1, empty: 1 });
  leave(directory, "2", 2, "better");
  await waitUntil("the next one is there", () => inbox.texts.includes("better"));
  t.is(lines.filter(({ level }) => level === 40).length, 10);
  await waitUntil("nothing is left", () => waiting(directory).length + names(directory, "cur").length === 0);
});

test("junk that cannot be moved is told once, and holds nothing up", async (t) => {
  const directory = temporaryDirectory(t);
  const busy = join(directory, "new", "busy");
  mkdirSync(busy, { recursive: true });
  const mounted = spawnSync("mount", ["-t", "tmpfs", "tmpfs", busy], { encoding: "utf8" });
  if (mounted.status !== 0) {
    t.log(`not tested: this user may not mount a filesystem: ${mounted.stderr.trim()}`);
    t.pass();
    return;
  }
  t.teardown(() => spawnSync("umount", ["--lazy", busy]));
  const { inbox, receiver, lines } = await opened(t, { directory });

  for (let n = 1; n <= 3; n += 1) {
    leave(directory, "a", n, `envelope ${String(n)}`);
    await waitUntil("it is there", () => inbox.accepted.length === n);
  }

  t.deepEqual(receiver.refused, new Map([["foreign", 1]]));
  const told = lines.filter(({ level }) => level === 40);
  t.is(told.length, 1);
  t.regex(String(told[0]?.["details"]), /EBUSY/);
});

test("of two files of one name both are kept", async (t) => {
  const { directory, inbox } = await opened(t);
  mkdirSync(join(directory, "new", "a"));
  for (const [n, content] of ["first", "second"].entries()) {
    writeFileSync(join(directory, "new", "a", "junk"), content);
    await waitUntil("it is set aside", () => names(directory, "bad").length === n + 1);
  }

  t.deepEqual(
    ["junk", "junk.2"].map((name) => readFileSync(join(directory, "bad", name), "utf8")),
    ["first", "second"],
  );
  t.deepEqual(inbox.texts, []);
});

test("an envelope that can never be stored costs its neighbours nothing, and its file is kept", async (t) => {
  const inbox = new TextInbox();
  inbox.answer = (text) =>
    text === "poison" ? new CollectorError("invalid-envelope", "never") : "committed";
  const { directory, receiver, lines } = await opened(t, { inbox });

  const name = leave(directory, "a", 1, "one", "poison", "three");
  await waitUntil("it is counted", () => receiver.refused?.get("invalid-envelope") === 1);

  t.deepEqual(inbox.texts, ["one", "poison", "three"]);
  t.deepEqual(names(directory, "bad"), [name]);
  t.like(
    lines.find(({ level }) => level === 40),
    { file: name, details: "never" },
  );
});

test("what the inbox refuses for now is given back, and comes again", async (t) => {
  const inbox = new TextInbox();
  inbox.answer = () => new CollectorError("shutting-down", "not now");
  const { directory } = await opened(t, { inbox });

  leave(directory, "a", 1, "one");
  await waitUntil("it is refused twice", () => inbox.accepted.length >= 2);
  inbox.answer = () => "committed";
  await waitUntil("it is removed", () => waiting(directory).length + names(directory, "cur").length === 0);

  t.deepEqual(names(directory, "bad"), []);
});

test("an inbox without room is given nothing more, until it has room", async (t) => {
  const { directory, inbox } = await opened(t);
  inbox.isFull = true;
  for (let n = 1; n <= 20; n += 1) leave(directory, "a", n, `envelope ${String(n)}`);
  inbox.isFull = true;

  // Junk is moved before batches are taken: the look at them has begun.
  writeFileSync(join(directory, "new", "junk"), "");
  await waitUntil("it has looked", () => names(directory, "bad").length === 1);
  t.is(waiting(directory).length, 20);
  t.deepEqual(inbox.texts, []);

  inbox.isFull = false;
  await waitUntil("all are there", () => inbox.accepted.length === 20);
});

test("at most 35 batches are taken and not yet committed", async (t) => {
  const inbox = new TextInbox();
  inbox.answer = undefined;
  const directory = temporaryDirectory(t);
  for (let n = 1; n <= 100; n += 1) leave(directory, "a", n, `envelope ${String(n)}`);
  await opened(t, { directory, inbox });

  await waitUntil("it has taken what it may", () => inbox.accepted.length >= 32);
  t.true(names(directory, "cur").length <= 35);

  inbox.answer = () => "committed";
  inbox.commitAll();
  await waitUntil("all are there", () => inbox.accepted.length === 100);
});

test("what a dead collector of this host had taken is taken at once, and a living one's is left to it", async (t) => {
  const directory = temporaryDirectory(t);
  const dead = spawnSync(process.execPath, ["--version"]).pid;
  const { hostname } = thisProcess();
  const claimers = [
    { hostname, pid: dead, processStarted: 1 },
    { hostname, pid: dead, processStarted: undefined },
    { hostname, pid: process.pid, processStarted: 1 }, // another process had our number
    { hostname, pid: process.ppid, processStarted: undefined },
  ];
  mkdirSync(join(directory, "cur"), { recursive: true });
  for (const [n, claimer] of claimers.entries()) {
    const name = leave(directory, "a", n, `claim ${String(n)}`);
    renameSync(join(directory, "new", "a", name), join(directory, "cur", claimName(name, claimer)));
  }

  const { inbox } = await opened(t, { directory });
  await waitUntil("those of the dead are there", () => inbox.accepted.length === 3);

  t.deepEqual(inbox.texts, ["claim 0", "claim 1", "claim 2"]);
  await waitUntil("they are removed", () => names(directory, "cur").length === 1);
});

/** Lets a receiver live so long by its clock, in steps in which it looks. */
async function live(clock: FakeClock, ms: number): Promise<void> {
  for (let lived = 0; lived < ms; lived += 1_000) {
    await waitUntil("the receiver sleeps", () => clock.sleeping > 0);
    clock.advance(1_000);
  }
  await waitUntil("the receiver sleeps", () => clock.sleeping > 0);
}

test("what a collector of another host has taken is left to it for 60 s of our clock", async (t) => {
  const directory = temporaryDirectory(t);
  const claimer = { hostname: "node-7", pid: 4711, processStarted: 8899 };
  const name = leave(directory, "a", 1, "theirs");
  mkdirSync(join(directory, "cur"));
  renameSync(join(directory, "new", "a", name), join(directory, "cur", claimName(name, claimer)));
  const clock = new FakeClock();
  const { inbox } = await opened(t, { directory, clock });

  await live(clock, 59_000);
  t.deepEqual(inbox.texts, []);
  await live(clock, 12_000);
  await waitUntil("it is taken", () => inbox.accepted.length === 1);
});

test("what a sender left half written is removed after an hour of our clock, and not before", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "tmp"));
  writeFileSync(join(directory, "tmp", batchName("a".repeat(32), 1)), "PCBA");
  const clock = new FakeClock();
  await opened(t, { directory, clock });

  for (let minutes = 0; minutes < 59; minutes += 1) {
    await waitUntil("the receiver sleeps", () => clock.sleeping > 0);
    clock.advance(60_000);
  }
  await waitUntil("the receiver sleeps", () => clock.sleeping > 0);
  t.is(names(directory, "tmp").length, 1);
  clock.advance(61_000);
  await waitUntil("it is removed", () => {
    if (clock.sleeping > 0) clock.advance(500);
    return names(directory, "tmp").length === 0;
  });
});

test("a directory that is away is told once, and once when it is back, and the radio goes on", async (t) => {
  const { directory, inbox, lines } = await opened(t);
  const told = (level: number): Record<string, unknown>[] => lines.filter((line) => line["level"] === level);
  leave(directory, "a", 1, "before");
  await waitUntil("the first is there", () => inbox.accepted.length === 1);
  await waitUntil("the first is removed", () => names(directory, "cur").length === 0);

  renameSync(directory, `${directory}.away`);
  t.teardown(() => rmSync(`${directory}.away`, { recursive: true }));
  await waitUntil("it is told", () => told(40).length === 1);
  t.regex(String(told(40)[0]?.["reason"]), /ENOENT/);
  for (const folder of ["cur", "bad"]) mkdirSync(join(directory, folder), { recursive: true }); // as a sender does
  leave(directory, "a", 2, "after");
  await waitUntil("the next is there", () => inbox.accepted.length === 2);
  await waitUntil("that is told too", () => told(30).length === 1);

  t.is(told(40).length, 1);
});

test("a receiver that is disposed takes no more and waits for what was accepted", async (t) => {
  const { directory, inbox, receiver } = await opened(t);
  inbox.answer = undefined;
  leave(directory, "a", 1, "one");
  await waitUntil("it is accepted", () => inbox.accepted.length === 1);

  let isDisposed = false;
  const disposal = receiver[Symbol.asyncDispose]().then(() => (isDisposed = true));
  leave(directory, "a", 2, "two");
  await new Promise((resolve) => setImmediate(resolve));
  t.false(isDisposed);
  inbox.commitAll();
  await disposal;

  t.deepEqual(inbox.texts, ["one"]);
  t.deepEqual(names(directory, "cur"), []);
  t.is(waiting(directory).length, 1);
});

test("what was accepted and is refused at the end is there for the next collector", async (t) => {
  const { directory, inbox, receiver } = await opened(t);
  inbox.answer = undefined;
  const name = leave(directory, "a", 1, "one");
  await waitUntil("it is accepted", () => inbox.accepted.length === 1);

  const disposal = receiver[Symbol.asyncDispose]();
  inbox.accepted[0]?.answer.reject(new CollectorError("shutting-down", "at once"));
  await disposal;

  t.deepEqual(waiting(directory), [name]);
});

test("a place that cannot be a directory is an error that says what to do", async (t) => {
  const file = join(temporaryDirectory(t), "file");
  writeFileSync(file, "");

  await t.throwsAsync(opened(t, { directory: file }), {
    code: "listen",
    message: /^read messages from directory .*file: .*; name a directory that this user may write$/,
  });
});

test("where other hosts see the directory too, a folder is changed before it is listed", async (t) => {
  const directory = temporaryDirectory(t);
  const mailbox = await Mailbox.open(directory, true);
  const name = leave(directory, "a", 1, "one");
  const changed = new Set<string>();
  const watcher = watch(join(directory, "new", "a"), (_, file) => changed.add(String(file)));
  t.teardown(() => watcher.close());

  t.deepEqual(await mailbox.arrivalsIn("a"), [name]);
  t.deepEqual(await mailbox.arrivals(), { shards: ["a"], junk: [] });

  await waitUntil("the change is seen", () => [...changed].some((file) => file.startsWith(".look-")));
  t.false(existsSync(join(directory, "new", "a", [...changed][0] ?? "")));
});
