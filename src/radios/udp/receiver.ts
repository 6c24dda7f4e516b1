import type { KeyObject } from "node:crypto";
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

import { listenError } from "../../base/address.js";
import { CollectorError, isRefusal, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import type { Inbox, RadioReceiver, ReceiverOptions } from "../radio.js";
import { addressText, parseAddress } from "./address.js";
import { unseal } from "./datagram.js";
import { requireKey } from "./key.js";
import { nextPoll } from "./next-poll.js";
import { Streams } from "./replay.js";
import { isNote } from "./split.js";

/** Receive buffer that is asked for, in bytes: twenty times what Linux grants unasked. */
const receiveBufferBytes = 4 * 1024 * 1024;

/** What to do about datagrams that are refused, by reason. */
const hints: Readonly<Record<string, string>> = {
  malformed: "no sender of ours sent it: keep what comes from there away from this port",
  forged: "give its sender this collector's --key-file, or keep it away from this port",
  replayed: "nothing, unless it goes on: then somebody between sends datagrams again",
  "no room": "see what holds up the database; the ledger counts what is lost",
  invalid: "run the same version at its sender as here",
  "not stored": "nothing, when the collector was stopping; otherwise see the lines before",
};

/** How often the log tells of datagrams that are refused, in ms for each reason: anybody can send them. */
const tellEveryMs = 60_000;

/** Errors of the socket, with no datagram between them, after which it counts as broken. */
const mostErrors = 100;

/** Longest that a receiver which is told to end goes on to take what the system holds for it, in ms. */
const drainMs = 1_000;

export interface UdpReceiverOptions extends ReceiverOptions {
  /** Receive buffer that is asked for, in bytes. Default: 4 MiB. */
  readonly receiveBufferBytes?: number;
}

/** Listens for datagrams at `address`, "host:port"; port 0 lets the system choose. Rejects when there is no key. */
export async function openUdpReceiver(
  address: string,
  inbox: Inbox,
  options: UdpReceiverOptions,
): Promise<RadioReceiver> {
  const key = requireKey(options.key, `listen by udp on ${address}`);
  const { host, port } = parseAddress(address);
  const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
  socket.bind({ port, address: host });
  try {
    await once(socket, "listening");
  } catch (cause) {
    socket.close();
    throw listenError(`listen by udp on ${address}`, cause);
  }
  const { logger } = options;
  askForBuffer(socket, options.receiveBufferBytes ?? receiveBufferBytes, logger);
  return new UdpReceiver(socket, addressText({ host, port: socket.address().port }), inbox, key, logger);
}

/** Takes datagrams from a socket that listens. */
export class UdpReceiver implements RadioReceiver {
  readonly address: string;
  readonly refused = new Map<string, number>();
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  readonly #key: KeyObject;
  readonly #logger: Logger;
  readonly #streams = new Streams();
  readonly #failure = Promise.withResolvers<CollectorError>();
  /** When each kind of trouble was last told. */
  readonly #toldAtMs = new Map<string, number>();
  /** Datagrams that came, genuine or not. */
  #heard = 0;
  #errorsInSuccession = 0;
  /** Settles with the envelope that was accepted last, which is after all others. */
  #lastSettled: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  constructor(socket: Socket, address: string, inbox: Inbox, key: KeyObject, logger: Logger) {
    this.#socket = socket;
    this.address = address;
    this.#inbox = inbox;
    this.#key = key;
    this.#logger = logger.child({ radio: "udp", address });
    socket.on("message", (datagram, from) => this.#hear(datagram, from));
    socket.on("error", (cause) => this.#bear(cause));
  }

  get failed(): Promise<CollectorError> {
    return this.#failure.promise;
  }

  /** Takes what the system holds for the socket already, and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    await this.#disposal;
  }

  async #dispose(): Promise<void> {
    const end = performance.now() + drainMs;
    let heard: number;
    do {
      heard = this.#heard;
      await nextPoll();
    } while (this.#heard > heard && performance.now() < end);
    this.#socket.close();
    await this.#lastSettled;
  }

  #hear(datagram: Buffer, from: RemoteInfo): void {
    this.#heard += 1;
    this.#errorsInSuccession = 0;
    const genuine = unseal(this.#key, datagram);
    if (typeof genuine === "string") {
      this.#refuse(genuine, from);
    } else if (!this.#streams.take(genuine.stream, genuine.counter)) {
      this.#refuse("replayed", from);
    } else if (this.#inbox.room !== undefined && !isNote(genuine.envelope)) {
      // Nobody who sends datagrams can be asked to wait. The ledger shows their messages as missing, all of them by
      // the closing notes, which are worth the hundred bytes that each takes.
      this.#refuse("no room", from);
    } else {
      // Node gives each datagram memory of its own, so that the envelope need not be copied.
      this.#lastSettled = this.#inbox.accept(genuine.envelope, "udp").catch((cause: unknown) => {
        this.#refuse(isRefusal(cause) ? "invalid" : "not stored", from, reasonOf(cause));
      });
    }
  }

  #refuse(reason: string, { address, port }: RemoteInfo, detail?: string): void {
    const count = (this.refused.get(reason) ?? 0) + 1;
    this.refused.set(reason, count);
    const from = addressText({ host: address, port });
    this.#tellNowAndThen(reason, { reason, count, from, detail, hint: hints[reason] });
  }

  /** An error leaves the socket as it is, and libuv reads on: the system had no memory for a moment, say. When
   *  there is nothing else than errors there will not be. */
  #bear(cause: Error): void {
    this.#errorsInSuccession += 1;
    const hint = "it reads on; when it does not, see whether the system is short of memory";
    this.#tellNowAndThen("error", { reason: cause.message, hint });
    if (this.#errorsInSuccession < mostErrors) return;
    this.#failure.resolve(
      new CollectorError("listen", `listen by udp on ${this.address}: ${cause.message}`, { cause }),
    );
  }

  #tellNowAndThen(kind: string, fields: Readonly<Record<string, unknown>>): void {
    const now = performance.now();
    if (now - (this.#toldAtMs.get(kind) ?? -Infinity) < tellEveryMs) return;
    this.#toldAtMs.set(kind, now);
    this.#logger.warn(fields, kind === "error" ? "reading datagrams failed" : "datagram refused");
  }
}

function askForBuffer(socket: Socket, bytes: number, logger: Logger): void {
  let reason = "";
  try {
    socket.setRecvBufferSize(bytes);
  } catch (cause) {
    reason = reasonOf(cause); // of systems that grant nothing when they cannot grant it all
  }
  // Linux counts its own bookkeeping in, and says the double.
  const granted = socket.getRecvBufferSize() / (process.platform === "linux" ? 2 : 1);
  if (granted >= bytes) return;
  logger.warn(
    { grantedBytes: granted, wantedBytes: bytes, reason },
    "the system grants a smaller receive buffer, and datagrams of a burst will be lost; raise net.core.rmem_max: " +
      `sysctl -w net.core.rmem_max=${String(bytes)}`,
  );
}
