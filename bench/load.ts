import { randomBytes } from "node:crypto";
import { once } from "node:events";

import { credentials, makeGenericClientConstructor, type ClientDuplexStream } from "@grpc/grpc-js";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import Database from "better-sqlite3";

import {
  CollectorServiceService,
  type StreamMessagesResponse,
} from "../src/gen/parsl_collector/v1/collector_service.js";
import { Envelope } from "../src/model/envelope.js";
import { encodedMessages, type Mix } from "./messages.js";
import type { BenchCollector } from "./processes.js";
import { quantiles, type Quantiles } from "./report.js";

/** Unacknowledged envelopes of a stream, as every client of ours has. */
export const windowEnvelopes = 8;

/** After this a stream sends nothing new, in ms: on a busy machine a figure comes from fewer messages, not later. */
const defaultLongestMs = 4_000;

/** Connections of many streams, as behind a proxy: one each costs both sides more than their messages do. */
const mostConnections = 100;

export interface Load {
  readonly mix: Mix;
  /** At most; fewer on a machine that has not sent them all in time. */
  readonly messages: number;
  readonly streams: number;
  readonly envelopeMessages: number;
  /** Number of the first task, or of the first sample: what was sent before lies below. Default: 0. */
  readonly first?: number;
  /** The run that they are of. Default: "bench". */
  readonly runId?: string;
  /** Runs that the envelopes are of, in turn. Default: 1. */
  readonly runs?: number;
  /** After this a stream sends nothing new, in ms. Default: 4,000 (`defaultLongestMs`). */
  readonly longestMs?: number;
  /** Unacknowledged envelopes of a stream. Default: 8 (`windowEnvelopes`). */
  readonly window?: number;
}

export interface LoadFigures {
  /** That were acknowledged. */
  readonly messages: number;
  readonly messagesPerSecond: number;
  /** From the sending of an envelope to its acknowledgement, in ms. */
  readonly ackMs: Quantiles;
  readonly cpuMicrosPerMessage: number;
}

/** Sends as fast as acknowledgements come, from requests that are made beforehand: this process costs next to
 *  nothing meanwhile. All is committed when it resolves. */
export async function saturate(collector: BenchCollector, load: Load): Promise<LoadFigures> {
  const queues = envelopesOf(load).map((envelopes) => envelopes.map(requestOf));
  const cpu = collector.cpuSeconds();
  const began = performance.now();
  const until = began + (load.longestMs ?? defaultLongestMs);
  const clients = Array.from({ length: Math.min(queues.length, mostConnections) }, () =>
    openClient(collector.address),
  );
  const sent = await Promise.all(
    queues.map((requests, index) =>
      sendAll(openStream(clients[index % clients.length]), requests, until, load.window ?? windowEnvelopes),
    ),
  );
  clients.forEach((client) => client.close());
  const seconds = (performance.now() - began) / 1000;
  const messages = sent.reduce((sum, stream) => sum + stream.messages, 0);
  return {
    messages,
    messagesPerSecond: messages / seconds,
    ackMs: quantiles(sent.flatMap(({ delays }) => delays)),
    cpuMicrosPerMessage: ((collector.cpuSeconds() - cpu) / messages) * 1e6,
  };
}

/** What a user of a quiet workflow sees: single messages at a steady pace. */
export async function paced(
  collector: BenchCollector,
  database: string,
  { messages, perSecond }: { readonly messages: number; readonly perSecond: number },
): Promise<{ readonly ackMs: Quantiles; readonly visibleMs: Quantiles }> {
  const [envelopes = []] = envelopesOf({ mix: "resource", messages, streams: 1, envelopeMessages: 1 });
  const requests = envelopes.map(requestOf);
  const reader = new Database(database, { readonly: true });
  const count = reader.prepare("SELECT coalesce(max(rowid), 0) FROM resource").pluck();
  const before = count.get() as number;
  const client = openClient(collector.address);
  const stream = openStream(client);
  const sent: number[] = [];
  const acked: number[] = [];
  const seen: number[] = [];
  stream.on("data", (response: StreamMessagesResponse) => {
    response.acknowledgements.forEach(() => acked.push(performance.now() - (sent[acked.length] ?? NaN)));
  });
  const began = performance.now();
  await new Promise<void>((resolve, reject) => {
    stream.on("error", reject);
    const look = setInterval(() => {
      const now = performance.now();
      while (sent.length < messages && now >= began + (sent.length * 1000) / perSecond) {
        sent.push(performance.now());
        stream.write(requests[sent.length - 1] ?? Buffer.alloc(0));
      }
      const rows = (count.get() as number) - before;
      while (seen.length < rows) seen.push(performance.now() - (sent[seen.length] ?? NaN));
      if (seen.length === messages && acked.length === messages) {
        clearInterval(look);
        resolve();
      }
    }, 1);
  });
  stream.end();
  client.close();
  reader.close();
  return { ackMs: quantiles(acked), visibleMs: quantiles(seen) };
}

