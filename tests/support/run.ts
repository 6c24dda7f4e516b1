import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

import { collectorMain } from "./collector.js";
import type { Scope } from "./scope.js";
import { within } from "./wait.js";

/** What a command that ended said. */
export interface Ended {
  /** Its exit code, or the name of the signal that ended it. */
  readonly exit: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Options of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** The Node to run with; this process's by default. */
  readonly node?: string;
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs `parsl-collector` with these arguments until it ends by itself. The deadline is for failures
 *  only: a busy machine needs seconds to start a program. */
export async function runToEnd(
  t: Scope,
  args: readonly string[],
  { nodeArgs = [], node = process.execPath, env = {} }: RunOptions = {},
): Promise<Ended> {
  const child = spawn(node, [...nodeArgs, collectorMain, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  t.teardown(() => child.kill("SIGKILL"));
  const exit = once(child, "close").then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  const ended = Promise.all([text(child.stdout), text(child.stderr), exit]);
  const what = `the end of parsl-collector ${args.join(" ")}`;
  const [stdout, stderr, exited] = await within(what, ended);
  return { exit: exited, stdout, stderr };
}
