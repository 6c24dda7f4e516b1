import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { scaled, type Setting } from "./part.js";
import { BenchCollector } from "./processes.js";
import { quantiles, rounded, type Findings, type Quantiles, type Table } from "./report.js";

/** Messages a second of all streams together: 10,000 streams with one each 30 s. */
const messagesPerSecond = 10_000 / 30;

/** Processes in which the streams' senders live. */
const processes = 4;

/** Connections over which the streams go: one each, as agents of nodes have it, and few, as behind a proxy. The last is
 *  what the messages cost without the many streams. */
const cases = [
  { streams: 10_000, connections: 10_000 },
  { streams: 10_000, connections: 100 },
  { streams: 100, connections: 100 },
] as const;

/** What a process of senders is told. */
export interface ClientTask {
  readonly address: string;
  readonly connections: number;
  readonly streams: number;
  /** Number of its first stream. */
  readonly firstTask: number;
  readonly everySeconds: number;
  readonly seconds: number;
}

/** What a process of senders says when its streams are open, and when it is done. */
export interface ClientReport {
  /** Why streams ended. */
  readonly faults: readonly string[];
  /** From sending to the acknowledgement, in ms. */
  readonly delays: readonly number[];
}

interface StreamsFigures {
  readonly streams: number;
  readonly connections: number;
  /** Until each has its first message acknowledged. */
  readonly openSeconds: number;
  readonly openCpuSeconds: number;
  readonly faults: readonly string[];
  readonly emptyMebibytes: number;
  readonly idleMebibytes: number;
  readonly peakMebibytes: number;
  /** While messages trickle; a share of one core. */
  readonly idleShare: number;
  readonly messagesPerSecond: number;
  readonly ackMs: Quantiles;
}

export async function measureStreams(setting: Setting): Promise<Findings> {
  const found: StreamsFigures[] = [];
  for (const { streams, connections } of cases) {
    const count = wholeProcesses(scaled(streams, setting));
    const over = Math.min(count, connections);
    setting.say(`${String(count)} streams over ${String(over)} connections`);
    found.push(await measureOnce(count, over, scaled(40, setting, 15)));
  }
  const held = found.filter(({ streams }) => streams >= leastStreams);
  const faults = held.reduce((sum, one) => sum + one.faults.length, 0);
  return {
    tables: streamsTables(found),
    targets: [
      {
        figure: "open streams on one collector, each a message every 30 s",
        wanted: rounded(leastStreams),
        found: `${rounded(Math.max(...found.map(({ streams }) => streams)))}, ${String(faults)} faults`,
        isMet: held.length > 0 && faults === 0,
      },
    ],
  };
}

const leastStreams = 10_000;

/** Each process of senders has as many streams as the others. */
function wholeProcesses(streams: number): number {
  return Math.max(1, Math.round(streams / processes)) * processes;
}

function streamsTables(found: readonly StreamsFigures[]): Table[] {
  return [
    {
      title: `Open streams on one collector, all together ${messagesPerSecond.toFixed(0)} messages a second`,
      rows: [
        [
          ...[
            "streams",
            "connections",
            "all open after",
            "CPU of that",
            "faults",
            "memory",
            "a stream",
            "at most",
          ],
          ...["messages/s", "CPU", "ack p50", "ack p99"],
        ],
        ...found.map((one) => [
          rounded(one.streams),
          rounded(one.connections),
          `${one.openSeconds.toFixed(1)} s`,
          `${one.openCpuSeconds.toFixed(1)} s`,
          String(one.faults.length),
          `${String(one.idleMebibytes)} MiB`,
          one.streams < 1000
            ? "–"
            : `${(((one.idleMebibytes - one.emptyMebibytes) * 1024) / one.streams).toFixed(0)} KiB`,
          `${String(one.peakMebibytes)} MiB`,
          rounded(one.messagesPerSecond),
          `${(one.idleShare * 100).toFixed(0)} %`,
          `${one.ackMs.p50.toFixed(1)} ms`,
          `${one.ackMs.p99.toFixed(1)} ms`,
        ]),
      ],
    },
  ];
}

async function measureOnce(streams: number, connections: number, seconds: number): Promise<StreamsFigures> {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  const collector = await BenchCollector.start(join(directory, "monitoring.db"));
  const emptyMebibytes = collector.residentMebibytes();
  const began = performance.now();
  const cpu = collector.cpuSeconds();
  const clients = Array.from({ length: processes }, (_, number) =>
    StreamsClient.start({
      address: collector.address,
      connections: connections / processes,
      streams: streams / processes,
      firstTask: (number * streams) / processes,
      everySeconds: streams / messagesPerSecond,
      seconds,
    }),
  );
  try {
    await Promise.all(clients.map((client) => client.report()));
    const openSeconds = (performance.now() - began) / 1000;
    const openCpuSeconds = collector.cpuSeconds() - cpu;
    const idleCpu = collector.cpuSeconds();
    const idleBegan = performance.now();
    for (const client of clients) client.go();
    const reports = await Promise.all(clients.map((client) => client.report()));
    const took = (performance.now() - idleBegan) / 1000;
    const delays = reports.flatMap((report) => report.delays);
    return {
      ...{ streams, connections, openSeconds, openCpuSeconds, emptyMebibytes },
      faults: reports.flatMap(({ faults }) => faults),
      idleMebibytes: collector.residentMebibytes(),
      peakMebibytes: collector.peakMebibytes(),
      idleShare: (collector.cpuSeconds() - idleCpu) / took,
      messagesPerSecond: delays.length / took,
      ackMs: quantiles(delays),
    };
  } finally {
    await Promise.all(clients.map((client) => client.stop()));
    await collector.stop();
    rmSync(directory, { recursive: true });
  }
}

/** A process that holds streams open. */
class StreamsClient {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: ChildProcess, lines: AsyncIterator<string>) {
    this.#process = process;
    this.#lines = lines;
  }

  static start(task: ClientTask): StreamsClient {
    const script = fileURLToPath(new URL("./streams-client.js", import.meta.url));
    const child = spawn(process.execPath, [script, JSON.stringify(task)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    return new StreamsClient(child, createInterface(child.stdout)[Symbol.asyncIterator]());
  }

  async report(): Promise<ClientReport> {
    const line = (await this.#lines.next()) as IteratorResult<string, undefined>;
    if (line.done === true)
      throw new Error("measure streams: a process of senders ended; its reason is above");
    return JSON.parse(line.value) as ClientReport;
  }

  go(): void {
    this.#process.stdin?.write("go\n");
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill();
    await exited;
  }
}
