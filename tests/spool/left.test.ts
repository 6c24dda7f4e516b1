import { hostname } from "node:os";

import test from "ava";

import { CollectorError } from "../../src/base/errors.js";
import { Envelope } from "../../src/model/envelope.js";
import { leftIn, sendLeft, type SendOptions } from "../../src/spool/left.js";
import { envelopeRecord, openingOf, segmentName, type Owner } from "../../src/spool/segment.js";
import { sample } from "../support/builders.js";
import { envelopeOf } from "../support/encoded.js";
import { SimulatedDisk } from "../support/simulated-disk.js";

const directory = "/spool";

/** No process has this number: Linux gives none above 2^22. */
const deadPid = 2 ** 22 + 1;

function owner(fields: Partial<Owner> = {}): Owner {
  const senderId = "a".repeat(32);
  return { senderId, runId: "run-a", hostname: hostname(), pid: deadPid, processStarted: 1, ...fields };
}

/** Leaves a segment with so many envelopes of two messages each. */
function leave(disk: SimulatedDisk, count: number, fields: Partial<Owner> = {}, number = 1): string {
  const whose = owner(fields);
  const path = `${directory}/${segmentName(whose.senderId, number)}`;
  const records = Array.from({ length: count }, (_, index) =>
    envelopeRecord(
      envelopeOf([sample(index), sample(index + 1_000)], {
        senderId: whose.senderId,
        first: (number - 1) * 2 * count + index * 2 + 1,
      }),
    ),
  );
  disk.create(path, Buffer.concat([openingOf(whose), ...records]));
  disk.sync(path);
  return path;
}

interface Sending extends SendOptions {
  readonly disk: SimulatedDisk;
  readonly sequences: string[];
  readonly problems: string[];
}

function sending(disk = new SimulatedDisk(), fields: Partial<Pick<SendOptions, "send">> = {}): Sending {
  const sequences: string[] = [];
  const problems: string[] = [];
  return {
    disk,
    directory,
    sequences,
    problems,
    send: ({ senderId, firstSequence }) =>
      Promise.resolve(sequences.push(`${senderId.slice(0, 1)}${String(firstSequence)}`)),
    onProblem: ({ message }) => void problems.push(message),
    ...fields,
  };
}

test("what dead owners left is sent in order, under their own names, and removed", async (t) => {
  const options = sending();
  leave(options.disk, 2, {}, 1);
  leave(options.disk, 1, {}, 2);
  leave(options.disk, 1, { senderId: "b".repeat(32), processStarted: undefined });

  const sent = await sendLeft(options);

  t.deepEqual(sent, { segments: 3, messages: 8, bad: 0 });
  t.deepEqual(options.sequences, ["a1", "a3", "a3", "b1"]);
  t.deepEqual(options.disk.paths, []);
});

test("what a process that runs may still write is left to it", async (t) => {
  const options = sending();
  const parent = leave(options.disk, 1, { pid: process.ppid, processStarted: undefined });

  t.deepEqual(await sendLeft(options), { segments: 0, messages: 0, bad: 0 });

  t.deepEqual(options.disk.paths, [parent]);
  t.is(leftIn(options.disk, directory).length, 1);
});

test("a process that has only the number of the owner is not taken for it", async (t) => {
  const options = sending();
  leave(options.disk, 1, { pid: process.ppid, processStarted: 1 });

  t.is((await sendLeft(options)).segments, 1);
});

test("segments of another host are sent only when it is said so", async (t) => {
  const options = sending();
  leave(options.disk, 1, { hostname: "elsewhere" });

  t.is((await sendLeft(options)).segments, 0);
  t.is((await sendLeft({ ...options, allHosts: true })).segments, 1);
});

test("of a segment cut or damaged at any byte what is whole is sent; the file is kept and told of once", async (t) => {
  const whole = new SimulatedDisk();
  const path = leave(whole, 3);
  const bytes = Buffer.from(whole.read(path));
  for (let length = 0; length < bytes.length; length += 7) {
    const options = sending();
    options.disk.create(path, bytes.subarray(0, length));

    const { bad } = await sendLeft(options);
    await sendLeft(options);

    t.is(options.problems.length, bad);
    t.deepEqual(options.sequences, ["a1", "a3", "a5"].slice(0, options.sequences.length));
    t.deepEqual(options.disk.paths, bad === 0 ? [] : [`${path}.bad`]);
    if (bad > 0) t.deepEqual(Buffer.from(options.disk.read(`${path}.bad`)), bytes.subarray(0, length));
  }
});

