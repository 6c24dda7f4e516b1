/** Runs the chaos test by itself, for as long as one likes.
 *
 *  usage: node scripts/chaos.mjs [--seconds 600] [--seed NUMBER] */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { environment, nodePath, root } from "./lib/repository.mjs";

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "600" }, seed: { type: "string" } },
});
for (const [name, value] of Object.entries(values)) {
  if (/^\d+$/.test(value)) continue;
  console.error(`chaos: --${name} must be a whole number, got ${value}`);
  process.exit(2);
}
const { status } = spawnSync(
  nodePath(),
  [
    join("node_modules", "ava", "entrypoints", "cli.mjs"),
    join("build", "tests", "chaos", "chaos.test.js"),
    `--timeout=${String(Number(values.seconds) + 300)}s`,
  ],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...environment(),
      PARSL_COLLECTOR_CHAOS_SECONDS: values.seconds,
      ...(values.seed === undefined ? {} : { PARSL_COLLECTOR_TEST_SEED: values.seed }),
    },
  },
);
process.exitCode = status ?? 1;
