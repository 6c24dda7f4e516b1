import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import Database from "better-sqlite3";

import { Acknowledgement, Envelope } from "../src/model/envelope.js";
import { MonitoringMessage } from "../src/model/messages.js";
import { timestampOf } from "../src/model/time.js";
import { frameKinds, frameOf, FrameReader } from "../src/radios/unix/frames.js";
import { scaled, type Setting } from "./part.js";
import { BenchAgent, BenchCollector, ownSeconds } from "./processes.js";
import { percent, quantiles, rounded, type Findings, type Quantiles, type Table } from "./report.js";

/** Workers of one node, each with a connection and a sender id of its own. */
const workers = 128;

/** What a worker says of each task: that it started, and that it ended. */
const messagesOfTask = 2;

/** Least time between two envelopes of a worker, in ms, as `GATHER_S` of the Python sender. */
const gatherMs = 20;

/** Most messages in an envelope, as the Python sender has it. */
const mostMessages = 500;

/** Before the figures are taken: code is compiled, and what waits has found its level. In s. */
const warmUpSeconds = 3;

/** A run holds its rate when this part of what is offered is acknowledged meanwhile. */
const leastAcknowledged = 0.98;

/** Field numbers of Envelope. */
const firstSequenceField = 2;
const messagesField = 6;

/** How the workers of a node speak to their agent. */
interface NodeLoad {
  /** Of each worker. */
  readonly tasksPerSecond: number;
  /** Between the envelopes of a worker, in ms, unless an acknowledgement takes longer. */
  readonly gatherMs: number;
  /** Seconds between the samples of a try; undefined: its process is not told, and nothing is sampled. */
  readonly interval: number | undefined;
}

interface NodeFigures extends NodeLoad {
  readonly offeredPerSecond: number;
  readonly acknowledgedPerSecond: number;
  readonly samplesPerSecond: number;
  readonly messagesInEnvelope: number;
  readonly ackMs: Quantiles;
  /** CPU of the agent for each message of the workers, in us; what its samples take is in it. */
  readonly agentMicros: number;
  /** Shares of one core. */
  readonly agentShare: number;
  readonly collectorShare: number;
  readonly workersShare: number;
  readonly agentMebibytes: number;
  readonly agentPeakMebibytes: number;
}

/** The rates that are tried, from the one that is asked of an agent down to one that it holds. */
const rates = [100, 75, 50, 25, 10];

/** For each way of sending: the greatest rate, and, where that is not held, the greatest that is; then tasks of a
 *  second each. */
export async function measureAgent(setting: Setting): Promise<Findings> {
  const found: NodeFigures[] = [];
  const seconds = scaled(8, setting, 3);
  const measure = async (load: NodeLoad): Promise<NodeFigures> => {
    const sampled = load.interval === undefined ? "no samples" : `interval ${String(load.interval)}`;
    setting.say(
      `${String(load.tasksPerSecond)} tasks/s, an envelope each ${String(load.gatherMs)} ms, ${sampled}`,
    );
    return measureOnce(load, seconds);
  };
  for (const interval of [undefined, 30]) {
    for (const gather of [gatherMs, gatherMs / 2]) {
      for (const [index, tasksPerSecond] of rates.entries()) {
        const figures = await measure({ tasksPerSecond, gatherMs: gather, interval });
        if (index === 0 || isHeld(figures)) found.push(figures);
        if (isHeld(figures)) break;
      }
    }
  }
  found.push(await measure({ tasksPerSecond: 1, gatherMs, interval: 30 }));
  return { tables: agentTables(found) };
}

function isHeld({ acknowledgedPerSecond, offeredPerSecond }: NodeFigures): boolean {
  return acknowledgedPerSecond >= leastAcknowledged * offeredPerSecond;
}

function agentTables(found: readonly NodeFigures[]): Table[] {
  return [
    {
      title: `${String(workers)} workers, one agent, one collector`,
      rows: [
        [
          ...["tasks/s a worker", "interval", "in an envelope", "offered/s", "acknowledged/s", "samples/s"],
          ...[
            "ack p50",
            "ack p99",
            "agent a message",
            "agent",
            "its memory",
            "at most",
            "collector",
            "workers",
          ],
        ],
        ...found.map((one) => [
          String(one.tasksPerSecond),
          one.interval === undefined ? "–" : `${String(one.interval)} s`,
          one.messagesInEnvelope.toFixed(1),
          rounded(one.offeredPerSecond),
          rounded(one.acknowledgedPerSecond),
          rounded(one.samplesPerSecond),
          `${one.ackMs.p50.toFixed(0)} ms`,
          `${one.ackMs.p99.toFixed(0)} ms`,
          `${one.agentMicros.toFixed(1)} us`,
          percent(one.agentShare),
          `${String(one.agentMebibytes)} MiB`,
          `${String(one.agentPeakMebibytes)} MiB`,
          percent(one.collectorShare),
          percent(one.workersShare),
        ]),
      ],
    },
  ];
}

