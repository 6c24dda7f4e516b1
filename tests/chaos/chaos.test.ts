import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import test from "ava";

import { rollDice } from "../support/dice.js";
import { runChaos } from "./run.js";

/** PARSL_COLLECTOR_CHAOS_SECONDS makes it longer. */
const seconds = Number(process.env["PARSL_COLLECTOR_CHAOS_SECONDS"] ?? 60);

test("through cuts, delays and kills at random, what was acknowledged or spooled is stored, and nothing twice", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-chaos-"));
  t.teardown(() => {
    if (t.passed) rmSync(directory, { recursive: true });
  });
  t.log(`what a failure leaves is in ${directory}`);

  const { faults, rows, spooled, troubles } = await runChaos(t, { seconds, dice: rollDice(t), directory });

  t.log(
    `${String(rows)} rows; up to ${String(spooled)} messages in a sender's spool; ${JSON.stringify(troubles)}`,
  );
  t.deepEqual(faults, []);
  t.true(rows > 0);
  t.true(spooled > 0);
});
