import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { within } from "./wait.js";

/** The collector's command line, as compiled. */
export const collectorMain = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export interface CollectorOptions {
  /** By default the command line as it is compiled here. */
  readonly main?: string;
  /** By default a new file in a directory of its own. */
  readonly database?: string;
  /** By default a port that the system chooses. */
  readonly listen?: string;
  /** More options of `serve`, as ["--timezone", "UTC"]. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The command that runs a command in a network of its own; by default it runs in this one. */
  readonly inside?: (command: readonly string[]) => readonly string[];
}

/** A collector in a process of its own. */
export interface RunningCollector {
  /** As "127.0.0.1:41235". */
  readonly address: string;
  /** Where its other radios listen, by their names. */
  readonly radios: Readonly<Record<string, string>>;
  readonly database: string;
  /** Where its metrics are, with --metrics. */
  readonly metrics?: string;
  /** Where its page is, with --web. */
  readonly web?: string;
  readonly pid: number;
  /** What it has logged so far. */
  readonly stderr: string;
  /** Its exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Lets it drain (SIGTERM) and waits for its end. */
  stop(): Promise<number | NodeJS.Signals>;
  /** Ends it at this instant (SIGKILL) and waits for its end. */
  kill(): Promise<number | NodeJS.Signals>;
}

/** Runs `parsl-collector serve` until the test ends and waits until it is ready. */
export async function startCollector(t: Scope, options: CollectorOptions = {}): Promise<RunningCollector> {
  const database = options.database ?? join(temporaryDirectory(t), "monitoring.db");
  const command = [
    ...[process.execPath, options.main ?? collectorMain, "serve", "--database", database],
    ...["--listen", options.listen ?? "127.0.0.1:0"],
    "--exit-with-parent", // so that a test run that is broken off leaves none behind
    ...(options.args ?? []),
  ];
  const [program = "", ...args] = options.inside?.(command) ?? command;
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = once(child, "close").then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals);
  t.teardown(async () => {
    await end(child, exited, "SIGKILL");
    if (!t.passed && stderr !== "") t.log(`collector ${String(child.pid)} logged:\n${stderr}`);
  });

  const lines = createInterface({ input: child.stdout });
  const firstLine = once(lines, "line") as Promise<[string]>;
  const early = exited.then((code): never => {
    throw new Error(`the collector ended with ${String(code)} before it was ready: ${stderr}`);
  });
  const [line] = await within("the collector's ready line", Promise.race([firstLine, early]));
  early.catch(() => undefined); // from here on its end is the test's business
  const ready = JSON.parse(line) as Pick<
    RunningCollector,
    "address" | "radios" | "database" | "metrics" | "web" | "pid"
  >;

  return {
    ...ready,
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
  return within(`the collector's end by ${signal}`, exited);
}
