import test from "ava";
import fc from "fast-check";

import { monitoringMessage, type Message } from "../../src/client/message.js";
import { MonitoringMessage } from "../../src/model/messages.js";
import { readEnvelope, type ReceivedEnvelope } from "../../src/server/envelope-reader.js";
import { nodeInfo, runId, sample, taskInfo } from "../support/builders.js";
import { envelopeOf, envelopeOfBytes, lengthDelimited } from "../support/encoded.js";

function read(bytes: Uint8Array): ReceivedEnvelope {
  const envelope = readEnvelope(bytes);
  if ("invalid" in envelope) throw new Error(`the envelope is invalid: ${envelope.invalid}`);
  return envelope;
}

function invalid(bytes: Uint8Array): string | undefined {
  const envelope = readEnvelope(bytes);
  return "invalid" in envelope ? envelope.invalid : undefined;
}

const good = MonitoringMessage.encode(monitoringMessage(taskInfo())).finish();
/** Says that 100 bytes follow, and one does. */
const torn = Uint8Array.of(0x12, 100, 0x10);

test("an envelope says its sender, its context, its sequences and its messages", (t) => {
  const senderId = "0123456789abcdef0123456789abcdef";
  const messages = [sample(1), sample(2), sample(3)];

  const envelope = read(
    envelopeOf(messages, { senderId, first: 5, hostname: "n7", utcOffsetSeconds: -28_800 }),
  );

  t.is(envelope.senderId, senderId);
  t.deepEqual(envelope.context, { runId, hostname: "n7" });
  t.is(envelope.utcOffsetSeconds, -28_800);
  t.deepEqual(envelope.sequences, { first: 5, last: 7 });
  t.is(envelope.messages.length, 3);
  t.is(envelope.lastSequence, undefined);
});

test("a closing note may come with no message", (t) => {
  const envelope = read(envelopeOf([], { first: 0, lastSequence: 12 }));

  t.is(envelope.sequences, undefined);
  t.is(envelope.lastSequence, 12);
});

test("a message with broken bytes costs only itself", (t) => {
  const envelope = read(envelopeOfBytes([good, torn, good], { first: 10 }));

  t.deepEqual(envelope.sequences, { first: 10, last: 12 });
  t.deepEqual(
    envelope.messages.map((message) => ("unreadable" in message ? "unreadable" : message.kind?.$case)),
    ["taskInfo", "unreadable", "taskInfo"],
  );
  t.deepEqual(Buffer.from(envelope.bytesOf(1)), Buffer.from(torn));
});

test("a message of a kind that is not known yet is read as one of no kind, bytes kept", (t) => {
  const field14 = Uint8Array.of((14 << 3) | 2, 2, 0x08, 1);

  const envelope = read(envelopeOfBytes([good, field14]));

  t.is((envelope.messages[1] as MonitoringMessage).kind, undefined);
  t.deepEqual(Buffer.from(envelope.bytesOf(1)), Buffer.from(field14));
});

test("fields of a newer client are passed over", (t) => {
  const unknown = Uint8Array.of(((100 << 3) & 0x7f) | 0x80, (100 << 3) >>> 7, 7); // field 100, varint 7

  const envelope = read(Buffer.concat([envelopeOf([sample(1)]), unknown]));

  t.is(envelope.messages.length, 1);
});

test("an envelope without a usable sender or sequence says what it wants and what came", (t) => {
  t.regex(invalid(envelopeOf([sample(1)], { senderId: "" })) ?? "", /sender_id .* 1 to 64 .* got 0/);
  t.regex(invalid(envelopeOf([], { senderId: "s".repeat(65) })) ?? "", /sender_id .* got 65/);
  t.regex(invalid(envelopeOf([sample(1)], { first: 0 })) ?? "", /first_sequence .* got 0/);
  const last = Number.MAX_SAFE_INTEGER;
  t.is(invalid(envelopeOf([sample(1)], { first: last })), undefined);
  t.regex(invalid(envelopeOf([sample(1), sample(2)], { first: last })) ?? "", /first_sequence/);
  t.regex(invalid(envelopeOf([], { lastSequence: last + 1 })) ?? "", /last_sequence .* below 2\^53/);
  t.regex(invalid(torn) ?? "", /no envelope/);
});

test("an envelope of more messages or losses than memory should hold is refused before it is decoded", (t) => {
  const empty = envelopeOf([]);
  const of = (count: number, field: Buffer): Uint8Array =>
    Buffer.concat([empty, Buffer.alloc(count * field.length, field)]);
  const message = lengthDelimited(6, new Uint8Array());
  const loss = lengthDelimited(8, Buffer.from("0a0408011001", "hex")); // of sequence 1

  t.false("invalid" in readEnvelope(of(20_000, message)));
  t.regex(invalid(of(20_001, message)) ?? "", /more than 20000 messages; send several envelopes/);
  t.false("invalid" in readEnvelope(of(100_000, loss)));
  t.regex(invalid(of(100_001, loss)) ?? "", /more than 100000 losses/);
});

test("the name of a run or host that is longer than any is refused, for it would stand in every row", (t) => {
  const long = "x".repeat(257);

  t.regex(invalid(envelopeOf([], { runId: long })) ?? "", /run_id may have 256 characters, got 257/);
  t.regex(invalid(envelopeOf([], { hostname: long })) ?? "", /hostname may have 256 characters, got 257/);
});

test("a NodeInfo of more than a MiB costs only itself, and a task may have more", (t) => {
  const encode = (message: Message): Uint8Array =>
    MonitoringMessage.encode(monitoringMessage(message)).finish();
  const tasks = Array.from({ length: 1024 * 1024 }, () => 1n);
  const large = [nodeInfo({ tasks }), taskInfo({ taskInputs: "x".repeat(2 * 1024 * 1024) })].map(encode);

  const { messages } = read(envelopeOfBytes([...large, good]));

  const [first] = messages;
  t.regex(
    first !== undefined && "unreadable" in first ? first.unreadable : "",
    /a NODE_INFO of \d+ bytes, at most 1048576/,
  );
  t.deepEqual(
    messages.slice(1).map((message) => "unreadable" in message),
    [false, false],
  );
});

test("bytes of any kind are an envelope or are invalid, and never a crash", (t) => {
  const whole = envelopeOf([taskInfo(), sample(1), sample(2)]);
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    // Nearly an envelope: one cut short, or with some bytes changed.
    fc.nat({ max: whole.length }).map((end) => whole.subarray(0, end)),
    fc.array(fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }))).map((changes) => {
      const changed = Uint8Array.from(whole);
      for (const [at, value] of changes) changed[at] = value;
      return changed;
    }),
  );

  fc.assert(
    fc.property(bytes, (any) => {
      const envelope = readEnvelope(any);

      if ("invalid" in envelope) t.true(envelope.invalid.length > 0);
      else envelope.messages.forEach((_, index) => t.true(envelope.bytesOf(index) instanceof Uint8Array));
    }),
    { numRuns: 2_000 },
  );
});

test("groups nested without end are invalid, and never a crash", (t) => {
  const startGroup = (100 << 3) | 3; // of field 100, which nobody knows
  const nested = Buffer.concat(
    Array.from({ length: 100_000 }, () => Buffer.from([(startGroup & 0x7f) | 0x80, startGroup >>> 7])),
  );

  t.true("invalid" in readEnvelope(nested));
});
