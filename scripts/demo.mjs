/** Runs a real Parsl program with our monitoring, then says what its database holds and how to look at it. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { environment, root, venvBin, venvPython } from "./lib/repository.mjs";

// Parsl's command line of a worker does not quote: where the clone's path has a space, the run is elsewhere.
const directory = /\s/.test(root)
  ? mkdtempSync(join(tmpdir(), "parsl-collector-demo-"))
  : join(root, "demo-run");
const database = join(directory, "monitoring.db");

const endSignals = ["SIGINT", "SIGTERM", "SIGHUP"];

mkdirSync(directory, { recursive: true });
const status = await python(join("demo", "workflow.py"), directory);
if (status !== 0 && status !== 130) process.exit(status);
await python(join("demo", "summary.py"), database);
console.log(`\nThe database is ${fromHere(database)}: Parsl's own tables, for SQL, pandas and Parsl's own viewer:
  ${fromHere(join(venvBin, "parsl-visualize"))} sqlite:///${database}
In a browser, and why tasks failed:
  npx parsl-collector view ${fromHere(database)}
  npx parsl-collector why --database ${fromHere(database)}`);
process.exitCode = status;

/** A path as short as it can be said in the folder that the user is in. */
function fromHere(path) {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}

/** Resolves to the exit code of a Python program. It leads a group of its own: Ctrl-C at the terminal would also end
 *  Parsl's interchange, for which Parsl then waits for ever. So the program alone is told, and ends the others. */
function python(...args) {
  const child = spawn(venvPython, args, { cwd: root, stdio: "inherit", env: environment(), detached: true });
  let times = 0;
  const end = () => {
    times += 1;
    if (times === 1) child.kill("SIGINT");
    else process.kill(-child.pid, "SIGKILL");
  };
  for (const name of endSignals) process.on(name, end);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      for (const name of endSignals) process.off(name, end);
      resolve(code ?? (signal === "SIGINT" ? 130 : 1));
    });
  });
}
