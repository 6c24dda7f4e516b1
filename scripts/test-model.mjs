/** Runs the model test by itself, for as many random cases as one likes.
 *
 *  usage: node scripts/test-model.mjs [--runs 100000] */
import { parseArgs } from "node:util";

import { runAvaAlone } from "./lib/ava-alone.mjs";

const { values } = parseArgs({ options: { runs: { type: "string", default: "30000" } } });
if (!/^[1-9]\d*$/.test(values.runs)) {
  console.error(`test-model: --runs must be a whole number from 1 up, got ${values.runs}`);
  process.exit(2);
}
process.exitCode = runAvaAlone("guarantee/model.test.js", { PARSL_COLLECTOR_MODEL_RUNS: values.runs }, [
  `--timeout=${String(Math.ceil(Number(values.runs) / 10) + 120)}s`,
]);
