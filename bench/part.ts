import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { BenchCollector } from "./processes.js";
import type { Findings } from "./report.js";

/** How much is measured, and with what. */
export interface Setting {
  /** Of the full size; 1 for figures that go on record. */
  readonly scale: number;
  /** What is compared is measured this often, in turn. */
  readonly rounds: number;
  /** A Python with parsl[monitoring] and parsl_collector. */
  readonly python: string;
  /** Tells the user how far it is. */
  readonly say: (what: string) => void;
}

export interface Part {
  readonly about: string;
  /** At full size on two cores. */
  readonly minutes: number;
  /** Not among `all`, for the time that it takes. */
  readonly isApart?: boolean;
  readonly measure: (setting: Setting) => Promise<Findings>;
}

/** A count at the setting's size, and at least `least`. */
export function scaled(full: number, { scale }: Setting, least = 1): number {
  return Math.max(least, Math.round(full * scale));
}

/** Calls `measure` once a round, and says so. */
export async function inTurn(
  { rounds, say }: Setting,
  what: string,
  measure: () => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= rounds; round += 1) {
    say(`${what}, round ${String(round)} of ${String(rounds)}`);
    await measure();
  }
}

/** A path for a database, in a directory that is removed afterwards. */
export async function inDirectory<T>(measure: (database: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  try {
    return await measure(join(directory, "monitoring.db"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A collector on a new file. */
export function withCollector<T>(
  measure: (collector: BenchCollector, database: string) => Promise<T>,
): Promise<T> {
  return inDirectory(async (database) => {
    await using collector = await BenchCollector.start(database);
    return await measure(collector, database);
  });
}

/** Runs a script of bench/parsl, whose last line is JSON. */
export async function runPython<Figures>(
  { python }: Setting,
  script: string,
  ...options: readonly string[]
): Promise<Figures> {
  const path = fileURLToPath(new URL(`../../bench/parsl/${script}`, import.meta.url));
  // Parsl starts programs of its own by their names.
  const env = { ...process.env, PATH: `${dirname(python)}${delimiter}${process.env["PATH"] ?? ""}` };
  const { stdout } = await promisify(execFile)(python, [path, ...options], { timeout: longestMs, env });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Figures;
}

/** Longest for one script, in ms. */
const longestMs = 30 * 60_000;
