import test from "ava";

import { CollectorError } from "../../src/base/errors.js";
import { Client } from "../../src/client/client.js";
import type { ClientOptions } from "../../src/client/options.js";
import { Envelope } from "../../src/model/envelope.js";
import { sendLeft } from "../../src/spool/left.js";
import { resourceInfo, sample } from "../support/builders.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeRadio, settled } from "../support/fake-radio.js";
import { SimulatedDisk } from "../support/simulated-disk.js";

const spool = "/spool";

interface Opened {
  readonly client: Client;
  readonly radio: FakeRadio;
  readonly clock: FakeClock;
  readonly disk: SimulatedDisk;
  readonly warnings: string[];
}

function open(options: ClientOptions = {}, disk = new SimulatedDisk()): Opened {
  const radio = new FakeRadio();
  const clock = new FakeClock();
  const warnings: string[] = [];
  const onWarning = ({ message }: CollectorError): void => void warnings.push(message);
  const client = new Client(radio, { clock, random: () => 0, spool, disk, onWarning, ...options });
  return { client, radio, clock, disk, warnings };
}

/** Goes on after a break, and answers everything until nothing more comes. */
async function answerAll({ radio, clock }: Opened): Promise<void> {
  clock.advance(60_000);
  await settled();
  while (radio.pending > 0) {
    radio.acknowledge();
    await settled();
  }
}

