import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

import { bareRowsPerSecond } from "./bare.js";
import { paced, saturate, type Load } from "./load.js";
import { messagesOfTask, mixes, type Mix } from "./messages.js";
import { BenchCollector, machine, machineBusySeconds, ownSeconds } from "./processes.js";
import { asMarkdown, asTable, median, type Comparison, type Report } from "./report.js";

/** Both sides of a comparison are measured this often, in turn. */
const rounds = 3;

const root = fileURLToPath(new URL("../../", import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    write: { type: "string" },
    parsl: { type: "string", default: join(root, ".venv", "bin", "python") },
    help: { type: "boolean", default: false },
  },
});

if (values.help || (positionals[0] ?? "ingest") !== "ingest") {
  console.log(`usage: npm run bench -- [ingest] [options]

Durable messages a second of the collector, how late acknowledgements and rows come, its CPU and its memory; beside
Parsl's own monitoring and beside SQLite alone, in one run (6 minutes on two busy cores).

  --quick         the two extreme sizes of envelopes, few messages, without Parsl
  --parsl PYTHON  Python with parsl[monitoring] (default: .venv's)
  --json FILE     the figures as JSON
  --write FILE    the figures as Markdown`);
  process.exit(values.help ? 0 : 2);
}

const report = await ingest();
console.log(asTable(report));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
if (values.write !== undefined) writeFileSync(values.write, asMarkdown(report));

async function ingest(): Promise<Report> {
  const scale = values.quick ? 0.1 : 1;
  const began = { wall: performance.now(), busy: machineBusySeconds(), own: ownSeconds() };
  const shapes: Report["shapes"] = [];
  for (const mix of mixes) {
    for (const [streams, envelopeMessages, messages] of [
      [1, 1, 5_000],
      [10, 1, 20_000],
      [1, 50, 50_000],
      [10, 50, 100_000],
      [1, 450, 100_000],
      [10, 450, 200_000],
    ] as const) {
      if (values.quick && envelopeMessages === 50) continue;
      say(`${mix}, ${String(streams)} streams, envelopes of ${String(envelopeMessages)}`);
      const load = { mix, streams, envelopeMessages, messages: wholeTasks(messages * scale) };
      shapes.push({ ...load, ...(await once(load)) });
    }
  }
  say("50 single messages a second");
  const latency = await withCollector((collector, database) =>
    paced(collector, database, { messages: values.quick ? 50 : 250, perSecond: 50 }),
  );
  const comparisons: Comparison[] = [];
  let parslVisibleMs: Report["parslVisibleMs"];
  if (!values.quick && existsSync(values.parsl)) {
    for (const mix of mixes) comparisons.push(await compare(mix));
    say("Parsl's own, 50 single messages a second");
    parslVisibleMs = (await parsl<{ visible_ms: { p50: number; p99: number } }>(250, "latency")).visible_ms;
  }
  const seconds = (performance.now() - began.wall) / 1000;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: machine(),
    seconds,
    othersShare: Math.max(
      0,
      (machineBusySeconds() - began.busy - (ownSeconds() - began.own)) / (seconds * cpus().length),
    ),
    shapes,
    latency,
    parslVisibleMs,
    comparisons,
  };
}

/** The collector, Parsl's own and SQLite alone, in turn. */
async function compare(mix: Mix): Promise<Comparison> {
  const load = { mix, streams: 10, envelopeMessages: 450, messages: 180_000 };
  const ours: number[] = [];
  const theirs: number[] = [];
  const bare: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    say(`${mix}, beside Parsl, round ${String(round)} of ${String(rounds)}`);
    ours.push((await once(load)).messagesPerSecond);
    theirs.push((await parsl<{ messages_per_second: number }>(27_000, mix)).messages_per_second);
    if (mix === "resource") {
      bare.push(await inDirectory((path) => Promise.resolve(bareRowsPerSecond(path, load.messages))));
    }
  }
  const ratios = ours.map((rate, round) => rate / (theirs[round] ?? NaN));
  return {
    mix,
    ours: median(ours),
    parsl: median(theirs),
    ratios,
    bare: bare.length > 0 ? median(bare) : undefined,
  };
}

function once(
  load: Load,
): Promise<Awaited<ReturnType<typeof saturate>> & { readonly peakMebibytes: number }> {
  return withCollector(async (collector) => {
    const figures = await saturate(collector, load);
    return { ...figures, peakMebibytes: collector.peakMebibytes() };
  });
}

function withCollector<T>(measure: (collector: BenchCollector, database: string) => Promise<T>): Promise<T> {
  return inDirectory(async (database) => {
    const collector = await BenchCollector.start(database);
    try {
      return await measure(collector, database);
    } finally {
      await collector.stop();
    }
  });
}

async function inDirectory<T>(measure: (database: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  try {
    return await measure(join(directory, "monitoring.db"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function parsl<Figures>(count: number, what: string): Promise<Figures> {
  const script = join(root, "bench", "parsl", "dbmanager.py");
  const { stdout } = await promisify(execFile)(values.parsl, [script, String(count), what], {
    timeout: 180_000,
  });
  return JSON.parse(stdout) as Figures;
}

function wholeTasks(messages: number): number {
  return Math.round(messages / messagesOfTask) * messagesOfTask;
}

function say(what: string): void {
  process.stderr.write(`… ${what}\n`);
}
