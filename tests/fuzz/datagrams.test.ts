import { createSecretKey } from "node:crypto";

import test from "ava";

import { seal, unseal } from "../../src/radios/udp/datagram.js";
import { Streams } from "../../src/radios/udp/replay.js";
import { diceOf, type Dice } from "../support/dice.js";
import { budget, inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated, randomBytes, rolled } from "./mutations.js";

/** Datagrams from anybody who reaches the port. */

/** Near the last ones, near the ends of what a number holds, and anywhere. */
function counterOf(dice: Dice): number {
  const kind = dice();
  if (kind < 0.5) return 1 + rolled(dice, 10_000);
  if (kind < 0.9) return Number.MAX_SAFE_INTEGER - rolled(dice, 10_000);
  return 1 + rolled(dice, Number.MAX_SAFE_INTEGER);
}

test("a datagram that is not what its sender sealed is refused, whatever its bytes, and none is taken twice", (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  const key = createSecretKey(randomBytes(dice, 32));
  let made = 0;
  const streams = new Streams();
  let genuine = 0;

  for (const goesOn = budget(inputs / 4, 1 / 4); goesOn(made); made += 1) {
    const datagram = { stream: "s".repeat(16), counter: counterOf(dice), envelope: source.next() };
    const sealed = seal(key, datagram);
    const kind = dice();
    const came =
      kind < 0.1 ? randomBytes(dice, rolled(dice, 200)) : kind < 0.2 ? sealed : mutated(sealed, dice);
    const read = unseal(key, came);

    if (typeof read !== "string") {
      if (!came.equals(sealed)) throw new Error("a datagram that was changed is taken for genuine");
      streams.take(read.stream, read.counter);
      if (streams.take(read.stream, read.counter)) throw new Error("a datagram is taken twice");
      genuine += 1;
    }
    if (came.equals(sealed) && typeof read === "string") throw new Error("a genuine datagram is refused");
  }

  t.true(genuine > 0 && genuine < made);
  t.log(`${String(made)} datagrams, ${String(genuine)} of them came as they were sent; seed ${String(seed)}`);
});
