import { createSecretKey, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";

import { seal } from "../../src/radios/udp/datagram.js";
import type { Scope } from "./scope.js";

/** The secret of every test's run. */
export const runKey = Buffer.from("a secret of thirty-two bytes ...");

/** A socket that sends any bytes at all, and datagrams as a sender of the run makes them. */
export class DatagramSource {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #host: string;
  readonly #stream = randomBytes(16).toString("latin1");
  #counter = 0;

  private constructor(socket: Socket, host: string, port: number) {
    this.#socket = socket;
    this.#host = host;
    this.#port = port;
  }

  /** Sends to `address`, as "127.0.0.1:41235", until the test ends. */
  static open(t: Pick<Scope, "teardown">, address: string): DatagramSource {
    const [, host = "", port = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    t.teardown(() => socket.close());
    return new DatagramSource(socket, host, Number(port));
  }

  /** The next datagram of this stream. */
  seal(envelope: Uint8Array, key: Uint8Array = runKey): Buffer {
    this.#counter += 1;
    return seal(createSecretKey(key), { stream: this.#stream, counter: this.#counter, envelope });
  }

  /** Resolves when the system has taken it. */
  async send(datagram: Uint8Array): Promise<void> {
    const sent = Promise.withResolvers<void>();
    this.#socket.send(datagram, this.#port, this.#host, (cause) => {
      if (cause === null) sent.resolve();
      else sent.reject(cause);
    });
    await sent.promise;
  }
}
