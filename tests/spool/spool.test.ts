import test from "ava";

import type { CollectorError } from "../../src/base/errors.js";
import { encodeRecord, readRecords } from "../../src/base/records.js";
import type { Message } from "../../src/client/message.js";
import { Envelope } from "../../src/model/envelope.js";
import { kindName } from "../../src/model/kinds.js";
import type { OutgoingEnvelope } from "../../src/radios/radio.js";
import { ownerHere, readSegment } from "../../src/spool/segment.js";
import { Spool } from "../../src/spool/spool.js";
import { resourceInfo, sample, taskInfo } from "../support/builders.js";
import { envelopeOf } from "../support/encoded.js";
import { SimulatedDisk } from "../support/simulated-disk.js";

const senderId = "a".repeat(32);
const directory = "/spool";

function open({ disk = new SimulatedDisk(), mostBytes = 1024 ** 2 } = {}): {
  spool: Spool;
  disk: SimulatedDisk;
  problems: string[];
} {
  const problems: string[] = [];
  const onDamage = ({ message }: CollectorError): void => void problems.push(message);
  const owner = ownerHere(senderId, "run-a");
  return { spool: new Spool({ disk, directory, owner, mostBytes, onDamage }), disk, problems };
}

/** Envelopes of these messages, as many in each, from sequence `first` on. */
function envelopes(messages: readonly Message[], inEach = 1, first = 1): OutgoingEnvelope[] {
  const cut: OutgoingEnvelope[] = [];
  for (let from = 0; from < messages.length; from += inEach) {
    const some = messages.slice(from, from + inEach);
    const bytes = envelopeOf(some, { senderId, runId: "run-a", first: first + from });
    cut.push({ bytes, senderId, firstSequence: first + from, count: some.length });
  }
  return cut;
}

function samples(count: number): Message[] {
  return Array.from({ length: count }, (_, n) => sample(n));
}

