import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

import type { Scope } from "./scope.js";
import { within } from "./wait.js";

/** A program in a process of its own that has said, by one line of JSON, that it is ready. */
export interface RunningProgram<Ready> {
  /** What the line says. */
  readonly ready: Ready;
  /** What it has logged so far. */
  readonly stderr: string;
  /** Its exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Lets it end by itself (SIGTERM) and waits for its end. */
  stop(): Promise<number | NodeJS.Signals>;
  /** Ends it at this instant (SIGKILL) and waits for its end. */
  kill(): Promise<number | NodeJS.Signals>;
}

/** Runs a command until the test ends and waits until it is ready. Rejects when it ends before. */
export async function startProgram<Ready>(
  t: Scope,
  name: string,
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningProgram<Ready>> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = once(child, "close").then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  t.teardown(async () => {
    await end(child, exited, "SIGKILL");
    if (!t.passed && stderr !== "") t.log(`${name} ${String(child.pid)} logged:\n${stderr}`);
  });

  const lines = createInterface({ input: child.stdout });
  const firstLine = once(lines, "line") as Promise<[string]>;
  const early = exited.then((code): never => {
    throw new Error(`the ${name} ended with ${String(code)} before it was ready: ${stderr}`);
  });
  const [line] = await within(`the ${name}'s ready line`, Promise.race([firstLine, early]));
  early.catch(() => undefined); // from here on its end is the test's business

  return {
    ready: JSON.parse(line) as Ready,
    get stderr() {
      return stderr;
    },
    exited,
    stop: () => end(child, exited, "SIGTERM"),
    kill: () => end(child, exited, "SIGKILL"),
  };
}

async function end(
  child: ChildProcess,
  exited: Promise<number | NodeJS.Signals>,
  signal: NodeJS.Signals,
): Promise<number | NodeJS.Signals> {
  child.kill(signal); // false when it has ended already, and `exited` tells how
  return within(`the program's end by ${signal}`, exited);
}
