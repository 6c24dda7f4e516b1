import { createSecretKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import test from "ava";

import { Envelope } from "../../../src/model/envelope.js";
import { seal, unseal } from "../../../src/radios/udp/datagram.js";
import { isNote, splitEnvelope } from "../../../src/radios/udp/split.js";
import { sample, taskInfo } from "../../support/builders.js";
import { rollDice } from "../../support/dice.js";
import { envelopeOf, envelopeOfBytes, newSenderId } from "../../support/encoded.js";

/** What every sender's datagrams are held against, in hexadecimal digits; docs/WIRE.md tells their bytes. */
interface Vectors {
  readonly sealed: readonly Readonly<{
    key: string;
    stream: string;
    counter: number;
    envelope: string;
    datagram: string;
  }>[];
  readonly refused: readonly Readonly<{ why: string; key: string; datagram: string }>[];
  readonly split: readonly Readonly<{
    envelope: string;
    most_bytes: number;
    parts: readonly string[];
    note: string | null;
  }>[];
}

const path = fileURLToPath(new URL("../../../../tests/vectors/datagram.json", import.meta.url));
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;

for (const [index, vector] of vectors.sealed.entries()) {
  test(`datagram ${String(index)} is made and read as it stands in the vector`, (t) => {
    const key = secret(vector.key);
    const stream = bytes(vector.stream).toString("latin1");
    const envelope = bytes(vector.envelope);

    t.is(hex(seal(key, { stream, counter: vector.counter, envelope })), vector.datagram);
    t.deepEqual(unseal(key, bytes(vector.datagram)), { stream, counter: vector.counter, envelope });
  });
}

for (const [index, { why, key, datagram }] of vectors.refused.entries()) {
  test(`refused datagram ${String(index)} is ${why}`, (t) => {
    t.is<unknown, string>(unseal(secret(key), bytes(datagram)), why);
  });
}

for (const [index, vector] of vectors.split.entries()) {
  test(`envelope ${String(index)} is split as it stands in the vector`, (t) => {
    const { parts, note } = splitEnvelope(bytes(vector.envelope), vector.most_bytes);

    t.deepEqual(parts.map(hex), vector.parts);
    t.is(note === undefined ? null : hex(note), vector.note);
  });
}

test("random bytes of each length from 0 to 200 are no datagram, and throw nothing", (t) => {
  const dice = rollDice(t);
  const key = secret("00".repeat(32));

  for (let length = 0; length <= 200; length += 1) {
    const random = Buffer.from(Array.from({ length }, () => Math.floor(dice() * 256)));
    t.true(["malformed", "forged"].includes(unseal(key, random) as string), String(length));
    const magic = Buffer.concat([Buffer.from("PCU1"), random]);
    t.true(["malformed", "forged"].includes(unseal(key, magic) as string), String(length));
  }
});

test("an envelope is split into parts that say the same, and none is larger than it may be", (t) => {
  const dice = rollDice(t);
  for (let round = 0; round < 50; round += 1) {
    const count = Math.floor(dice() * 40);
    const mostBytes = 600 + Math.floor(dice() * 2_000);
    const messages = Array.from({ length: count }, (_, n) =>
      dice() < 0.5 ? sample(n) : taskInfo({ taskId: n, taskStdout: "x".repeat(Math.floor(dice() * 200)) }),
    );
    const losses = Array.from({ length: Math.floor(dice() * 60) }, (_, n) => ({
      first: n * 2 + 1,
      last: n * 2 + 1,
      kind: "RESOURCE_INFO",
    }));
    const first = 1 + Math.floor(dice() * 1_000);
    const envelope = envelopeOf(messages, { first, losses, lastSequence: first + count });

    const { parts, note } = splitEnvelope(envelope, mostBytes);

    const whole = Envelope.decode(envelope);
    const decoded = parts.map((part) => Envelope.decode(part));
    t.true(parts.every(({ length }) => length <= mostBytes));
    t.deepEqual(
      decoded.flatMap((part) => part.messages),
      whole.messages,
    );
    t.deepEqual(
      decoded.flatMap((part) => part.losses),
      whole.losses,
    );
    let next = whole.firstSequence;
    for (const part of decoded) {
      t.is(part.senderId, whole.senderId);
      t.is(part.runId, whole.runId);
      t.is(part.closingNote, undefined);
      if (part.messages.length > 0) t.is(part.firstSequence, next);
      next += BigInt(part.messages.length);
    }
    t.deepEqual(Envelope.decode(note ?? new Uint8Array()).closingNote, whole.closingNote);
  }
});

test("a message of a kind that is not known yet comes through a split unchanged", (t) => {
  const unknown = Buffer.from("aa0603616263", "hex"); // field 101: "abc"
  const envelope = envelopeOfBytes([unknown, unknown], { senderId: newSenderId() });

  const { parts } = splitEnvelope(envelope, envelope.length - 1);

  t.is(parts.length, 2);
  t.true(parts.every((part) => Buffer.from(part).includes(unknown)));
});

test("only an envelope without messages is a note, and only one that says a last sequence", (t) => {
  t.true(isNote(envelopeOf([], { lastSequence: 3 })));
  t.false(isNote(envelopeOf([sample(1)], { lastSequence: 3 })));
  t.false(isNote(envelopeOf([])));
  t.false(isNote(Buffer.from("ffffff", "hex")));
});

function secret(digits: string): KeyObject {
  return createSecretKey(bytes(digits));
}

function bytes(digits: string): Buffer {
  return Buffer.from(digits, "hex");
}

function hex(data: Uint8Array): string {
  return Buffer.from(data).toString("hex");
}
