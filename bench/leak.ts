import { once } from "node:events";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";

import { Acknowledgement } from "../src/model/envelope.js";
import { frameKinds, frameOf, FrameReader } from "../src/radios/unix/frames.js";
import { envelopesOf, windowEnvelopes } from "./load.js";
import { inDirectory, runPython, scaled, type Setting } from "./part.js";
import { BenchAgent, BenchCollector } from "./processes.js";
import { rounded, type Findings, type Target } from "./report.js";

const messages = 10_000_000;

/** Memory is looked at this often; what it is in the second half beside the first says whether it grows. */
const looks = 20;

/** Sent between two looks in one go, at most: more would only fill this process's memory. */
const chunkMessages = 100_000;

/** Senders of a chunk; each chunk has new ones, as workers come and go. */
const senders = 10;

/** What garbage collection may leave, in MiB. */
const noiseMebibytes = 24;

/** Memory in MiB at each look. */
type Memory = Readonly<Record<"agent" | "collector" | "drain" | "drain's collector", readonly number[]>>;

/** Memory of the collector, of an agent before it, and of a hub's drain, while many messages pass. */
export async function measureLeak(setting: Setting): Promise<Findings> {
  const count = scaled(messages, setting, looks * 1_000);
  const behindAgent = await throughAgent(count, setting);
  setting.say(`${rounded(count)} messages through a hub`);
  const hub = await runPython<{ readonly drain: number[]; readonly collector: number[] }>(
    setting,
    "drain.py",
    ...[String(count), String(looks)],
  );
  const memory: Memory = { ...behindAgent, drain: hub.drain, "drain's collector": hub.collector };
  const names = Object.keys(memory) as (keyof Memory)[];
  return {
    tables: [
      {
        title: `Memory while ${rounded(count)} messages pass`,
        rows: [
          ["messages", ...names],
          ...Array.from({ length: looks }, (_, look) => [
            rounded((count * (look + 1)) / looks),
            ...names.map((name) => `${memory[name][look]?.toFixed(0) ?? "–"} MiB`),
          ]),
        ],
      },
    ],
    targets: names.map((name) => targetOf(name, memory[name])),
  };
}

function targetOf(name: string, found: readonly number[]): Target {
  const first = Math.max(...found.slice(0, looks / 2));
  const second = Math.max(...found.slice(looks / 2));
  return {
    figure: `memory of ${name} while messages pass`,
    wanted: `second half ≤ the first's + ${String(noiseMebibytes)} MiB`,
    found: `${second.toFixed(0)} beside ${first.toFixed(0)} MiB`,
    isMet: second <= first + noiseMebibytes,
  };
}

function throughAgent(count: number, { say }: Setting): Promise<Pick<Memory, "agent" | "collector">> {
  return inDirectory(async (database) => {
    await using collector = await BenchCollector.start(database);
    await using agent = await BenchAgent.start(collector.address, join(dirname(database), "agent.sock"));
    const memory = { agent: [] as number[], collector: [] as number[] };
    let sent = 0;
    for (let look = 1; look <= looks; look += 1) {
      say(`${rounded(count)} messages through an agent: ${String(look)} of ${String(looks)}`);
      const until = Math.round((count * look) / looks);
      while (sent < until) {
        const size = Math.min(chunkMessages, until - sent);
        await sendChunk(agent.socket, sent, size);
        sent += size;
      }
      memory.agent.push(agent.residentMebibytes());
      memory.collector.push(collector.residentMebibytes());
    }
    return memory;
  });
}

/** Resolves when all is acknowledged, which is when the collector has committed it. */
async function sendChunk(socket: string, first: number, size: number): Promise<void> {
  const load = { mix: "resource", streams: senders, envelopeMessages: 100, messages: size, first } as const;
  await Promise.all(envelopesOf(load).map((envelopes) => sendEnvelopes(socket, envelopes)));
}

async function sendEnvelopes(path: string, envelopes: readonly Uint8Array[]): Promise<void> {
  const socket = createConnection({ path });
  await once(socket, "connect");
  const frames = new FrameReader();
  let sent = 0;
  let acknowledged = 0;
  await new Promise<void>((resolve, reject) => {
    const fill = (): void => {
      for (; sent < envelopes.length && sent - acknowledged < windowEnvelopes; sent += 1) {
        for (const part of frameOf(frameKinds.envelope, envelopes[sent] ?? new Uint8Array())) {
          socket.write(part);
        }
      }
      if (acknowledged === envelopes.length) resolve();
    };
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("measure the agent: it closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      for (const { kind, payload } of frames.take(chunk)) {
        if (kind !== frameKinds.acknowledgement) {
          reject(new Error(`measure the agent: it refused an envelope: ${payload.toString()}`));
          return;
        }
        const [rejection] = Acknowledgement.decode(payload).rejections;
        if (rejection !== undefined) {
          reject(new Error(`measure the agent: a message was rejected: ${rejection.reason}`));
          return;
        }
        acknowledged += 1;
      }
      fill();
    });
    fill();
  });
  socket.end();
}
