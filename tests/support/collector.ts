import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { startProgram, type RunningProgram } from "./program.js";
import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";

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

/** What `serve` says when it is ready. */
interface Ready {
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
}

/** A collector in a process of its own; `stop` lets it drain. */
export type RunningCollector = Ready & Omit<RunningProgram<Ready>, "ready">;

/** Runs `parsl-collector serve` until the test ends and waits until it is ready. */
export async function startCollector(t: Scope, options: CollectorOptions = {}): Promise<RunningCollector> {
  const database = options.database ?? join(temporaryDirectory(t), "monitoring.db");
  const command = [
    ...[process.execPath, options.main ?? collectorMain, "serve", "--database", database],
    ...["--listen", options.listen ?? "127.0.0.1:0"],
    "--exit-with-parent", // so that a test run that is broken off leaves none behind
    ...(options.args ?? []),
  ];
  const program = await startProgram<Ready>(
    t,
    "collector",
    options.inside?.(command) ?? command,
    options.env,
  );

  return {
    ...program.ready,
    get stderr() {
      return program.stderr;
    },
    exited: program.exited,
    stop: () => program.stop(),
    kill: () => program.kill(),
  };
}