async function measureOnce(load: NodeLoad, seconds: number): Promise<NodeFigures> {
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  const processes = load.interval === undefined ? [] : startSleepers();
  const database = join(directory, "monitoring.db");
  const collector = await BenchCollector.start(database);
  const agent = await BenchAgent.start(collector.address, join(directory, "agent.sock"));
  try {
    return await drive(agent, collector, database, processes, load, seconds);
  } finally {
    await agent.stop();
    await collector.stop();
    for (const one of processes) one.kill();
    rmSync(directory, { recursive: true });
  }
}

/** In the place of the workers' processes, for the sampler. */
function startSleepers(): ChildProcess[] {
  return Array.from({ length: workers }, () => spawn("sleep", ["600"], { stdio: "ignore" }));
}

async function drive(
  agent: BenchAgent,
  collector: BenchCollector,
  database: string,
  processes: readonly ChildProcess[],
  load: NodeLoad,
  seconds: number,
): Promise<NodeFigures> {
  const reader = new Database(database, { readonly: true });
  const countSamples = reader.prepare("SELECT coalesce(max(rowid), 0) FROM resource").pluck();
  const all = await Promise.all(
    Array.from({ length: workers }, (_, number) =>
      Worker.connect(agent.socket, new Script(number, load, seconds, processes[number]?.pid), load),
    ),
  );
  const look = () => ({
    atMs: performance.now(),
    acknowledged: all.reduce((sum, worker) => sum + worker.acknowledged, 0),
    samples: countSamples.get() as number,
    agent: agent.cpuSeconds(),
    collector: collector.cpuSeconds(),
    own: ownSeconds(),
  });
  const failed = Promise.race(all.map((worker) => worker.failed));
  const began = performance.now();
  all.forEach((worker, number) => worker.begin(began + (number * gatherMs) / workers));
  const ticks = setInterval(() => all.forEach((worker) => worker.send(performance.now())), 1);
  try {
    await Promise.race([failed, delay(warmUpSeconds)]);
    const before = look();
    all.forEach((worker) => worker.forgetFigures());
    await Promise.race([failed, delay(seconds)]);
    const after = look();
    const took = (after.atMs - before.atMs) / 1000;
    const acknowledged = after.acknowledged - before.acknowledged;
    return {
      ...load,
      offeredPerSecond: workers * load.tasksPerSecond * messagesOfTask,
      acknowledgedPerSecond: acknowledged / took,
      samplesPerSecond: (after.samples - before.samples) / took,
      messagesInEnvelope: acknowledged / all.reduce((sum, { delays }) => sum + delays.length, 0),
      ackMs: quantiles(all.flatMap(({ delays }) => delays)),
      agentMicros: ((after.agent - before.agent) / acknowledged) * 1e6,
      agentShare: (after.agent - before.agent) / took,
      collectorShare: (after.collector - before.collector) / took,
      workersShare: (after.own - before.own) / took,
      agentMebibytes: agent.residentMebibytes(),
      agentPeakMebibytes: agent.peakMebibytes(),
    };
  } finally {
    clearInterval(ticks);
    for (const worker of all) worker.end();
    reader.close();
  }
}

