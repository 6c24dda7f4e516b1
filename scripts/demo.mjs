/** Runs a real Parsl program with our monitoring, then says what its database holds and how to look at it. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";

import { environment, root, venvBin, venvPython } from "./lib/repository.mjs";

const directory = join(root, "demo-run");
const database = join(directory, "monitoring.db");

/** The program may have been given Ctrl-C by the terminal already; it ends in good order, and we wait. */
process.on("SIGINT", () => undefined);

mkdirSync(directory, { recursive: true });
const status = await python(join("demo", "workflow.py"), directory);
if (status !== 0 && status !== 130) process.exit(status);
await python(join("demo", "summary.py"), database);
const shown = relative(process.cwd(), database);
console.log(`\nThe database is ${shown}: Parsl's own tables, for SQL, pandas and Parsl's own viewer:
  ${relative(process.cwd(), join(venvBin, "parsl-visualize"))} sqlite:///${database}`);
process.exitCode = status;

/** Resolves to the exit code of a Python program. */
function python(...args) {
  const child = spawn(venvPython, args, { cwd: root, stdio: "inherit", env: environment() });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}