/** The sequences that were heard since the envelope at `from`. */
function sequencesSince(heard: readonly Envelope[], from: number): number[] {
  return heard
    .slice(from)
    .flatMap(({ messages, firstSequence }) => messages.map((_, index) => Number(firstSequence) + index));
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

test("while the collector answers nothing touches the disk", async (t) => {
  const opened = open();
  const { client, disk, radio } = opened;
  for (let n = 0; n < 10; n += 1) await client.send(sample(n));
  const closed = client.close();
  await answerAll(opened);
  await closed;

  t.deepEqual(disk.paths, []);
  t.deepEqual(sequencesSince(radio.heard, 0), upTo(10));
});

test("a connection that breaks sends what is in memory to the spool, and from there, in order, to the next", async (t) => {
  const opened = open();
  const { client, radio, disk } = opened;
  for (let n = 0; n < 5; n += 1) await client.send(sample(n));
  radio.acknowledge();
  await settled();

  radio.break();
  await settled();
  t.deepEqual(client.counts, { sent: 5, acknowledged: 1, rejected: 0, spooled: 4, lost: 0 });
  t.is(disk.paths.length, 1);
  await client.send(sample(5));
  const before = radio.heard.length;
  const flushed = client.flush();
  await answerAll(opened);
  await flushed;

  t.deepEqual(sequencesSince(radio.heard, before), [2, 3, 4, 5, 6]);
  t.deepEqual(client.counts, { sent: 6, acknowledged: 6, rejected: 0, spooled: 0, lost: 0 });
  t.deepEqual(disk.paths, []);
  await client.abort();
});

test("with a full buffer send does not wait, and the buffer stays below its bound", async (t) => {
  const opened = open({ bufferBytes: 2_000 });
  const { client, radio, disk } = opened;

  for (let n = 0; n < 1_000; n += 1) await client.send(sample(n)); // would wait for ever without a spool

  t.true(client.counts.spooled > 900);
  t.true(disk.usedBytes > 0);
  const closed = client.close();
  await answerAll(opened);
  await closed;
  t.deepEqual([...new Set(sequencesSince(radio.heard, 0))], upTo(1_000));
  t.is(sequencesSince(radio.heard, 0).length, 1_000, "what was on its way is not sent twice");
  t.is(radio.heard.filter(({ closingNote }) => closingNote !== undefined).length, 1);
  t.deepEqual(disk.paths, []);
});

test("what was on its way when it was moved counts when its acknowledgement comes, in whatever order", async (t) => {
  const { client, radio } = open({ bufferBytes: 100_000 });
  for (let n = 0; n < 502; n += 1) await client.send(sample(n));
  t.is(radio.pending, 2, "one of 1 and one of 500 messages are on their way");
  radio.acknowledge(1);
  await settled();
  for (let n = 502; client.counts.spooled === 0; n += 1) await client.send(sample(n));
  t.is(client.counts.acknowledged, 500);

  radio.acknowledge(0);
  await settled();

  t.true(client.counts.acknowledged >= 501);
  t.is(client.counts.acknowledged + client.counts.spooled, client.counts.sent);
  await client.abort();
});

test("no more than eight envelopes of the spool are on their way", async (t) => {
  const { client, radio, clock } = open();
  for (let n = 0; n < 6_000; n += 1) await client.send(sample(n));
  radio.break();
  await settled();

  clock.advance(60_000);
  await settled();

  t.is(radio.pending, 8);
  await client.abort();
});

test("a client that gives up leaves everything and its closing note to whoever sends the spool", async (t) => {
  const { client, disk } = open();
  for (let n = 0; n < 3; n += 1) await client.send(sample(n));

  const left = await client.abort();

  t.deepEqual(left, { messages: 3, spooled: 3, firstSequence: 1 });
  const got: Envelope[] = [];
  const sent = await sendLeft({
    disk,
    directory: spool,
    send: ({ bytes }) => Promise.resolve(got.push(Envelope.decode(bytes))),
    onProblem: (problem) => t.fail(problem.message),
  });
  t.deepEqual(sent, { segments: 1, messages: 3, bad: 0 });
  t.deepEqual(sequencesSince(got, 0), upTo(3));
  t.is(got.at(-1)?.closingNote?.lastSequence, 3n);
  t.deepEqual(disk.paths, []);
});

test("a close that is given up says what is left, where, and the command that sends it", async (t) => {
  const { client } = open();
  await client.send(sample(0));
  const giveUp = new AbortController();
  const closed = client.close(giveUp.signal);
  giveUp.abort();

  await t.throwsAsync(closed, {
    message:
      /1 of 1 messages are not acknowledged; 1 are kept in \/spool: send them with "parsl-collector spool/,
  });
});

test("what an aborted client has already had acknowledged is not spooled", async (t) => {
  const { client, radio, disk } = open();
  await client.send(sample(0));
  radio.acknowledge();
  await settled();

  t.deepEqual(await client.abort(), { messages: 0, spooled: 0, firstSequence: undefined });
  const got: Envelope[] = [];
  await sendLeft({
    disk,
    directory: spool,
    send: ({ bytes }) => Promise.resolve(got.push(Envelope.decode(bytes))),
    onProblem: (problem) => t.fail(problem.message),
  });
  t.deepEqual(
    got.map(({ messages, closingNote }) => [messages.length, closingNote?.lastSequence]),
    [[0, 1n]],
  );
});

test("a collector that will never take the messages leaves them in the spool", async (t) => {
  const { client, radio } = open();
  await client.send(sample(0));
  radio.break(new CollectorError("internal", "no such service"));
  await settled();

  t.is(client.state.at, "failed");
  t.is(client.counts.spooled, 1);
  await t.throwsAsync(client.send(sample(1)), { message: /no such service; 1 of 1 .* kept in \/spool/ });
});

test("a message of the spool that is refused for good is found, set aside with the reason, and holds up no other", async (t) => {
  const opened = open();
  const { client, radio, clock } = opened;
  for (let taskId = 0; taskId < 700; taskId += 1) await client.send(resourceInfo({ taskId }));
  const closed = client.close();
  radio.break();
  await settled();
  t.is(client.counts.spooled, 700);
  const stored = new Map<number, string>();

  for (let round = 0; round < 5_000 && client.state.at !== "closed"; round += 1) {
    clock.advance(60_000);
    await settled();
    if (radio.pending === 0) continue;
    const heard = radio.heard.at(-radio.pending);
    const isPoisoned = heard?.messages.some(
      ({ kind }) => kind?.$case === "resourceInfo" && kind.value.taskId === 612,
    );
    if (isPoisoned === true) {
      radio.break(new CollectorError("invalid-envelope", "too large"));
    } else {
      heard?.messages.forEach(({ kind }, index) =>
        stored.set(Number(heard.firstSequence) + index, kind?.$case ?? ""),
      );
      radio.acknowledge();
    }
    await settled();
  }

  await closed;
  t.is(stored.size, 700);
  t.deepEqual(
    [...stored].filter(([, kind]) => kind !== "resourceInfo"),
    [[613, "unreadableMessage"]],
  );
});

test("a disk that fails stops nothing: messages wait in memory, it is said once, and once that it is over", async (t) => {
  const opened = open({ bufferBytes: 2_000 });
  const { client, radio, clock, disk, warnings } = opened;
  disk.failure = new Error("EROFS: read-only file system");
  const sends: Promise<void>[] = [];
  for (let n = 0; n < 40; n += 1) sends.push(client.send(sample(n)));
  await settled();
  t.deepEqual(warnings, [
    "write to spool /spool: EROFS: read-only file system; messages wait in memory until it can be written",
  ]);
  t.is(client.counts.spooled, 0);

  radio.break();
  await settled();
  disk.failure = undefined;
  clock.advance(60_000);
  await settled();
  radio.break();
  await settled();

  t.deepEqual(warnings.slice(1), ["spool /spool: it can be written again"]);
  t.is(client.counts.spooled, 40);
  await Promise.all(sends);
  const closed = client.close();
  await answerAll(opened);
  await closed;
  t.deepEqual(disk.paths, []);
});

test("with a full spool the collector is told what was lost, and everything else arrives", async (t) => {
  const opened = open({ bufferBytes: 1_000, spoolBytes: 64 * 1024 });
  const { client, radio, disk } = opened;
  for (let n = 0; n < 3_000; n += 1) await client.send(sample(n));
  t.true(disk.usedBytes <= 64 * 1024);
  const { lost } = client.counts;
  t.true(lost > 100);

  const closed = client.close();
  await answerAll(opened);
  await closed;

  const told = radio.heard.flatMap(({ losses }) =>
    losses.flatMap(({ kind, sequences }) =>
      Array.from(
        { length: Number((sequences?.last ?? 0n) - (sequences?.first ?? 0n)) + 1 },
        (_, index) => `${kind} ${String(Number(sequences?.first) + index)}`,
      ),
    ),
  );
  const sent = sequencesSince(radio.heard, 0);
  t.is(new Set(told).size, lost);
  t.deepEqual(
    [...sent, ...[...new Set(told)].map((one) => Number(one.split(" ")[1]))].sort((a, b) => a - b),
    upTo(3_000),
  );
  t.true(told.every((one) => one.startsWith("RESOURCE_INFO ")));
  t.deepEqual(client.counts, { sent: 3_000, acknowledged: 3_000 - lost, rejected: 0, spooled: 0, lost });
});
