import {
  credentials,
  makeGenericClientConstructor,
  type Client,
  type ClientDuplexStream,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";

import type { Message } from "../../src/client/message.js";
import {
  CollectorServiceService,
  type GetStatusResponse,
  type SendMessagesResponse,
  type StreamMessagesResponse,
} from "../../src/gen/parsl_collector/v1/collector_service.js";
import type { Acknowledgement } from "../../src/model/envelope.js";
import { envelopeOf, lengthDelimited, type EnvelopeFields } from "./encoded.js";
import type { Scope } from "./scope.js";
import { within } from "./wait.js";

const envelopeField = 1;

/** How long a stream may wait for the collector before it has failed, in ms: longer than a test keeps a file locked. */
const patienceMs = 180_000;

/** The service with requests as the bytes of an envelope, so that a test can send any bytes at all. */
const requestSerialize = (envelope: Uint8Array): Buffer => lengthDelimited(envelopeField, envelope);
const definition = {
  ...CollectorServiceService,
  streamMessages: { ...CollectorServiceService.streamMessages, requestSerialize },
  sendMessages: { ...CollectorServiceService.sendMessages, requestSerialize },
};
const ServiceClient = makeGenericClientConstructor(definition, "CollectorService");

type Callback<Response> = (error: ServiceError | null, response: Response) => void;
type RawClient = Client & {
  streamMessages(): ClientDuplexStream<Uint8Array, StreamMessagesResponse>;
  sendMessages(envelope: Uint8Array, callback: Callback<SendMessagesResponse>): void;
  getStatus(request: { runId: string }, callback: Callback<GetStatusResponse>): void;
};

/** A bare client of the service: it sends what it is told, once, and keeps nothing. */
export class Service {
  readonly #client: RawClient;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  /** Connects until the test ends. */
  static connect(t: Pick<Scope, "teardown">, address: string): Service {
    const client = new ServiceClient(address, credentials.createInsecure(), {
      "grpc.enable_retries": 0,
      "grpc.enable_http_proxy": 0,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1, // so that two clients in a test are two connections
    }) as unknown as RawClient;
    t.teardown(() => client.close());
    return new Service(client);
  }

  /** Sends one envelope with these messages and waits for its acknowledgement. */
  send(messages: readonly Message[], fields: EnvelopeFields = {}): Promise<Acknowledgement> {
    return this.sendBytes(envelopeOf(messages, fields));
  }

  /** Sends the bytes of one envelope and waits for its acknowledgement. */
  sendBytes(envelope: Uint8Array): Promise<Acknowledgement> {
    return new Promise((resolve, reject) => {
      this.#client.sendMessages(envelope, (error, response) => {
        if (error !== null) reject(error);
        else if (response.acknowledgement === undefined)
          reject(new Error("an answer without acknowledgement"));
        else resolve(response.acknowledgement);
      });
    });
  }

  status(runId = ""): Promise<GetStatusResponse> {
    return new Promise((resolve, reject) => {
      this.#client.getStatus({ runId }, (error, response) => {
        if (error !== null) reject(error);
        else resolve(response);
      });
    });
  }

  stream(): Stream {
    return new Stream(this.#client.streamMessages());
  }
}

/** One stream: envelopes up, and the acknowledgements that have come down. */
export class Stream {
  readonly acknowledgements: Acknowledgement[] = [];
  /** How the collector ended it. */
  readonly ended: Promise<StatusObject>;
  readonly #call: ClientDuplexStream<Uint8Array, StreamMessagesResponse>;
  #changed = Promise.withResolvers<void>();

  constructor(call: ClientDuplexStream<Uint8Array, StreamMessagesResponse>) {
    this.#call = call;
    call.on("data", (response: StreamMessagesResponse) => {
      this.acknowledgements.push(...response.acknowledgements);
      this.#changed.resolve();
    });
    call.on("error", () => undefined); // `ended` tells it too
    this.ended = new Promise((resolve) => call.on("status", resolve));
  }

  /** Sends the bytes of an envelope. Resolves when the stream can take another, or has ended. */
  async write(envelope: Uint8Array): Promise<void> {
    if (this.#call.write(envelope)) return;
    const room = new Promise((resolve) => this.#call.once("drain", resolve));
    await within("room in a stream", Promise.race([room, this.ended]), patienceMs);
  }

  /** Resolves with the acknowledgements when there are `count`. */
  async acknowledged(count: number): Promise<readonly Acknowledgement[]> {
    while (this.acknowledgements.length < count) {
      this.#changed = Promise.withResolvers<void>();
      const ended = this.ended.then(({ code, details }) => {
        throw new Error(`the stream ended with ${String(code)}: ${details}`);
      });
      const what = `${String(count)} acknowledgements, of which ${String(this.acknowledgements.length)} are there`;
      await within(what, Promise.race([this.#changed.promise, ended]), patienceMs);
    }
    return this.acknowledgements;
  }

  /** Breaks it off, as a client does that has no more use for it. */
  cancel(): void {
    this.#call.cancel();
  }

  /** Says that nothing more comes, and waits for the collector's end. */
  async end(): Promise<StatusObject> {
    this.#call.end();
    return this.ended;
  }
}
