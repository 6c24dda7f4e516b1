import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { collectorMain } from "./collector.js";
import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { within } from "./wait.js";

/** An agent in a process of its own. */
export interface RunningAgent {
  readonly socket: string;
  /** Where its metrics are, with --metrics. */
  readonly metrics?: string;
  readonly pid: number;
  readonly stderr: string;
  readonly exited: Promise<number | NodeJS.Signals>;
  stop(): Promise<number | NodeJS.Signals>;
  kill(): Promise<number | NodeJS.Signals>;
}

/** Runs `parsl-collector agent` until the test ends and waits until it is ready. By default its socket is a new
 *  one. */
export async function startAgent(
  t: Scope,
  upstream: string,
  options: { readonly socket?: string; readonly args?: readonly string[] } = {},
): Promise<RunningAgent> {
  const socket = options.socket ?? join(temporaryDirectory(t), "agent");
  const command = [collectorMain, "agent", "--upstream", upstream, "--socket", socket];
  const child = spawn(process.execPath, [...command, ...(options.args ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = once(child, "close").then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  const end = (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    child.kill(signal);
    return within(`the agent's end by ${signal}`, exited);
  };
  t.teardown(() => end("SIGKILL"));
  const early = exited.then((code): never => {
    throw new Error(`the agent ended with ${String(code)} before it was ready: ${stderr}`);
  });
  const firstLine = once(createInterface({ input: child.stdout }), "line") as Promise<[string]>;
  const [line] = await within("the agent's ready line", Promise.race([firstLine, early]));
  early.catch(() => undefined); // from here on its end is the test's business
  const ready = JSON.parse(line) as Pick<RunningAgent, "socket" | "metrics" | "pid">;
  return {
    ...ready,
    get stderr() {
      return stderr;
    },
    exited,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
  };
}