/** Streams that are open and say nothing. Returns what closes them. */
export function openSilent(address: string, count: number): () => Promise<void> {
  const clients = Array.from({ length: count }, () => openClient(address));
  const streams = clients.map((client) => openStream(client).resume());
  return async () => {
    await Promise.all(streams.map((stream) => once(stream.end(), "end")));
    clients.forEach((client) => client.close());
  };
}

/** The envelopes of each stream. Envelopes go to the streams in turn, so messages of one task come from several
 *  senders, as the submitting process and the workers are. */
export function envelopesOf(load: Load): Uint8Array[][] {
  const { mix, messages, streams, envelopeMessages, first = 0, runId = "bench", runs = 1 } = load;
  const senders = Array.from({ length: streams }, () => ({
    senderId: randomBytes(16).toString("hex"),
    next: 1,
    envelopes: [] as Uint8Array[],
  }));
  let turn = 0;
  let waiting: Uint8Array[] = [];
  const cut = (): void => {
    const sender = senders[turn++ % streams];
    if (sender === undefined || waiting.length === 0) return;
    const head = Envelope.encode(
      Envelope.fromPartial({
        senderId: sender.senderId,
        firstSequence: BigInt(sender.next),
        runId: runs === 1 ? runId : `${runId}-${String(turn % runs)}`,
        hostname: "node1",
      }),
    );
    for (const message of waiting) head.tag(6, WireType.LengthDelimited).bytes(message);
    sender.envelopes.push(head.finish());
    sender.next += waiting.length;
    waiting = [];
  };
  for (const message of encodedMessages(mix, messages, first)) {
    waiting.push(message);
    if (waiting.length === envelopeMessages) cut();
  }
  cut();
  return senders.map(({ envelopes }) => envelopes);
}

/** A StreamMessagesRequest. */
function requestOf(envelope: Uint8Array): Buffer {
  return Buffer.from(new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(envelope).finish());
}

type Stream = ClientDuplexStream<Buffer, StreamMessagesResponse>;

const CollectorClient = makeGenericClientConstructor(
  {
    streamMessages: {
      ...CollectorServiceService.streamMessages,
      requestSerialize: (bytes: Buffer) => bytes,
    },
  },
  "CollectorService",
);
type CollectorClient = InstanceType<typeof CollectorClient>;

/** With a connection of its own, as senders in different processes have. */
function openClient(address: string): CollectorClient {
  return new CollectorClient(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

function openStream(client: CollectorClient | undefined): Stream {
  return (client?.["streamMessages"] as () => Stream).call(client);
}

interface Sent {
  /** Of each envelope, from its sending to its acknowledgement, in ms. */
  readonly delays: number[];
  /** Acknowledged messages. */
  readonly messages: number;
}

function sendAll(stream: Stream, requests: readonly Buffer[], until: number, window: number): Promise<Sent> {
  const sent: number[] = [];
  const delays: number[] = [];
  let messages = 0;
  return new Promise((resolve, reject) => {
    const fill = (): void => {
      while (
        sent.length < requests.length &&
        sent.length - delays.length < window &&
        performance.now() < until
      ) {
        sent.push(performance.now());
        stream.write(requests[sent.length - 1] ?? Buffer.alloc(0));
      }
    };
    stream.on("error", reject);
    stream.on("data", (response: StreamMessagesResponse) => {
      for (const { committed, rejections } of response.acknowledgements) {
        delays.push(performance.now() - (sent[delays.length] ?? NaN));
        // A rejected message is no row: a rate with such in it would be another figure.
        if (committed === undefined || rejections.length > 0) {
          reject(
            new Error(`measure the collector: it rejected a message: ${rejections[0]?.reason ?? "no range"}`),
          );
          return;
        }
        messages += Number(committed.last - committed.first) + 1;
      }
      fill();
      if (delays.length < sent.length) return;
      stream.end();
      resolve({ delays, messages });
    });
    fill();
    if (sent.length > 0) return;
    stream.end();
    resolve({ delays, messages });
  });
}
