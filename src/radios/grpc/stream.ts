import type { Socket } from "node:net";

import { Client, connectivityState, status, type ClientDuplexStream } from "@grpc/grpc-js";

import { CollectorError } from "../../base/errors.js";
import {
  CollectorServiceService,
  type StreamMessagesResponse,
} from "../../gen/parsl_collector/v1/collector_service.js";
import type { Acknowledgement } from "../../model/envelope.js";
import type { OutgoingEnvelope } from "../radio.js";
import { callMetadata, channelCredentials, channelOptions, endPatienceMs } from "./options.js";
import { requestOf } from "./request.js";
import type { GrpcSenderOptions } from "./sender.js";
import { collectSockets } from "./sockets.js";
import { streamError } from "./status.js";

/** A request of so many bytes takes no more envelopes. */
const fullRequestBytes = 64 * 1024;

interface Sent {
  readonly envelope: OutgoingEnvelope;
  readonly answer: PromiseWithResolvers<Acknowledgement>;
}

/** One connection and the one stream on it, from the attempt to connect to its end. A new attempt is a new
 *  object with a new channel: grpc-js would reconnect by itself, with pauses of its own. */
export class MessageStream {
  readonly #address: string;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<readonly Uint8Array[], StreamMessagesResponse>;
  readonly #deadline: NodeJS.Timeout;
  readonly #sockets = new Set<Socket>();
  readonly #ended = Promise.withResolvers<void>();
  /** Not answered yet, in the order in which they were and will be written. */
  #unanswered: Sent[] = [];
  /** How many of them are written. */
  #written = 0;
  #writable = true;
  /** Whether a write is about to come. */
  #isWriting = false;
  #failure: CollectorError | undefined;

  constructor({ address, connectTimeoutMs, token, tls }: Required<GrpcSenderOptions>) {
    this.#address = address;
    this.#client = new Client(address, channelCredentials(address, tls), channelOptions(address, tls));
    const { path, responseDeserialize } = CollectorServiceService.streamMessages;
    this.#call = collectSockets(this.#sockets, () =>
      this.#client.makeBidiStreamRequest(path, requestOf, responseDeserialize, callMetadata(token)),
    );
    this.#call.on("data", (response: StreamMessagesResponse) => {
      for (const acknowledgement of response.acknowledgements) this.#answer(acknowledgement);
    });
    this.#call.on("drain", () => {
      this.#writable = true;
      this.#write();
    });
    this.#call.on("error", () => undefined); // "status" says the same, and comes for good ends too
    this.#call.on("status", (end) => {
      const details = end.code === status.OK ? "the collector ended the stream" : end.details;
      this.#end(streamError(address, { code: end.code, details }));
      this.#ended.resolve();
    });
    this.#deadline = setTimeout(() => {
      const seconds = String(connectTimeoutMs / 1000);
      this.#end(
        new CollectorError(
          "deadline",
          `connect to collector ${address}: no answer within ${seconds} s; is it a collector?`,
        ),
      );
    }, connectTimeoutMs);
    this.#awaitReady();
  }

  /** Whether the stream has ended, for whatever reason. */
  get over(): boolean {
    return this.#failure !== undefined;
  }

  /** Resolves with the acknowledgement; rejects with the reason for which the stream ended before. */
  async send(envelope: OutgoingEnvelope): Promise<Acknowledgement> {
    if (this.#failure !== undefined) throw this.#failure;
    const answer = Promise.withResolvers<Acknowledgement>();
    this.#unanswered.push({ envelope, answer });
    if (!this.#isWriting) {
      this.#isWriting = true;
      queueMicrotask(() => this.#write()); // with what is sent in the same moment
    }
    return answer.promise;
  }

  /** Ends the stream: in good order when everything is answered, at once otherwise. */
  async close(reason: CollectorError): Promise<void> {
    if (this.#failure === undefined && this.#unanswered.length === 0) {
      this.#call.end();
      const patience = setTimeout(() => {
        this.#end(reason);
      }, endPatienceMs);
      await this.#ended.promise;
      clearTimeout(patience);
    }
    this.#end(reason);
  }

  /** The stream is made at once; its connection is not there yet, and only the channel knows when it is. */
  #awaitReady(): void {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) {
      clearTimeout(this.#deadline);
      return;
    }
    channel.watchConnectivityState(state, Infinity, (closed) => {
      if (closed === undefined && !this.over) this.#awaitReady();
    });
  }

  /** Writes what waits, in few requests: one costs both sides more than a small envelope in it, and an agent has many
   *  of those. */
  #write(): void {
    this.#isWriting = false;
    while (this.#writable && this.#written < this.#unanswered.length) {
      const envelopes: Uint8Array[] = [];
      let bytes = 0;
      for (; bytes < fullRequestBytes; this.#written += 1) {
        const next = this.#unanswered[this.#written];
        if (next === undefined) break;
        envelopes.push(next.envelope.bytes);
        bytes += next.envelope.bytes.length;
      }
      this.#writable = this.#call.write(envelopes);
    }
  }

  /** Acknowledgements come in the order of the envelopes. */
  #answer(acknowledgement: Acknowledgement): void {
    const first = this.#unanswered[0];
    if (first === undefined || this.#written === 0 || !answers(acknowledgement, first.envelope)) {
      const { senderId, committed } = acknowledgement;
      const range =
        committed === undefined ? "none" : `${String(committed.first)} to ${String(committed.last)}`;
      this.#end(
        new CollectorError(
          "internal",
          `stream to collector ${this.#address}: an acknowledgement out of order (sender ${senderId}, sequences ${range})`,
        ),
      );
      return;
    }
    this.#unanswered.shift();
    this.#written -= 1;
    first.answer.resolve(acknowledgement);
  }

  #end(reason: CollectorError): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    clearTimeout(this.#deadline);
    this.#call.cancel();
    this.#client.close();
    for (const socket of this.#sockets) socket.destroy();
    const unanswered = this.#unanswered;
    this.#unanswered = [];
    for (const { answer } of unanswered) answer.reject(reason);
  }
}

function answers({ senderId, committed }: Acknowledgement, envelope: OutgoingEnvelope): boolean {
  if (senderId !== envelope.senderId) return false;
  if (envelope.count === 0) return committed === undefined;
  return (
    Number(committed?.first) === envelope.firstSequence &&
    Number(committed?.last) === envelope.firstSequence + envelope.count - 1
  );
}
