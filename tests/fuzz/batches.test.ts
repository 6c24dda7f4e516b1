import test from "ava";

import { encodeBatch, readBatch } from "../../src/radios/filesystem/batch.js";
import { diceOf } from "../support/dice.js";
import { budget, inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated, randomBytes, rolled } from "./mutations.js";

/** Files of the filesystem radio, as a crash, a bad disk or a stranger leaves them. */

test("of a batch that was cut or damaged the envelopes before the fault are read, and it is told", (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  let made = 0;
  let faults = 0;

  for (const goesOn = budget(inputs / 4, 1 / 4); goesOn(made); made += 1) {
    const envelopes = Array.from({ length: rolled(dice, 4) }, () => source.next());
    const file = Buffer.from(encodeBatch(envelopes));
    const kind = dice();
    const came = kind < 0.1 ? randomBytes(dice, rolled(dice, 200)) : kind < 0.4 ? file : mutated(file, dice);
    const read = readBatch(came);

    if (read.fault !== undefined) faults += 1;
    const whole = Buffer.from(encodeBatch(read.envelopes));
    // But for the 8 bytes that name the format: a batch with no whole record has no need to have them.
    if (read.envelopes.length > 0 && !whole.equals(came.subarray(0, whole.length))) {
      throw new Error("the envelopes that were read are not those of the file");
    }
    if (read.fault === undefined && whole.length !== came.length) throw new Error("a fault is not told");
    if (came.equals(file) && read.fault !== undefined) throw new Error("a whole batch is told as faulty");
  }

  t.true(faults > 0 && faults < made);
  t.log(`${String(made)} batches, ${String(faults)} with a fault; seed ${String(seed)}`);
});
