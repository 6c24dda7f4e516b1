import { abortable } from "../../base/abortable.js";
import { CollectorError } from "../../base/errors.js";
import type { ClientTls, OutgoingEnvelope, RadioSender, Receipt } from "../radio.js";
import { defaultConnectTimeoutMs } from "./options.js";
import { MessageStream } from "./stream.js";

export interface GrpcSenderOptions {
  /** The collector's, as "127.0.0.1:41235". */
  readonly address: string;
  /** Longest attempt to connect, in ms. Default: 10,000 (`defaultConnectTimeoutMs`). */
  readonly connectTimeoutMs?: number;
  /** What the collector is shown to let us in. */
  readonly token?: string | undefined;
  /** How we make sure of the collector. Default: no TLS. */
  readonly tls?: ClientTls | undefined;
}

/** Sends envelopes over one gRPC stream to a collector. Connects with the first envelope, and anew with the
 *  first one after a stream has ended. Reliable: `send` resolves with the acknowledgement of the commit. */
export function openGrpcSender(options: GrpcSenderOptions): RadioSender {
  return new GrpcSender(options);
}

class GrpcSender implements RadioSender {
  readonly #options: Required<GrpcSenderOptions>;
  #stream: MessageStream | undefined;
  #disposal: Promise<void> | undefined;

  constructor({ address, connectTimeoutMs = defaultConnectTimeoutMs, token, tls }: GrpcSenderOptions) {
    this.#options = { address, connectTimeoutMs, token, tls };
  }

  async send(envelope: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt> {
    if (this.#disposal !== undefined) throw this.#closed();
    signal?.throwIfAborted();
    if (this.#stream === undefined || this.#stream.over) {
      this.#stream = new MessageStream(this.#options);
    }
    // After an abort the envelope is on its way and may be stored all the same.
    const acknowledgement = await abortable(this.#stream.send(envelope), signal);
    return { delivery: "stored", acknowledgement };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#stream?.close(this.#closed()) ?? Promise.resolve();
    await this.#disposal;
  }

  #closed(): CollectorError {
    return new CollectorError(
      "closed",
      `send to collector ${this.#options.address}: the sender was closed before`,
    );
  }
}
