/** Runs the chaos test by itself, for as long as one likes.
 *
 *  usage: node scripts/chaos.mjs [--seconds 600] [--seed NUMBER] */
import { parseArgs } from "node:util";

import { runAvaAlone } from "./lib/ava-alone.mjs";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "600" }, seed: { type: "string" } },
});
for (const [name, value] of Object.entries(values)) {
  if (/^\d+$/.test(value)) continue;
  console.error(`chaos: --${name} must be a whole number, got ${value}`);
  process.exit(2);
}
process.exitCode = runAvaAlone(
  "chaos/chaos.test.js",
  {
    PARSL_COLLECTOR_CHAOS_SECONDS: values.seconds,
    ...(values.seed === undefined ? {} : { PARSL_COLLECTOR_TEST_SEED: values.seed }),
  },
  [`--timeout=${String(Number(values.seconds) + 300)}s`],
);
