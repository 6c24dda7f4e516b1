import { randomBytes } from "node:crypto";
import { once } from "node:events";

import { credentials, makeGenericClientConstructor, type ClientDuplexStream } from "@grpc/grpc-js";

import {
  CollectorServiceService,
  type StreamMessagesRequest,
  type StreamMessagesResponse,
} from "../src/gen/parsl_collector/v1/collector_service.js";
import { channelOptions } from "../src/radios/grpc/options.js";
import { sample } from "./messages.js";
import type { ClientTask, ClientReport } from "./streams.js";

/** A process of bench/streams.ts that holds many streams open: `node streams-client.js JSON`. When all are open and
 *  each has its first message acknowledged it prints a line, and after `seconds` more the delays. */

/** Streams of this process that connect at a time. */
const mostOpening = 64;

const task = JSON.parse(process.argv[2] ?? "") as ClientTask;

type Stream = ClientDuplexStream<StreamMessagesRequest, StreamMessagesResponse>;

const Client = makeGenericClientConstructor(CollectorServiceService, "CollectorService");

class OpenStream {
  readonly #stream: Stream;
  readonly #senderId = randomBytes(16).toString("hex");
  readonly #taskId: number;
  #sequence = 0;
  #answer: PromiseWithResolvers<void> | undefined;
  readonly broken: Promise<Error>;

  constructor(client: InstanceType<typeof Client>, taskId: number) {
    this.#taskId = taskId;
    this.#stream = (client["streamMessages"] as () => Stream).call(client);
    this.broken = once(this.#stream, "error").then(([cause]) => cause as Error);
    this.#stream.on("data", ({ acknowledgements }: StreamMessagesResponse) => {
      for (const { rejections } of acknowledgements) {
        if (rejections.length > 0) this.#answer?.reject(new Error(rejections[0]?.reason));
        else this.#answer?.resolve();
      }
    });
  }

  /** Resolves with the time until the acknowledgement, in ms. */
  async send(): Promise<number> {
    const sentAt = performance.now();
    this.#answer = Promise.withResolvers<void>();
    this.#sequence += 1;
    this.#stream.write({
      moreEnvelopes: [],
      envelope: {
        senderId: this.#senderId,
        firstSequence: BigInt(this.#sequence),
        runId: "bench",
        hostname: `node${String(this.#taskId)}`,
        messages: [{ kind: sample(this.#taskId, this.#sequence) }],
        losses: [],
        utcOffsetSeconds: undefined,
        closingNote: undefined,
      },
    });
    await Promise.race([this.#answer.promise, this.broken.then((cause) => Promise.reject(cause))]);
    return performance.now() - sentAt;
  }
}

const clients = Array.from(
  { length: task.connections },
  () => new Client(task.address, credentials.createInsecure(), channelOptions(task.address, undefined)),
);
const streams: OpenStream[] = [];
const faults: string[] = [];

async function openSome(): Promise<void> {
  while (streams.length < task.streams) {
    const client = clients[streams.length % clients.length];
    if (client === undefined) return;
    const stream = new OpenStream(client, task.firstTask + streams.length);
    streams.push(stream);
    void stream.broken.then(({ message }) => faults.push(message));
    await stream.send().catch(() => undefined); // among the faults
  }
}

function tell(report: ClientReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

await Promise.all(Array.from({ length: mostOpening }, openSome));
tell({ faults, delays: [] });

await once(process.stdin, "data"); // all processes are ready

const delays: number[] = [];
const everyMs = task.everySeconds * 1000;
const began = performance.now();
streams.forEach((stream, index) => {
  const sendAgain = (): void => {
    stream.send().then(
      (delay) => delays.push(delay),
      () => undefined, // among the faults
    );
  };
  setTimeout(
    () => {
      sendAgain();
      setInterval(sendAgain, everyMs);
    },
    (index * everyMs) / streams.length,
  );
});
await new Promise((resolve) => setTimeout(resolve, task.seconds * 1000 - (performance.now() - began)));
tell({ faults, delays });
process.exit();
