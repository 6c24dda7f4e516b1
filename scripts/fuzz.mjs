/** Gives everything that reads bytes from outside random and mutated bytes, as many as one likes.
 *
 *  usage: node scripts/fuzz.mjs [--inputs 1000000] [--seed 123] */
import { parseArgs } from "node:util";

import { runAvaAlone } from "./lib/ava-alone.mjs";

const { values } = parseArgs({
  options: { inputs: { type: "string", default: "1000000" }, seed: { type: "string" } },
});
for (const [name, value] of Object.entries(values)) {
  if (!/^[1-9]\d*$/.test(value)) {
    console.error(`fuzz: --${name} must be a whole number from 1 up, got ${value}`);
    process.exit(2);
  }
}
process.exitCode = runAvaAlone(
  "fuzz",
  {
    PARSL_COLLECTOR_FUZZ_INPUTS: values.inputs,
    ...(values.seed === undefined ? {} : { PARSL_COLLECTOR_FUZZ_SEED: values.seed }),
  },
  ["--serial", `--timeout=${String(Math.ceil(Number(values.inputs) / 100) + 120)}s`],
);
