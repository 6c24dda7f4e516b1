import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import test from "ava";

import { collectorMain, startCollector } from "../support/collector.js";
import type { Scope } from "../support/scope.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

test.serial("SIGUSR2 turns debug on while a collector runs, and back to its level", async (t) => {
  const collector = await startCollector(t, { args: ["--log-level", "warn"] });
  const changes = () =>
    [...collector.stderr.matchAll(/"logLevel":"(\w+)","by":"SIGUSR2","msg":"log level changed"/g)].map(
      ([, level]) => level,
    );

  process.kill(collector.pid, "SIGUSR2");
  await waitUntil("it logs at debug", () => changes().length === 1);
  process.kill(collector.pid, "SIGUSR2");
  await waitUntil("it logs as before", () => changes().length === 2);
  t.is(await collector.stop(), 0);

  t.deepEqual(changes(), ["debug", "warn"]);
  t.notRegex(collector.stderr, /"msg":"(draining|drained)"/);
});

/** What `serve` writes to a terminal until it is ready. */
async function onTerminal(t: Scope, env: Readonly<Record<string, string>>): Promise<string> {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const command = [process.execPath, collectorMain, "serve", "--database", database, "--exit-with-parent"];
  const terminal = "import pty, sys; pty.spawn(sys.argv[1:])"; // Python's pty: Node has none
  const child = spawn("python3", ["-c", terminal, ...command], {
    stdio: ["pipe", "pipe", "inherit"], // an input that ends would end the terminal
    env: { ...process.env, NO_COLOR: "", ...env },
  });
  const exited = once(child, "close");
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  t.teardown(async () => {
    child.kill("SIGKILL"); // the collector ends with its parent
    await exited;
  });
  await within(
    "the line that it is ready",
    waitUntil("it is ready", () => /: .*ready/.test(text)),
  );
  return text;
}

test.serial("on a terminal a log is for people, in colour unless NO_COLOR is set", async (t) => {
  const [coloured, plain] = await Promise.all([onTerminal(t, {}), onTerminal(t, { NO_COLOR: "1" })]);

  t.true(coloured.includes("\x1b[32mINFO\x1b[39m: \x1b[36mdatabase open\x1b[39m"), coloured);
  t.regex(plain, /^\[[\d:. +]+\] INFO: database open\r?\n {4}database: "/m);
  t.false(plain.includes("\x1b"), plain);
});