/** The sequences that a spool offers to send, and the losses that it tells, by kind. */
function offered(spool: Spool): { sequences: number[]; lost: Record<string, number[]>; notes: number } {
  const sequences: number[] = [];
  const lost: Record<string, number[]> = {};
  let notes = 0;
  for (let next = spool.next(); next !== undefined; next = spool.next()) {
    const { messages, firstSequence, losses, closingNote } = Envelope.decode(next.envelope.bytes);
    messages.forEach((_, index) => sequences.push(Number(firstSequence) + index));
    for (const { kind, sequences: range } of losses) {
      for (let one = range?.first ?? 0n; one <= (range?.last ?? -1n); one += 1n) {
        (lost[kind] ??= []).push(Number(one));
      }
    }
    if (closingNote !== undefined) notes += 1;
    spool.acknowledge(next.entry);
  }
  return { sequences, lost, notes };
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

test("envelopes come out byte for byte as they went in, in order, and leave nothing behind", (t) => {
  const { spool, disk } = open();
  const given = envelopes(samples(7), 3);
  spool.append(given);

  const got = [spool.next(), spool.next(), spool.next()];

  t.deepEqual(
    got.map((one) => one?.envelope.bytes),
    given.map(({ bytes }) => Buffer.from(bytes)),
  );
  t.is(spool.next(), undefined);
  t.is(spool.messages, 7);
  for (const one of got) if (one !== undefined) spool.acknowledge(one.entry);
  t.true(spool.isEmpty);
  t.deepEqual(disk.paths, []);
});

test("what was sent and not acknowledged is offered again after a break, and nothing else", (t) => {
  const { spool } = open();
  spool.append(envelopes(samples(4)));
  const first = spool.next();
  spool.next();
  if (first !== undefined) spool.acknowledge(first.entry);

  spool.rewind();

  t.is(spool.from, 2);
  t.deepEqual(offered(spool).sequences, [2, 3, 4]);
});

test("what append has returned from survives a power cut; what it was writing costs only itself", (t) => {
  const { spool, disk } = open();
  spool.append(envelopes(samples(3)));
  const [path = ""] = disk.paths;
  const synced = disk.read(path).length;
  disk.append(path, envelopeOf(samples(1), { senderId, first: 4 })); // as torn as it gets

  for (const share of [0, 0.3, 0.999]) {
    const segment = readSegment(disk.afterPowerCut(share), path);
    if ("foreign" in segment) return t.fail(segment.foreign);
    t.is(segment.envelopes.length, 3);
    t.is(segment.bytes - segment.restBytes, synced);
    t.is(segment.owner.senderId, senderId);
  }
});

test("a segment is left when it is full, and goes when all in it is acknowledged, in whatever order", (t) => {
  const { spool, disk } = open({ mostBytes: 64 * 1024 });
  spool.append(envelopes(samples(200), 5));
  t.true(disk.paths.length > 2, `${String(disk.paths.length)} segments`);
  for (const path of disk.paths) t.true(disk.read(path).length <= 8 * 1024);

  const entries = [];
  for (let next = spool.next(); next !== undefined; next = spool.next()) entries.push(next.entry);
  for (const entry of entries.toReversed()) spool.acknowledge(entry);

  t.true(spool.isEmpty);
  t.deepEqual(disk.paths, []);
});

test("when it is full the oldest samples go first, and each is told as lost under its kind", (t) => {
  const { spool, disk } = open({ mostBytes: 64 * 1024 });
  const messages = Array.from({ length: 600 }, (_, n) => (n % 2 === 0 ? sample(n) : taskInfo({ taskId: n })));
  for (const envelope of envelopes(messages, 10)) spool.append([envelope]);

  t.true(disk.usedBytes <= 64 * 1024, `${String(disk.usedBytes)} bytes`);
  t.is(disk.usedBytes, spool.bytes);
  const { sequences, lost } = offered(spool);
  const lostSamples = lost["RESOURCE_INFO"] ?? [];
  t.true(lostSamples.length > 0);
  t.deepEqual(Object.keys(lost), ["RESOURCE_INFO"], "no state change is lost while there are samples");
  t.deepEqual(
    lostSamples,
    upTo(600)
      .filter((one) => one % 2 === 1)
      .slice(0, lostSamples.length),
    "the oldest ones",
  );
  t.is(spool.lost, lostSamples.length);
  t.deepEqual(
    [...sequences, ...lostSamples].sort((a, b) => a - b),
    upTo(600),
  );
});

test("when no sample is left the oldest state changes go, and still each message is sent or told as lost", (t) => {
  const { spool, disk } = open({ mostBytes: 64 * 1024 });
  const messages = Array.from({ length: 3_000 }, (_, n) =>
    n % 3 === 0 ? sample(n) : taskInfo({ taskId: n }),
  );
  for (const envelope of envelopes(messages, 10)) spool.append([envelope]);

  t.true(disk.usedBytes <= 64 * 1024, `${String(disk.usedBytes)} bytes`);
  const { sequences, lost } = offered(spool);
  const given = Object.values(lost).flat();
  t.deepEqual(
    [...sequences, ...given].sort((a, b) => a - b),
    upTo(3_000),
  );
  t.is(spool.lost, given.length);
  t.is(
    lost["RESOURCE_INFO"]?.length,
    upTo(3_000).filter((n) => (n - 1) % 3 === 0 && !sequences.includes(n)).length,
  );
  const states = lost["TASK_INFO"] ?? [];
  t.deepEqual(
    states,
    upTo(3_000)
      .filter((n) => (n - 1) % 3 !== 0)
      .slice(0, states.length),
  );
  t.true(states.length > 1_000);
});

test("the losses of many segments that were given up do not add up", (t) => {
  const { spool, disk } = open({ mostBytes: 64 * 1024 });
  for (const envelope of envelopes(
    Array.from({ length: 5_000 }, (_, n) => taskInfo({ taskId: n })),
    10,
  ))
    spool.append([envelope]);

  t.true(disk.paths.length < 12, disk.paths.join(" "));
  t.true(disk.usedBytes <= 64 * 1024);
  t.is(offered(spool).lost["TASK_INFO"]?.length, spool.lost);
});

test("an envelope on its way is not given up, and a closing note never is", (t) => {
  const { spool } = open({ mostBytes: 64 * 1024 });
  spool.append(envelopes(samples(10), 10));
  const note = envelopeOf([], { senderId, runId: "run-a", first: 0, lastSequence: 999 });
  spool.append([{ bytes: note, senderId, firstSequence: 0, count: 0 }]);
  const onItsWay = spool.next();

  const messages = Array.from({ length: 989 }, (_, n) => taskInfo({ taskId: n }));
  for (const envelope of envelopes(messages, 10, 11)) spool.append([envelope]);

  spool.rewind();
  const { sequences, lost, notes } = offered(spool);
  t.deepEqual(sequences.slice(0, 10), upTo(10));
  t.is(onItsWay?.envelope.firstSequence, 1);
  t.is(notes, 1);
  t.deepEqual(
    [...sequences, ...Object.values(lost).flat()].sort((a, b) => a - b),
    upTo(999),
  );
});

test("an envelope that is larger than the whole spool is told as lost", (t) => {
  const { spool } = open({ mostBytes: 64 * 1024 });
  spool.append(envelopes([taskInfo({ taskInputs: "x".repeat(70_000) }), sample(1)], 1));

  const { sequences, lost } = offered(spool);

  t.deepEqual({ sequences, lost }, { sequences: [2], lost: { TASK_INFO: [1] } });
});

test("a disk that fills up refuses the batch; later ones are whole, and what was there before is too", (t) => {
  const { spool, disk } = open();
  spool.append(envelopes(samples(5)));
  disk.capacity = disk.usedBytes + 100;

  t.throws(() => spool.append(envelopes(samples(5), 1, 6)), { message: /ENOSPC/ });
  t.is(spool.messages, 5);

  disk.capacity = Infinity;
  spool.append(envelopes(samples(5), 1, 6));
  t.deepEqual(offered(spool).sequences, upTo(10));
  t.deepEqual(disk.paths, [], "the torn file too is gone");
});

test("bytes that the disk does not give back are told as lost, once, and hold up nothing", (t) => {
  const { spool, disk, problems } = open();
  spool.append(envelopes(samples(9), 3));
  const [path = ""] = disk.paths;
  disk.tamper(path, (bytes) => {
    const middle = Math.floor(bytes.length / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    return bytes;
  });

  spool.next();
  spool.next();
  spool.rewind();
  const { sequences, lost } = offered(spool);

  t.deepEqual(sequences, [1, 2, 3, 7, 8, 9]);
  t.deepEqual(lost, { "": [4, 5, 6] });
  t.is(problems.length, 1);
  t.regex(
    problems[0] ?? "",
    /^read \/spool\/a{32}-000001\.spool: it is damaged; 3 messages from sequence 4 on/,
  );
  t.is(spool.lost, 3);
});

test("a spool whose files were removed behind its back tells all in them as lost, and goes on", (t) => {
  const { spool, disk, problems } = open();
  spool.append(envelopes(samples(4), 2));
  for (const path of disk.paths) disk.remove(path);

  t.throws(() => spool.append(envelopes(samples(1), 1, 5)), { message: /ENOENT/ });
  spool.append(envelopes(samples(1), 1, 5));

  const { sequences, lost } = offered(spool);
  t.deepEqual({ sequences, lost }, { sequences: [5], lost: { "": [1, 2, 3, 4] } });
  t.is(problems.length, 2);
});

test("a part that takes the place of an envelope is sent in its order", (t) => {
  const { spool } = open();
  spool.append(envelopes(samples(4), 2));
  const first = spool.next();
  if (first === undefined) return t.fail("nothing to send");

  spool.replace(first.entry, envelopes(samples(2), 1));
  spool.rewind();

  t.is(spool.from, 1);
  t.deepEqual(offered(spool).sequences, [1, 2, 3, 4]);
});

test("a record's kind that a reader does not know is skipped, and a foreign or ownerless file is told from a segment", (t) => {
  const disk = new SimulatedDisk();
  const { spool } = open({ disk });
  spool.append(envelopes([resourceInfo()]));
  const [path = ""] = disk.paths;
  disk.append(path, encodeRecord(77, Buffer.from("of a later version")));
  spool.append(envelopes([taskInfo()], 1, 2));

  const segment = readSegment(disk, path);

  if ("foreign" in segment) return t.fail(segment.foreign);
  const kinds = segment.envelopes.flatMap((bytes) => Envelope.decode(bytes).messages.map(kindName));
  t.deepEqual(kinds, ["RESOURCE_INFO", "TASK_INFO"]);
  t.is(segment.restBytes, 0);
  disk.create("/spool/x.spool", Buffer.from("not a segment"));
  t.deepEqual(readSegment(disk, "/spool/x.spool"), { foreign: "it does not begin with PCSPOOL1" });
  const whole = Buffer.from(disk.read(path));
  const ownerBytes = readRecords(whole, "PCSPOOL1")?.records[0]?.payload.length ?? 0;
  disk.create("/spool/y.spool", whole.subarray(0, 8 + 9 + ownerBytes - 1));
  t.deepEqual(readSegment(disk, "/spool/y.spool"), { foreign: "it does not say whose it is" });
});
