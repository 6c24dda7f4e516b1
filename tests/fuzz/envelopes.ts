import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";

import { monitoringMessage } from "../../src/client/message.js";
import { MonitoringMessage } from "../../src/model/messages.js";
import * as build from "../support/builders.js";
import type { Dice } from "../support/dice.js";
import { envelopeOf, envelopeOfBytes, lengthDelimited } from "../support/encoded.js";
import { messageOnFewKeys } from "../support/few-keys.js";
import { goldenMessages } from "../support/golden.js";
import { mutated, oneOf, randomBytes, rolled } from "./mutations.js";

/** Few, so that their sequences overlap all the time. */
const senderIds = Array.from({ length: 6 }, (_, n) => `fuzz-${String(n)}`);

const lossKinds = ["", "RESOURCE_INFO", "TASK_INFO", "no kind of ours", "x".repeat(100)];

const extremeIntegers = [
  ...[0n, 1n, 127n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n],
  ...[2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
];

const extremeDoubles = [NaN, Infinity, -Infinity, -0, 5e-324, Number.MAX_VALUE, 2 ** 53 + 2];

const extremeTexts = [
  ...["", "\0", "'; DROP TABLE task; --", "\u{feff}x", "\u{10ffff}", "__proto__", "x".repeat(70_000)],
].map((text) => Buffer.from(text));
const brokenTexts = ["ff", "c080", "eda080", "f4908080", "e282", "61ff62"].map((hex) =>
  Buffer.from(hex, "hex"),
);

/** Seconds around the ends of what a table, a number and a field can hold. */
const extremeSeconds = [
  ...[-(2n ** 63n), -62_135_596_801n, -62_135_596_800n, -1n, 253_402_300_799n, 253_402_300_800n],
  ...[2n ** 53n, 2n ** 63n - 1n],
];
const extremeNanos = [-(2 ** 31), -1, 0, 999, 999_999_999, 1_000_000_000, 2 ** 31 - 1];

function extremeTimestamp(dice: Dice): Uint8Array {
  return new BinaryWriter()
    .tag(1, WireType.Varint)
    .int64(oneOf(dice, extremeSeconds))
    .tag(2, WireType.Varint)
    .int32(oneOf(dice, extremeNanos))
    .finish();
}

/** Fields of any number and type with a value at some edge. Later fields win, so they change what stands
 *  before them. */
function extremeFields(dice: Dice, highestField: number): Buffer {
  const writer = new BinaryWriter();
  for (let left = 1 + rolled(dice, 4); left > 0; left -= 1) {
    const field = 1 + rolled(dice, highestField);
    switch (rolled(dice, 5)) {
      case 0:
        writer.tag(field, WireType.Varint).uint64(oneOf(dice, extremeIntegers));
        break;
      case 1:
        writer.tag(field, WireType.Bit64).double(oneOf(dice, extremeDoubles));
        break;
      case 2:
        writer.tag(field, WireType.LengthDelimited).bytes(extremeTimestamp(dice));
        break;
      case 3:
        writer.tag(field, WireType.LengthDelimited).bytes(oneOf(dice, extremeTexts));
        break;
      case 4:
        writer.tag(field, WireType.LengthDelimited).bytes(oneOf(dice, brokenTexts));
        break;
    }
  }
  return Buffer.from(writer.finish());
}

/** Makes the bytes of envelopes: good ones, ones at the edge of what is allowed, and ones that are none. The
 *  same seed and dice make the same. */
export class EnvelopeSource {
  readonly #dice: Dice;
  readonly #messages: readonly Uint8Array[];

  constructor(seed: number, dice: Dice) {
    this.#dice = dice;
    const messages = [
      ...fc.sample(messageOnFewKeys, { seed, numRuns: 500 }),
      ...goldenMessages(),
      ...[build.workflowStart(), build.workflowEnd(), build.taskInfo(), build.workerTaskInfo()],
      ...[build.sample(1), build.nodeInfo(), build.blockInfo()],
    ];
    this.#messages = messages.map((message) => MonitoringMessage.encode(monitoringMessage(message)).finish());
  }

  next(): Uint8Array {
    const dice = this.#dice;
    const kind = dice();
    if (kind < 0.05) return randomBytes(dice, rolled(dice, 300));
    if (kind < 0.25) return this.#good();
    if (kind < 0.7) return mutated(this.#good(), dice);
    if (kind < 0.8) return Buffer.concat([this.#good(), extremeFields(dice, 10)]);
    if (kind < 0.999) return this.#of(this.#some().map((bytes) => this.#extreme(bytes)));
    return this.#large();
  }

  #good(): Uint8Array {
    return this.#of(this.#some());
  }

  #some(): Uint8Array[] {
    return Array.from({ length: rolled(this.#dice, 6) }, () => oneOf(this.#dice, this.#messages));
  }

  #of(messages: readonly Uint8Array[]): Uint8Array {
    const dice = this.#dice;
    const senderId = oneOf(dice, senderIds);
    // The highest that is allowed ends at 2^53 - 1.
    const first = dice() < 0.02 ? 2 ** 53 - 1 - rolled(dice, 10) : 1 + rolled(dice, 20_000);
    return envelopeOfBytes(messages, {
      senderId,
      first,
      ...(dice() < 0.02 ? { lastSequence: rolled(dice, 30_000) } : {}),
      ...(dice() < 0.05 ? { losses: this.#losses(1 + rolled(dice, 3)) } : {}),
    });
  }

  #losses(count: number): { first: number; last: number; kind: string }[] {
    return Array.from({ length: count }, () => {
      const first = 1 + rolled(this.#dice, 20_000);
      return { first, last: first + rolled(this.#dice, 50), kind: oneOf(this.#dice, lossKinds) };
    });
  }

  /** A message with values at the edges, in the fields of its own kind or beside them. */
  #extreme(message: Uint8Array): Uint8Array {
    const dice = this.#dice;
    if (dice() < 0.2) return Buffer.concat([message, extremeFields(dice, 15)]);
    const kind = oneOf(dice, [1, 2, 3, 4, 5, 6, 15]);
    // Fields of one kind that come apart are merged by the decoder of protobuf, or replace each other.
    const inside = extremeFields(dice, 30);
    const [start = 0] = message;
    const isSameKind =
      start >> 3 === kind && (message[1] ?? 0) < 128 && message.length === 2 + (message[1] ?? 0);
    const body = isSameKind ? Buffer.concat([message.subarray(2), inside]) : inside;
    return lengthDelimited(kind, body);
  }

  /** Few of these, for each takes as long as hundreds of others. */
  #large(): Uint8Array {
    const dice = this.#dice;
    const senderId = oneOf(dice, senderIds);
    switch (rolled(dice, 4)) {
      case 0:
        return envelopeOf([], { senderId, losses: this.#losses(5_000) });
      case 1: // empty messages, which are of no kind
        return Buffer.concat([envelopeOf([], { senderId }), Buffer.alloc(2 * 2_000, Buffer.from([0x32, 0]))]);
      case 2: // groups in groups
        return Buffer.concat([envelopeOf([], { senderId }), Buffer.alloc(20_000, (14 << 3) | 3)]);
      default: // fields of a client that is newer
        return Buffer.concat([envelopeOf([], { senderId }), Buffer.alloc(20_000, Buffer.from([14 << 3, 0]))]);
    }
  }
}