test("a foreign file is kept under another name, told of, and stops nothing", async (t) => {
  const options = sending();
  options.disk.create(`${directory}/0.spool`, Buffer.from("no segment at all"));
  options.disk.create(`${directory}/notes.txt`, Buffer.from("a user's"));
  leave(options.disk, 1);

  t.deepEqual(await sendLeft(options), { segments: 1, messages: 2, bad: 1 });

  t.deepEqual(options.problems, [
    "read /spool/0.spool: it does not begin with PCSPOOL1; nothing of it is sent; it is kept as /spool/0.spool.bad",
  ]);
  t.deepEqual(options.disk.paths, ["/spool/0.spool.bad", "/spool/notes.txt"]);
});

test("a record that is no envelope is told of, and all others are sent", async (t) => {
  const options = sending();
  const path = leave(options.disk, 1);
  options.disk.append(path, envelopeRecord(Buffer.from([255, 255, 255])));

  t.deepEqual(await sendLeft(options), { segments: 1, messages: 2, bad: 1 });
  t.regex(options.problems[0] ?? "", /1 of its records are no envelopes; all others are sent/);
});

test("an envelope whose sequences no field can hold is told of, and all others are sent", async (t) => {
  const options = sending();
  const path = leave(options.disk, 1);
  const { messages, ...head } = Envelope.decode(envelopeOf([sample(1), sample(2)]));
  const beyond = Envelope.encode({ ...head, messages, firstSequence: 2n ** 64n - 1n }).finish();
  options.disk.append(path, envelopeRecord(beyond));

  t.deepEqual(await sendLeft(options), { segments: 1, messages: 2, bad: 1 });
  t.deepEqual(options.sequences, ["a1"]);
});

test("when the collector goes away the rest stays where it is, and nothing is told as sent", async (t) => {
  let left = 2;
  const options = sending(new SimulatedDisk(), {
    send: () => {
      left -= 1;
      return left < 0 ? Promise.reject(new CollectorError("unavailable", "gone")) : Promise.resolve();
    },
  });
  const path = leave(options.disk, 3);

  await t.throwsAsync(sendLeft(options), { message: "gone" });

  t.deepEqual(options.disk.paths, [path]);
});

test("a message that is refused for good is replaced by its reason, and what is refused all the same is kept as bad", async (t) => {
  const kinds: string[] = [];
  const refuse =
    (isRefused: (envelope: Envelope) => boolean): SendOptions["send"] =>
    ({ bytes }) => {
      const envelope = Envelope.decode(bytes);
      if (isRefused(envelope)) return Promise.reject(new CollectorError("invalid-envelope", "too large"));
      for (const { kind } of envelope.messages) kinds.push(kind?.$case ?? "");
      return Promise.resolve();
    };
  const isPoisoned = ({ messages, firstSequence }: Envelope): boolean =>
    messages.some(
      ({ kind }, index) => firstSequence + BigInt(index) === 2n && kind?.$case === "resourceInfo",
    );
  const options = sending(new SimulatedDisk(), { send: refuse(isPoisoned) });
  leave(options.disk, 2);

  t.deepEqual(await sendLeft(options), { segments: 1, messages: 4, bad: 0 });
  t.deepEqual(kinds.sort(), ["resourceInfo", "resourceInfo", "resourceInfo", "unreadableMessage"]);

  const refusing = sending(new SimulatedDisk(), { send: refuse(() => true) });
  leave(refusing.disk, 1);
  leave(refusing.disk, 1, { senderId: "b".repeat(32) });
  t.is((await sendLeft(refusing)).bad, 2);
  t.regex(refusing.problems[0] ?? "", /some of it is refused: too large; it is kept as .*\.bad$/);
});

test("what its owner was rewriting when it died goes with the segment", async (t) => {
  const options = sending();
  const path = leave(options.disk, 1);
  options.disk.create(`${path}.tmp`, Buffer.from("half"));

  await sendLeft(options);

  t.deepEqual(options.disk.paths, []);
});
