import type { KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import PQueue from "p-queue";

import { CollectorError, reasonOf } from "../../base/errors.js";
import type { OutgoingEnvelope, RadioOptions, RadioSender, Receipt } from "../radio.js";
import { addressText, parseAddress, type UdpAddress } from "./address.js";
import { headBytes, mostDatagramBytes } from "./datagram.js";
import { requireKey } from "./key.js";
import { Pace } from "./pace.js";
import { splitEnvelope, type Parts } from "./split.js";
import { DatagramStream } from "./stream.js";

/** Largest datagram of several messages, in bytes, on the way to another host: one packet of an Ethernet. Of a
 *  larger one each fragment may be lost, and with it the whole. */
const packetBytes = 1_400;

/** The same on one host, where nothing is fragmented. In larger ones a message costs no less CPU, in those of a
 *  packet twice as much. */
const loopbackBytes = 16 * 1024;

/** When a closing note is sent again, in ms after the time before: five times in all, since nobody answers. They
 *  outlast a receive buffer that a burst has filled. */
const noteRepeatsMs = [20, 30, 50, 100];

/** Sends envelopes as datagrams to the collector at `address`, "host:port". Not reliable: a receipt says that this
 *  host's system has the bytes. Throws when there is no key. */
export function openUdpSender(address: string, { key }: RadioOptions = {}): RadioSender {
  const secret = requireKey(key, `send by udp to ${address}`);
  return new UdpSender(parseAddress(address), secret);
}

class UdpSender implements RadioSender {
  readonly #address: UdpAddress;
  readonly #key: KeyObject;
  readonly #sends = new PQueue({ concurrency: 1 });
  readonly #pace = new Pace();
  #stream: DatagramStream | undefined;
  /** Whether the last attempt was refused: the next one is not believed at once. */
  #isDoubtful = false;
  #notes: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  constructor(address: UdpAddress, key: KeyObject) {
    this.#address = address;
    this.#key = key;
  }

  async send(envelope: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt> {
    if (this.#disposal !== undefined) {
      throw new CollectorError("closed", `send by udp to ${this.#name}: the sender was closed before`);
    }
    return this.#sends.add(() => this.#send(envelope, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    await this.#disposal;
  }

  async #dispose(): Promise<void> {
    await this.#sends.onIdle();
    await this.#notes;
    this.#stream?.close();
  }

  async #send({ bytes }: OutgoingEnvelope, signal: AbortSignal | undefined): Promise<Receipt> {
    try {
      signal?.throwIfAborted();
      this.#stream ??= await DatagramStream.open(this.#address, this.#key);
      const { parts, note } = this.#split(bytes, this.#stream);
      for (const part of parts) await this.#sendPaced(part, this.#stream, signal);
      if (note !== undefined) await this.#sendPaced(note, this.#stream, signal);
      await this.#stream.confirm(this.#isDoubtful);
      this.#isDoubtful = false;
      if (note !== undefined) this.#notes = Promise.all([this.#notes, this.#repeat(note)]);
      return { delivery: "handed-over" };
    } catch (cause) {
      if (cause instanceof CollectorError && cause.retryable) this.#doubt();
      throw cause;
    }
  }

  #split(envelope: Uint8Array, { isLoopback }: DatagramStream): Parts {
    let split: Parts;
    try {
      split = splitEnvelope(envelope, (isLoopback ? loopbackBytes : packetBytes) - headBytes);
    } catch (cause) {
      throw this.#invalid(`its bytes are none (${reasonOf(cause)})`, cause);
    }
    const largest = Math.max(...split.parts.map(({ length }) => headBytes + length));
    if (largest <= mostDatagramBytes) return split;
    throw this.#invalid(
      `a message in it makes a datagram of ${String(largest)} bytes, and ${String(mostDatagramBytes)} are the most; ` +
        "gRPC and the filesystem take it",
    );
  }

  async #sendPaced(part: Uint8Array, stream: DatagramStream, signal?: AbortSignal): Promise<void> {
    const waitMs = this.#pace.waitMs(headBytes + part.length, performance.now());
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal });
    signal?.throwIfAborted();
    await stream.send(part);
  }

  /** The note has been handed over, and no failure here says that it did not arrive. */
  async #repeat(note: Uint8Array): Promise<void> {
    for (const ms of noteRepeatsMs) {
      await sleep(ms);
      await this.#stream?.send(note).catch(() => undefined);
    }
  }

  /** Begins anew with the next envelope: the collector may have moved to another host of that name. */
  #doubt(): void {
    this.#isDoubtful = true;
    this.#stream?.close();
    this.#stream = undefined;
  }

  #invalid(reason: string, cause?: unknown): CollectorError {
    return new CollectorError("invalid-envelope", `send an envelope by udp to ${this.#name}: ${reason}`, {
      cause,
    });
  }

  get #name(): string {
    return addressText(this.#address);
  }
}
