import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

import { agentTables, measureAgent } from "./agent.js";
import { bareRowsPerSecond } from "./bare.js";
import { paced, saturate, type Load } from "./load.js";
import { messagesOfTask, mixes, type Mix } from "./messages.js";
import { BenchCollector, machine, machineBusySeconds, ownSeconds } from "./processes.js";
import {
  asMarkdown,
  asTable,
  circumstances,
  median,
  tablesAsMarkdown,
  tablesAsText,
  type Circumstances,
  type Comparison,
  type Report,
  type Table,
} from "./report.js";
import { measureStreams, streamsTables } from "./streams.js";
import {
  transportChart,
  transportsAsMarkdown,
  transportTables,
  transportVerdicts,
  type TransportsReport,
} from "./transports-report.js";
import { measure, transports, type Figures } from "./transports.js";

/** Both sides of a comparison are measured this often, in turn. */
const rounds = 3;

const root = fileURLToPath(new URL("../../", import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    write: { type: "string" },
    svg: { type: "string" },
    parsl: { type: "string", default: join(root, ".venv", "bin", "python") },
    help: { type: "boolean", default: false },
  },
});

const what = positionals[0] ?? "ingest";
if (values.help || !["ingest", "transports", "agent", "streams"].includes(what)) {
  console.log(`usage: npm run bench -- [ingest|transports|agent|streams] [options]

ingest: durable messages a second of the collector, how late acknowledgements and rows come, its CPU and its memory;
beside Parsl's own monitoring and beside SQLite alone, in one run (6 minutes on two busy cores).
transports: our radios and Parsl's side by side: what a send costs, what arrives, how late, what is lost (6 minutes).
agent: 128 workers of 100 tasks/s each through one agent, without samples and with them: what it costs (3 minutes).
streams: 10,000 streams open on one collector, each a message every 30 s (2 minutes).

  --quick         a look: fewer messages, one round; ingest without Parsl
  --parsl PYTHON  Python with parsl[monitoring], for transports with parsl_collector too (default: .venv's)
  --json FILE     the figures as JSON
  --write FILE    the figures as Markdown
  --svg FILE      transports: the figures as a chart`);
  process.exit(values.help ? 0 : 2);
}

if (what === "ingest") {
  const report = await ingest();
  console.log(asTable(report));
  save(values.json, () => `${JSON.stringify(report, undefined, 2)}\n`);
  save(values.write, () => asMarkdown(report));
} else if (what === "agent") {
  await tell(async () => agentTables(await measureAgent(values.quick ? 3 : 8, say)));
} else if (what === "streams") {
  await tell(async () => streamsTables(await measureStreams(values.quick ? 15 : 40, say)));
} else {
  const report = await compareTransports();
  const tables = transportTables(report);
  console.log(
    [circumstances(report), tablesAsText(tables), transportVerdicts(report).join("\n")].join("\n\n"),
  );
  save(values.json, () => `${JSON.stringify(report, undefined, 2)}\n`);
  save(values.write, () => transportsAsMarkdown(report, tablesAsMarkdown(tables)));
  save(values.svg, () => transportChart(report));
}

function save(path: string | undefined, make: () => string): void {
  if (path !== undefined) writeFileSync(path, make());
}

/** Measures, and shows what was found. */
async function tell(measured: () => Promise<readonly Table[]>): Promise<void> {
  const circumstancesNow = watchMachine();
  const tables = await measured();
  const when = circumstancesNow();
  console.log([circumstances(when), tablesAsText(tables)].join("\n\n"));
  save(values.json, () => `${JSON.stringify({ ...when, tables }, undefined, 2)}\n`);
  save(values.write, () => `${[circumstances(when), tablesAsMarkdown(tables)].join("\n\n")}\n`);
}

async function compareTransports(): Promise<TransportsReport> {
  const circumstancesNow = watchMachine();
  const found = transports.map((transport) => ({ ...transport, rounds: [] as Figures[] }));
  const [times, amount] = values.quick
    ? [1, { senders: [1, 4], messages: 2_000 }]
    : [rounds, { senders: [1, 4, 16], messages: 12_000 }];
  for (let round = 1; round <= times; round += 1) {
    for (const one of found) {
      say(`${one.whose} ${one.radio}, round ${String(round)} of ${String(times)}`);
      one.rounds.push(await measure(one, values.parsl, amount));
    }
  }
  return { ...circumstancesNow(), transports: found };
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

async function ingest(): Promise<Report> {
  const scale = values.quick ? 0.1 : 1;
  const circumstancesNow = watchMachine();
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
  return {
    ...circumstancesNow(),
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