function delay(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/** All that a worker will say, encoded beforehand: this process costs little meanwhile. */
class Script {
  /** The messages as they stand in an envelope, one after the other. */
  readonly #bytes: Buffer;
  /** Where each begins, and where the last ends. */
  readonly #offsets: readonly number[];
  readonly #head: Uint8Array;

  constructor(number: number, load: NodeLoad, seconds: number, pid: number | undefined) {
    const tasks = Math.ceil((warmUpSeconds + seconds) * load.tasksPerSecond);
    const fields = new BinaryWriter();
    const offsets = [0];
    const parts: Uint8Array[] = [];
    for (let task = 0; task < tasks; task += 1) {
      for (const isStart of [true, false]) {
        const message = workerTaskInfo(
          number * tasks + task,
          isStart,
          isStart ? pid : undefined,
          load.interval,
        );
        const field = fields.tag(messagesField, WireType.LengthDelimited).bytes(message).finish();
        parts.push(field);
        offsets.push((offsets.at(-1) ?? 0) + field.length);
      }
    }
    this.#bytes = Buffer.concat(parts);
    this.#offsets = offsets;
    const head = { senderId: randomBytes(16).toString("hex"), runId: "bench", hostname: "node1" };
    this.#head = Envelope.encode(Envelope.fromPartial(head)).finish();
  }

  get length(): number {
    return this.#offsets.length - 1;
  }

  /** The messages from one up to another, which is not in it. */
  envelope(from: number, to: number): Uint8Array {
    const sequence = new BinaryWriter().tag(firstSequenceField, WireType.Varint).uint64(from + 1);
    return Buffer.concat([
      ...[this.#head, sequence.finish()],
      this.#bytes.subarray(this.#offsets[from], this.#offsets[to]),
    ]);
  }
}

function workerTaskInfo(
  taskId: number,
  isStart: boolean,
  processPid: number | undefined,
  resourceMonitoringInterval: number | undefined,
): Uint8Array {
  return MonitoringMessage.encode(
    MonitoringMessage.fromPartial({
      kind: {
        $case: "workerTaskInfo",
        value: {
          ...{ taskId, tryId: 0, blockId: "0", firstMsg: isStart, lastMsg: !isStart },
          timestamp: timestampOf(Date.now() * 1000),
          ...(processPid === undefined ? {} : { processPid, resourceMonitoringInterval }),
        },
      },
    }),
  ).finish();
}

/** Says its script at its pace as the Python sender does: one envelope on its way at a time, with all that has
 *  gathered meanwhile. */
class Worker {
  readonly #socket: Socket;
  readonly #script: Script;
  readonly #load: NodeLoad;
  readonly #frames = new FrameReader();
  readonly #failure = Promise.withResolvers<never>();
  #beganMs = 0;
  #sentAtMs = -Infinity;
  #sent = 0;
  /** Messages. */
  acknowledged = 0;
  /** Of each envelope, from its sending to its acknowledgement, in ms. */
  delays: number[] = [];

  private constructor(socket: Socket, script: Script, load: NodeLoad) {
    this.#socket = socket;
    this.#script = script;
    this.#load = load;
    socket.on("error", (cause) => this.#failure.reject(cause));
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
  }

  static async connect(path: string, script: Script, load: NodeLoad): Promise<Worker> {
    const socket = createConnection({ path });
    await once(socket, "connect");
    return new Worker(socket, script, load);
  }

  /** Rejects with the first thing that is not as it should be. */
  get failed(): Promise<never> {
    return this.#failure.promise;
  }

  begin(atMs: number): void {
    this.#beganMs = atMs;
  }

  send(nowMs: number): void {
    if (this.acknowledged < this.#sent || nowMs < this.#sentAtMs + this.#load.gatherMs) return;
    const perMs = (this.#load.tasksPerSecond * messagesOfTask) / 1000;
    const due = Math.min(this.#script.length, Math.floor((nowMs - this.#beganMs) * perMs));
    if (due <= this.#sent) return;
    const to = Math.min(due, this.#sent + mostMessages);
    this.#socket.cork();
    for (const part of frameOf(frameKinds.envelope, this.#script.envelope(this.#sent, to))) {
      this.#socket.write(part);
    }
    this.#socket.uncork();
    this.#sent = to;
    this.#sentAtMs = nowMs;
  }

  forgetFigures(): void {
    this.delays = [];
  }

  end(): void {
    this.#socket.end();
  }

  #hear(chunk: Buffer): void {
    for (const { kind, payload } of this.#frames.take(chunk)) {
      if (kind !== frameKinds.acknowledgement) {
        this.#failure.reject(new Error(`measure the agent: it refused an envelope: ${payload.toString()}`));
        return;
      }
      const { committed, rejections } = Acknowledgement.decode(payload);
      if (Number(committed?.last) !== this.#sent || rejections.length > 0) {
        const reason = rejections[0]?.reason ?? `up to ${String(committed?.last)}`;
        this.#failure.reject(new Error(`measure the agent: not all was stored: ${reason}`));
        return;
      }
      this.delays.push(performance.now() - this.#sentAtMs);
      this.acknowledged = this.#sent;
    }
  }
}
