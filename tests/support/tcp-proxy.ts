import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import type { Scope } from "./scope.js";

/** Type byte of the HTTP/2 frame that carries messages; the collector's are all acknowledgements. */
const dataFrame = 0;
const frameHeaderBytes = 9;

/** Stands between a client and a collector and does to their connections what networks do. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #from: string | undefined;
  #target: string;
  #open: Promise<void> | undefined;
  #reopen: () => void = () => undefined;
  #replyLost: (() => void) | undefined;
  #cutDue: { bytes: number; readonly done: () => void } | undefined;
  /** Connections taken so far. */
  connections = 0;
  /** How long each chunk is held on its way, in ms. */
  delayMs = 0;

  private constructor(server: Server, target: string, from: string | undefined) {
    this.#server = server;
    this.#from = from;
    this.#target = target;
    server.on("connection", (client: Socket) => {
      this.#join(client);
    });
  }

  /** Listens until the test ends and forwards to `target`, as "127.0.0.1:41235": as the host `from`, which is another
   *  address of this machine (127.0.0.2, say), when it is given. */
  static async start(t: Pick<Scope, "teardown">, target: string, from?: string): Promise<TcpProxy> {
    const server = createServer({ allowHalfOpen: true });
    const proxy = new TcpProxy(server, target, from);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => proxy.#stop());
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** Where connections go from now on. */
  set target(address: string) {
    this.#target = address;
  }

  /** Resolves when all connections that there are have ended. */
  async ended(): Promise<void> {
    await Promise.all([...this.#pairs].map(({ collector }) => once(collector, "close")));
  }

  /** Resets every connection, both ways. New ones are taken. */
  cut(): void {
    for (const pair of this.#pairs) pair.cut();
  }

  /** Forwards nothing from now on, and takes connections that it leaves unanswered. */
  blackHole(): void {
    this.#open ??= new Promise((resolve) => (this.#reopen = resolve));
  }

  /** Ends a black hole; what was held goes on its way. */
  restore(): void {
    this.#open = undefined;
    this.#reopen();
  }

  /** Ends the collector's half of every connection: the client reads an end and may still write. */
  halfClose(): void {
    for (const pair of this.#pairs) pair.client.end();
  }

  /** Cuts the connection on which the next reply (an acknowledgement, so after a commit) comes from the
   *  collector, before the client sees any of it. Resolves when that has happened. */
  loseNextReply(): Promise<void> {
    return new Promise((resolve) => (this.#replyLost = resolve));
  }

  /** Resets every connection once so many bytes more have gone to the collector. Resolves when that has happened. */
  cutAfter(bytes: number): Promise<void> {
    return new Promise((done) => (this.#cutDue = { bytes, done }));
  }

  #join(client: Socket): void {
    this.connections += 1;
    const [host = "", port = ""] = this.#target.split(":");
    const from = this.#from === undefined ? {} : { localAddress: this.#from };
    const pair = new Pair(client, connect({ host, port: Number(port), allowHalfOpen: true, ...from }));
    this.#pairs.add(pair);
    pair.collector.on("close", () => this.#pairs.delete(pair));
    void this.#forward(pair.client, pair.collector, (chunk) => {
      this.#countDown(chunk.length);
      return false;
    });
    void this.#forward(pair.collector, pair.client, (chunk) => {
      if (!pair.beginsReply(chunk) || this.#replyLost === undefined) return false;
      pair.cut();
      this.#replyLost();
      this.#replyLost = undefined;
      return true;
    });
  }

  #countDown(bytes: number): void {
    const due = this.#cutDue;
    if (due === undefined || (due.bytes -= bytes) > 0) return;
    this.#cutDue = undefined;
    setImmediate(() => {
      this.cut(); // what came last is written by then
      due.done();
    });
  }

  async #forward(from: Socket, to: Socket, isLost: (chunk: Buffer) => boolean): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (isLost(chunk)) return;
        if (this.delayMs > 0) await sleep(this.delayMs);
        await this.#open;
        if (!to.write(chunk)) await once(to, "drain");
      }
      to.end();
    } catch {
      to.destroy(); // one side is gone, by a cut or by itself: so is the other
    }
  }

  async #stop(): Promise<void> {
    this.restore();
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** The two connections that make one. */
class Pair {
  readonly client: Socket;
  readonly collector: Socket;
  #frameHeader = Buffer.alloc(0);
  #bytesToNextFrame = 0;

  constructor(client: Socket, collector: Socket) {
    this.client = client;
    this.collector = collector;
    for (const socket of [client, collector]) {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy()); // resets are this proxy's trade
      socket.on("close", () => (socket === client ? collector : client).destroy());
    }
  }

  cut(): void {
    this.client.resetAndDestroy();
    this.collector.resetAndDestroy();
  }

  /** Follows the HTTP/2 frames from the collector: whether a message's frame begins in this chunk. */
  beginsReply(chunk: Buffer): boolean {
    let found = false;
    let rest = chunk;
    while (rest.length > 0) {
      const skipped = Math.min(this.#bytesToNextFrame, rest.length);
      this.#bytesToNextFrame -= skipped;
      rest = rest.subarray(skipped);
      const missing = frameHeaderBytes - this.#frameHeader.length;
      if (this.#bytesToNextFrame > 0 || rest.length === 0) break;
      this.#frameHeader = Buffer.concat([this.#frameHeader, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#frameHeader.length < frameHeaderBytes) break;
      found ||= this.#frameHeader[3] === dataFrame;
      this.#bytesToNextFrame = this.#frameHeader.readUIntBE(0, 3);
      this.#frameHeader = Buffer.alloc(0);
    }
    return found;
  }
}
