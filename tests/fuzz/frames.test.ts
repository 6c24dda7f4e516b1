import { join } from "node:path";

import test from "ava";
import { pino } from "pino";

import { readEnvelope } from "../../src/agent/reading.js";
import { CollectorError } from "../../src/base/errors.js";
import { frameKinds, frameOf, FrameReader } from "../../src/radios/unix/frames.js";
import { openUnixReceiver } from "../../src/radios/unix/receiver.js";
import { openUnixSender } from "../../src/radios/unix/sender.js";
import { sample } from "../support/builders.js";
import { envelopeOf } from "../support/encoded.js";
import { EnvelopeInbox } from "../support/envelope-inbox.js";
import { diceOf } from "../support/dice.js";
import { throwAt } from "../support/raw-connection.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { budget, inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated, randomBytes, rolled } from "./mutations.js";

/** Bytes on the socket of a node. */

/** What is no envelope is told by an error, whichever. */
function isReadable(payload: Uint8Array): boolean {
  try {
    readEnvelope(payload);
    return true;
  } catch {
    return false;
  }
}

test("frames cut and changed anywhere give frames or one clear refusal, and an agent reads what is in them", (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  let [made, refused, frames, readable] = [0, 0, 0, 0];

  for (const goesOn = budget(inputs / 4, 1 / 4); goesOn(made); made += 1) {
    const sound = Buffer.concat([
      ...frameOf(frameKinds.envelope, source.next()),
      ...frameOf(rolled(dice, 256), source.next()),
    ]);
    const bytes = dice() < 0.2 ? randomBytes(dice, rolled(dice, 100)) : mutated(sound, dice);
    const reader = new FrameReader();
    try {
      for (let from = 0; from < bytes.length;) {
        const size = 1 + rolled(dice, 300);
        for (const { payload } of reader.take(Buffer.from(bytes.subarray(from, from + size)))) {
          frames += 1;
          readable += isReadable(payload) ? 1 : 0;
        }
        from += size;
      }
    } catch (cause) {
      if (!(cause instanceof CollectorError && cause.code === "invalid-envelope")) throw cause;
      refused += 1;
    }
  }

  t.true(frames > 0 && refused > 0);
  t.true(readable > 0 && readable < frames, "envelopes and what is none");
  t.log(`${String(made)} inputs, ${String(frames)} frames, ${String(refused)} refused; seed ${String(seed)}`);
});

test("a socket to which anything was written goes on serving", async (t) => {
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  const inbox = new EnvelopeInbox();
  const path = join(temporaryDirectory(t), "socket");
  const receiver = await openUnixReceiver(path, inbox, { logger: pino({ level: "silent" }) });
  t.teardown(() => receiver[Symbol.asyncDispose]());

  for (let n = 0; n < 300; n += 1) {
    const sound = Buffer.concat(frameOf(frameKinds.envelope, source.next()));
    await throwAt(
      `unix:${path}`,
      dice() < 0.3 ? randomBytes(dice, rolled(dice, 1_000)) : mutated(sound, dice),
    );
  }

  await using sender = openUnixSender(path);
  const senderId = "f".repeat(32);
  const bytes = envelopeOf([sample(1)], { senderId, first: 1 });
  t.is((await sender.send({ bytes, senderId, firstSequence: 1, count: 1 })).delivery, "stored");
});
