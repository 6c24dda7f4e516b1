import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";

import type { Scope } from "./scope.js";

/** Stands between senders and a collector and does to their datagrams what networks do. */
export class UdpRelay {
  readonly #socket: Socket;
  /** Every datagram that came, in order. */
  readonly heard: Buffer[] = [];
  /** Those of them that went no further. */
  readonly dropped: Buffer[] = [];
  /** Whether the next datagram is lost. */
  isLost: (datagram: Buffer, from: RemoteInfo) => boolean = () => false;

  private constructor(socket: Socket, target: string) {
    this.#socket = socket;
    const [host = "", port = ""] = target.split(":");
    socket.on("message", (datagram, from) => {
      this.heard.push(datagram);
      if (this.isLost(datagram, from)) this.dropped.push(datagram);
      else socket.send(datagram, Number(port), host);
    });
  }

  /** Listens until the test ends and forwards to `target`, as "127.0.0.1:41235". */
  static async start(t: Pick<Scope, "teardown">, target: string): Promise<UdpRelay> {
    const socket = createSocket({ type: "udp4", recvBufferSize: 4 * 1024 * 1024 });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    t.teardown(() => socket.close());
    return new UdpRelay(socket, target);
  }

  get address(): string {
    return `127.0.0.1:${String(this.#socket.address().port)}`;
  }
}
