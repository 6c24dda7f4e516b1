/** Runs the model test by itself, for as many random cases as one likes.
 *
 *  usage: node scripts/test-model.mjs [--runs 100000] */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { runs: { type: "string", default: "30000" } } });
if (!/^[1-9]\d*$/.test(values.runs)) {
  console.error(`test-model: --runs must be a whole number from 1 up, got ${values.runs}`);
  process.exit(2);
}
const { status } = spawnSync(
  "node_modules/.bin/node",
  ["node_modules/ava/entrypoints/cli.mjs", "build/tests/guarantee/model.test.js"],
  { stdio: "inherit", env: { ...process.env, PARSL_COLLECTOR_MODEL_RUNS: values.runs } },
);
process.exitCode = status ?? 1;
