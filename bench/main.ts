import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { checkRatios, checksTable } from "./check.js";
import { chartName, chartOf, hasChart, mergeResults, pageOf } from "./pages.js";
import type { Setting } from "./part.js";
import { parts } from "./parts.js";
import { machine, machineBusySeconds, ownSeconds } from "./processes.js";
import { asText, tablesAsText, type Circumstances, type PartResult, type Results } from "./report.js";

/** The parts that `all` measures. */
const namesOfAll = Object.keys(parts).filter((name) => parts[name]?.isApart !== true);

/** What the user asked for cannot be. */
class BadOption extends Error {}

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The figures on record, of which the pages are made. */
const recordPath = join(root, "bench", "figures.json");

const templates = ["PERFORMANCE.md", "TRANSPORTS.md"].map((name) => join(root, "bench", "pages", name));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    scale: { type: "string" },
    rounds: { type: "string" },
    json: { type: "string" },
    parsl: { type: "string", default: join(root, ".venv", "bin", "python") },
    help: { type: "boolean", default: false },
  },
});

const usage = `usage: npm run bench -- [all|PART…] [options]      measure, and say which targets are met (all: but those marked +)
       npm run bench -- check [FILE…] [options]    … and fail where a ratio on record has lost a quarter
       npm run bench -- write [FILE…]              put the figures of FILEs on record, and make the pages of them

${Object.entries(parts)
  .map(
    ([name, { about, minutes, isApart }]) =>
      `${isApart === true ? "+ " : "  "}${name.padEnd(11)} ${about} (${String(minutes)} min)`,
  )
  .join("\n")}

  --only PART,…   of all, or of check: these
  --quick         a look: 1/50 of the size, one round (--scale 0.02 --rounds 1)
  --scale X       X times the size
  --rounds N      what is compared is measured N times, in turn (3)
  --json FILE     the figures as JSON, after each part
  --parsl PYTHON  Python with parsl[monitoring] and parsl_collector (default: .venv's)

check measures the parts with ratios on record (bench/figures.json), or takes those of FILEs.
Exit codes: 0 done, 1 a part failed or a ratio is lost, 2 bad options.`;

if (values.help) {
  console.log(usage);
} else {
  const [command = "all", ...files] = positionals;
  try {
    if (command === "write") write(files);
    else if (command === "check") await check(files);
    else console.log(asText(await measure(command === "all" ? chosen(namesOfAll) : positionals)));
  } catch (error) {
    if (!(error instanceof BadOption)) throw error;
    console.error(`bench: ${error.message}\n\n${usage}`);
    process.exitCode = 2;
  }
}

/** Of these parts, those that `--only` names. */
function chosen(names: readonly string[]): readonly string[] {
  return values.only?.split(",") ?? names;
}

async function measure(names: readonly string[]): Promise<Results> {
  const setting: Setting = {
    scale: positive("scale", values.scale, values.quick ? 0.02 : 1),
    rounds: positive("rounds", values.rounds, values.quick ? 1 : 3),
    python: values.parsl,
    say: (what) => process.stderr.write(`… ${what}\n`),
  };
  const unknown = names.find((name) => parts[name] === undefined);
  if (unknown !== undefined) {
    throw new BadOption(`measure ${unknown}: there is no such part; name one of those below`);
  }
  if (!existsSync(setting.python)) {
    throw new BadOption(`find Python: ${setting.python} is not there; name one by --parsl`);
  }
  const results: PartResult[] = [];
  for (const part of names) {
    const circumstancesNow = watchMachine();
    try {
      const findings = await parts[part]?.measure(setting);
      if (findings === undefined) continue;
      const { scale, rounds } = setting;
      results.push({ part, ...circumstancesNow(), scale, rounds, ...findings });
      if (values.json !== undefined) writeFileSync(values.json, asJson({ parts: results }));
    } catch (cause) {
      // The parts after it are worth their time all the same: a run of all takes half an hour.
      console.error(`bench: measure ${part}:`, cause);
      process.exitCode = 1;
    }
  }
  return { parts: results };
}

async function check(files: readonly string[]): Promise<void> {
  const record = read(recordPath);
  const withRatios = record.parts.filter(({ ratios = {} }) => Object.keys(ratios).length > 0);
  const results =
    files.length > 0 ? readAll(files) : await measure(chosen(withRatios.map(({ part }) => part)));
  const checks = checkRatios(record, results);
  console.log([asText(results), ...tablesAsText([checksTable(checks)])].join("\n\n"));
  if (checks.length === 0) throw new BadOption("check: no part that was measured has a ratio on record");
  if (checks.some(({ isKept }) => !isKept)) process.exitCode = 1;
}

function write(files: readonly string[]): void {
  const record = mergedRecord(files);
  writeFileSync(recordPath, asJson(record));
  for (const template of templates) {
    writeFileSync(join(root, "docs", basename(template)), pageOf(readFileSync(template, "utf8"), record));
  }
  for (const part of record.parts.filter(hasChart)) {
    writeFileSync(join(root, "docs", chartName(part.part)), chartOf(part));
  }
}

function mergedRecord(files: readonly string[]): Results {
  try {
    return mergeResults(read(recordPath), readAll(files));
  } catch (cause) {
    throw new BadOption((cause as Error).message, { cause });
  }
}

function readAll(files: readonly string[]): Results {
  return { parts: files.flatMap((file) => read(file).parts) };
}

function read(file: string): Results {
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

function asJson(results: Results): string {
  return `${JSON.stringify(results, undefined, 2)}\n`;
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) {
    throw new BadOption(`--${name}: expected a number above 0, got ${text}`);
  }
  return value;
}

/** Begins to watch; the result says what was seen since. */
function watchMachine(): () => Circumstances {
  const began = { wall: performance.now(), busy: machineBusySeconds(), own: ownSeconds() };
  return () => {
    const seconds = (performance.now() - began.wall) / 1000;
    const others = machineBusySeconds() - began.busy - (ownSeconds() - began.own);
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: machine(),
      seconds,
      othersShare: Math.max(0, others / (seconds * cpus().length)),
    };
  };
}
