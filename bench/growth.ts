import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Database from "better-sqlite3";

import { prepareFile } from "../src/server/sinks/sqlite/file.js";
import { columnsOf } from "../src/server/sinks/sqlite/schema.js";
import { saturate } from "./load.js";
import { inTurn, scaled, type Setting } from "./part.js";
import { BenchCollector } from "./processes.js";
import { median, percent, rounded, type Findings } from "./report.js";

/** What is in the file before: samples, and the runs that they are of. */
const files = [
  { rows: 0, runs: 1 },
  { rows: 1_000_000, runs: 1 },
  { rows: 1_000_000, runs: 1_000 },
  { rows: 10_000_000, runs: 1_000 },
] as const;

const samplesOfTask = 10;

/** Sent in each round. */
const messages = 100_000;

/** Of the rate into an empty file, with the most rows: keys lie deeper, and less of the file is in memory. */
const leastRate = 0.5;

/** Longest until a collector that was killed takes messages again, in seconds, whatever is in the file. */
const mostRestartSeconds = 5;

interface Round {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly restartSeconds: number;
  readonly peakMebibytes: number;
}

/** The rate into files that hold more and more, and how long a collector that was killed needs until it acknowledges the
 *  next message. */
export async function measureGrowth(setting: Setting): Promise<Findings> {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  try {
    const cases = files.map(({ rows, runs }, index) => ({
      path: join(directory, `${String(index)}.db`),
      rows: scaled(rows, setting, 0),
      runs: scaled(runs, setting),
      rounds: [] as Round[],
    }));
    for (const { path, rows, runs } of cases) {
      setting.say(`a file of ${rounded(rows)} rows and ${rounded(runs)} runs`);
      fill(path, rows, runs);
    }
    await inTurn(setting, "rate and restart of each file", async () => {
      for (const one of cases) {
        one.rounds.push(await measureOnce(one.path, one.rounds.length, scaled(messages, setting, 10_000)));
      }
    });
    return findingsOf(cases);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function measureOnce(path: string, round: number, count: number): Promise<Round> {
  const load = { mix: "resource", streams: 10, envelopeMessages: 450, messages: count } as const;
  await using collector = await BenchCollector.start(path);
  const { messagesPerSecond, cpuMicrosPerMessage } = await saturate(collector, {
    ...load,
    first: round * 2 * count, // another round has others: keys are not written twice
  });
  const peakMebibytes = collector.peakMebibytes();
  await collector.kill();
  const killed = performance.now();
  await using again = await BenchCollector.start(path);
  await saturate(again, { ...load, streams: 1, messages: 1, first: (round * 2 + 1) * count });
  const restartSeconds = (performance.now() - killed) / 1000;
  return { perSecond: messagesPerSecond, cpuMicros: cpuMicrosPerMessage, restartSeconds, peakMebibytes };
}

/** Puts samples into a new file, in the order of their key, which is by task first: a file that grew by itself is less
 *  compact. Nothing is flushed to the disk: only its content matters here. */
function fill(path: string, rows: number, runs: number): void {
  const db = new Database(path);
  prepareFile(db, { path, journalMode: "wal", durability: "full" });
  db.pragma("synchronous = OFF");
  const values: Readonly<Record<string, string>> = {
    try_id: "0",
    task_id: `i / ${String(samplesOfTask * runs)}`,
    run_id: `printf('earlier-%04d', i / ${String(samplesOfTask)} % ${String(runs)})`,
    timestamp: `printf('2025-01-01 00:00:%02d.000000', i % ${String(samplesOfTask)})`,
    hostname: "'node1'",
    psutil_process_name: "'python3'",
    psutil_process_status: "'sleeping'",
    psutil_process_memory_virtual: "500000000.5 + i",
  };
  const columns = columnsOf("resource");
  const insert = db.prepare(
    `WITH RECURSIVE number(i) AS (VALUES (?) UNION ALL SELECT i + 1 FROM number WHERE i + 1 < ?)
     INSERT INTO resource (${columns.join(", ")})
     SELECT ${columns.map((column) => values[column] ?? "1.25").join(", ")} FROM number`,
  );
  const chunk = 250_000;
  for (let from = 0; from < rows; from += chunk) insert.run(from, Math.min(rows, from + chunk));
  db.pragma("wal_checkpoint(TRUNCATE)");
  db.close();
}

function findingsOf(
  cases: readonly { readonly rows: number; readonly runs: number; readonly rounds: readonly Round[] }[],
): Findings {
  const found = cases.map(({ rows, runs, rounds }) => ({
    rows,
    runs,
    perSecond: median(rounds.map(({ perSecond }) => perSecond)),
    cpuMicros: median(rounds.map(({ cpuMicros }) => cpuMicros)),
    restartSeconds: median(rounds.map(({ restartSeconds }) => restartSeconds)),
    peakMebibytes: median(rounds.map(({ peakMebibytes }) => peakMebibytes)),
  }));
  const empty = found[0]?.perSecond ?? NaN;
  const fullest = found.at(-1);
  const left = (fullest?.perSecond ?? NaN) / empty;
  const restart = fullest?.restartSeconds ?? NaN;
  const name = `${rounded(fullest?.rows ?? NaN)} rows`;
  return {
    tables: [
      {
        title: "Into a file that holds rows of earlier runs",
        rows: [
          ["rows", "runs", "durable/s", "of an empty file's", "CPU a message", "at most", "after kill -9"],
          ...found.map((one) => [
            rounded(one.rows),
            rounded(one.runs),
            rounded(one.perSecond),
            percent(one.perSecond / empty),
            `${one.cpuMicros.toFixed(1)} us`,
            `${String(one.peakMebibytes)} MiB`,
            `${one.restartSeconds.toFixed(2)} s`,
          ]),
        ],
      },
    ],
    targets: [
      {
        figure: `rate into a file of ${name}`,
        wanted: `≥ ${percent(leastRate)} of an empty file's`,
        found: percent(left),
        isMet: left >= leastRate,
      },
      {
        figure: `kill -9 to the next acknowledgement, ${name}`,
        wanted: `≤ ${String(mostRestartSeconds)} s`,
        found: `${restart.toFixed(2)} s`,
        isMet: restart <= mostRestartSeconds,
      },
    ],
    ratios: { "rate into the fullest file by an empty one's": left },
    panels: [
      {
        title: "Durable a second, by rows in the file (more is better)",
        bars: found.map(({ rows, runs, perSecond }) => ({
          label: `${rounded(rows)}, ${rounded(runs)} runs`,
          value: perSecond,
          text: rounded(perSecond),
          isOurs: true,
        })),
      },
    ],
  };
}
