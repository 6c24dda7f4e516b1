import { randomBytes, type KeyObject } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIPv4 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { CollectorError, reasonOf } from "../../base/errors.js";
import { addressText, type UdpAddress } from "./address.js";
import { seal } from "./datagram.js";
import { nextPoll } from "./next-poll.js";

/** How long an answer that nobody listens may take over a network, in ms. */
const refusalPatienceMs = 200;

/** One connected socket and the datagrams that leave by it, which it numbers. A connected one is told when a
 *  host answers that nobody listens at the port. After any trouble it is of no more use. */
export class DatagramStream {
  readonly #socket: Socket;
  readonly #address: UdpAddress;
  readonly #key: KeyObject;
  readonly #id = randomBytes(16).toString("latin1");
  #counter = 0;
  readonly #troubled = Promise.withResolvers<never>();
  /** Whether datagrams stay on this host: no part of their way has a limit of its own, and a refusal is there
   *  when the socket has taken the datagram. */
  readonly isLoopback: boolean;

  private constructor(socket: Socket, address: UdpAddress, key: KeyObject, isLoopback: boolean) {
    this.#socket = socket;
    this.#address = address;
    this.#key = key;
    this.isLoopback = isLoopback;
    this.#troubled.promise.catch(() => undefined); // told to whoever sends next
    socket.on("error", (cause) => this.#troubled.reject(this.#unavailable(cause)));
  }

  static async open(address: UdpAddress, key: KeyObject): Promise<DatagramStream> {
    const found = await lookup(address.host).catch((cause: unknown) => {
      throw unavailable(address, cause);
    });
    const socket = createSocket(found.family === 6 ? "udp6" : "udp4");
    const isLoopback = isIPv4(found.address) ? found.address.startsWith("127.") : found.address === "::1";
    const connected = Promise.withResolvers<void>();
    socket.connect(address.port, found.address, (cause?: Error) => {
      if (cause === undefined) connected.resolve();
      else connected.reject(unavailable(address, cause));
    });
    try {
      await connected.promise;
    } catch (cause) {
      socket.close();
      throw cause;
    }
    return new DatagramStream(socket, address, key, isLoopback);
  }

  /** Resolves when the system has taken the datagram; libuv waits where the system has no room. */
  async send(envelope: Uint8Array): Promise<void> {
    this.#counter += 1;
    const datagram = seal(this.#key, { stream: this.#id, counter: this.#counter, envelope });
    const taken = new Promise<void>((resolve, reject) => {
      this.#socket.send(datagram, (cause) => {
        if (cause === null) resolve();
        else reject(this.#unavailable(cause));
      });
    });
    await Promise.race([taken, this.#troubled.promise]);
  }

  /** Rejects when a datagram that was sent before turns out to be refused. `isDoubtful` says that this is to be
   *  expected, and worth a wait: over a network a refusal takes its time. */
  async confirm(isDoubtful: boolean): Promise<void> {
    const patience = this.isLoopback || !isDoubtful ? nextPoll() : sleep(refusalPatienceMs);
    await Promise.race([patience, this.#troubled.promise]);
  }

  close(): void {
    this.#socket.close();
  }

  #unavailable(cause: unknown): CollectorError {
    return unavailable(this.#address, cause);
  }
}

function unavailable(address: UdpAddress, cause: unknown): CollectorError {
  const reason = reasonOf(cause).includes("ECONNREFUSED") ? "nobody listens there" : reasonOf(cause);
  return new CollectorError("unavailable", `send by udp to ${addressText(address)}: ${reason}`, { cause });
}
