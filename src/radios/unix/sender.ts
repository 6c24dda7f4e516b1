import { createConnection, type Socket } from "node:net";

import { abortable } from "../../base/abortable.js";
import { CollectorError, reasonOf } from "../../base/errors.js";
import { Acknowledgement } from "../../model/envelope.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../radio.js";
import { frameKinds, frameOf, FrameReader, type Frame } from "./frames.js";

/** Longest that a connection which has nothing unanswered may take to end, in ms. */
const endPatienceMs = 1_000;

/** Sends envelopes to whoever listens on the socket at `path`, on this host. Connects with the first envelope, and
 *  anew with the first one after a break. Reliable: `send` resolves with the acknowledgement. */
export function openUnixSender(path: string): RadioSender {
  return new UnixSender(path);
}

class UnixSender implements RadioSender {
  readonly #path: string;
  #connection: Connection | undefined;
  #disposal: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async send(envelope: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt> {
    if (this.#disposal !== undefined) {
      throw new CollectorError("closed", `send to socket ${this.#path}: the sender was closed before`);
    }
    signal?.throwIfAborted();
    if (this.#connection === undefined || this.#connection.isOver) {
      this.#connection = new Connection(this.#path);
    }
    const acknowledgement = await abortable(this.#connection.send(envelope), signal);
    return { delivery: "stored", acknowledgement };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#connection?.end() ?? Promise.resolve();
    await this.#disposal;
  }
}

class Connection {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #closed = Promise.withResolvers<void>();
  /** In the order in which they were written. */
  #unanswered: PromiseWithResolvers<Acknowledgement>[] = [];
  isOver = false;

  constructor(path: string) {
    this.#path = path;
    this.#socket = createConnection({ path });
    this.#socket.on("data", (chunk: Buffer) => this.#hear(chunk));
    this.#socket.on("error", (cause) => this.#break("unavailable", reasonOf(cause)));
    this.#socket.on("close", () => {
      this.#break("unavailable", "the other side ended the connection");
      this.#closed.resolve();
    });
  }

  send({ bytes }: OutgoingEnvelope): Promise<Acknowledgement> {
    const answer = Promise.withResolvers<Acknowledgement>();
    this.#unanswered.push(answer);
    this.#socket.cork();
    for (const part of frameOf(frameKinds.envelope, bytes)) this.#socket.write(part);
    this.#socket.uncork();
    return answer.promise;
  }

  /** In good order when everything is answered, at once otherwise. */
  async end(): Promise<void> {
    if (this.isOver) return;
    if (this.#unanswered.length > 0) this.#break("closed", "the sender was closed");
    else this.#socket.end();
    const patience = setTimeout(() => this.#socket.destroy(), endPatienceMs);
    await this.#closed.promise;
    clearTimeout(patience);
  }

  #hear(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.take(chunk)) this.#take(frame);
    } catch (cause) {
      this.#break("internal", `its answer makes no sense: ${reasonOf(cause)}`);
    }
  }

  #take({ kind, payload }: Frame): void {
    if (kind === frameKinds.refusal) this.#break("invalid-envelope", payload.toString());
    else if (kind === frameKinds.acknowledgement) {
      this.#unanswered.shift()?.resolve(Acknowledgement.decode(payload));
    } // an answer of a later version is none of ours
  }

  #break(code: "unavailable" | "invalid-envelope" | "internal" | "closed", reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#socket.destroy();
    const error = new CollectorError(code, `send to socket ${this.#path}: ${reason}`);
    for (const { reject } of this.#unanswered.splice(0)) reject(error);
  }
}
