import { collectorMain } from "./collector.js";
import { startProgram, type RunningProgram } from "./program.js";
import type { Scope } from "./scope.js";

/** What `view` says when it is ready. */
interface Ready {
  /** As "http://127.0.0.1:41235/". */
  readonly url: string;
  readonly pid: number;
}

export interface ViewOptions {
  /** More options of `view`, as ["--timezone", "UTC"]. */
  readonly args?: readonly string[];
}

/** Runs `parsl-collector view` on a file until the test ends and waits until it is ready. */
export function startView(
  t: Scope,
  database: string,
  { args = [] }: ViewOptions = {},
): Promise<RunningProgram<Ready>> {
  return startProgram(t, "view", [process.execPath, collectorMain, "view", database, ...args]);
}
