import { execFile } from "node:child_process";
import { promisify } from "node:util";

import test from "ava";

import { within } from "../support/wait.js";

/** Reads its own process, opens files until there are no more, and says what reading it and all others gives then. */
const program = `
  import { openSync } from "node:fs";
  import { SystemProc } from "${new URL("../../src/agent/proc.js", import.meta.url).href}";
  const proc = new SystemProc();
  const said = [proc.stat(process.pid) !== undefined];
  try { for (;;) openSync("/dev/null"); } catch {}
  for (const read of [() => proc.stat(process.pid), () => proc.pids()])
    try { said.push(read()); } catch ({ code, message }) { said.push(code + " " + message); }
  console.log(JSON.stringify(said));
`;

test("a process is not taken for gone when it cannot be read for want of files", async (t) => {
  const command = [
    "-c",
    'ulimit -n 50; exec "$0" --input-type=module --eval "$1"',
    process.execPath,
    program,
  ];
  const ended = promisify(execFile)("/bin/sh", command);

  const said = JSON.parse((await within("the program's end", ended)).stdout) as unknown[];
  t.is(said[0], true);
  for (const one of said.slice(1)) {
    t.regex(
      String(one),
      /^exhausted sample the processes of tasks: EMFILE.*; samples are left out until that is over \(see ulimit -n\)$/,
    );
  }
  t.is(said.length, 3);
});
