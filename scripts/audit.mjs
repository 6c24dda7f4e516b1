/** Asks the registries whether a version that we pin has a known fault: `npm audit` of what the collector runs on, and
 *  `pip-audit` of the Python environment. Exit code 1 where one has, or where a registry does not answer.
 *
 *  usage: node scripts/audit.mjs */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { runToEnd } from "./lib/child.mjs";
import { Problem, runScript } from "./lib/problem.mjs";
import { setupDirectory, venvPython } from "./lib/repository.mjs";

/** pip-audit has many dependencies of its own, which are none of ours. */
const environment = join(setupDirectory, "audit");
const audit = join(environment, "bin", "pip-audit");

const boundSeconds = 300;

await runScript("audit", async () => {
  await step("npm", ["audit", "--omit=dev"]);
  if (!existsSync(audit)) {
    await step(venvPython, ["-m", "venv", environment]);
    await step(join(environment, "bin", "pip"), ["install", "--quiet", "pip-audit==2.10.1"]);
  }
  await step(audit, [
    "--strict",
    "--path",
    join(venvPython, "..", "..", "lib", await pythonVersion(), "site-packages"),
  ]);
});

async function step(command, args) {
  const { code, output } = await runToEnd(command, args, { boundSeconds });
  if (code !== 0)
    throw new Problem(`${command} ${args[0]} ended with ${code}; its own words are above`, output);
  process.stdout.write(output);
}

async function pythonVersion() {
  const code = "import sys; print('python%d.%d' % sys.version_info[:2])";
  return (await runToEnd(venvPython, ["-c", code])).output.trim();
}
