import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from "node:net";

import { ServerCredentials, type ConnectionInjector, type Server } from "@grpc/grpc-js";

import { hasCode } from "../../base/errors.js";
import { listenError, partsOfAddress, withPort } from "../../base/address.js";
import type { Logger } from "../../base/logger.js";
import { mostOpenFiles } from "../../base/open-files.js";
import type { Refusals } from "./refusals.js";
import { TlsAcceptor, type ServerTls } from "./tls.js";

/** Connections of one address: 10,000 workers behind one login node are legitimate. Where a process may open fewer files,
 *  it is three quarters of those, so that no single address keeps all others out. */
const defaultConnectionsPerPeer = 16_384;

/** Files that are not for connections: the database, its journal, the spool, the log. */
const reservedFiles = 128;

/** How long a new connection may take until its first call, in ms. A client connects because it has a call; who says
 *  nothing, or byte by byte, or stops in the middle of a TLS handshake holds a file descriptor for nothing. */
const firstCallTimeoutMs = 30_000;

export interface ConnectionLimits {
  /** Connections that one address may have. Default: 16,384, or three quarters of the files that this process may
   *  open. */
  readonly connectionsPerPeer?: number | undefined;
  /** How long a new connection may take until its first call, in ms. Default: 30,000. */
  readonly firstCallTimeoutMs?: number | undefined;
}

export interface ListenerOptions extends ConnectionLimits {
  /** "host:port"; port 0 lets the system choose. */
  readonly listen: string;
  /** Default: no TLS. */
  readonly tls?: ServerTls | undefined;
}

interface Connection {
  readonly socket: Socket;
  /** Of the first call; undefined once that has come. */
  deadline: NodeJS.Timeout | undefined;
}

/** Accepts connections for a gRPC server, which never sees those beyond the limits. grpc-js has no limit of its own
 *  before HTTP/2 is spoken. */
export class Listener {
  readonly #injector: ConnectionInjector;
  readonly #tls: TlsAcceptor | undefined;
  readonly #refusals: Refusals;
  readonly #logger: Logger;
  /** Connections altogether, and of one address. */
  readonly #most: number;
  readonly #mostPerPeer: number;
  readonly #firstCallTimeoutMs: number;
  readonly #servers: NetServer[] = [];
  /** By address and port of the other side, as grpc-js names the peer of a call. */
  readonly #connections = new Map<string, Connection>();
  /** How many of them, by address. */
  readonly #perPeer = new Map<string, number>();
  #address = "";

  private constructor(server: Server, options: ListenerOptions, refusals: Refusals, logger: Logger) {
    // TLS ends here, and not in grpc-js: so a client that is refused is known, and the certificate can be changed.
    this.#injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#tls =
      options.tls &&
      new TlsAcceptor(
        options.tls,
        (socket) => this.#injector.injectConnection(socket),
        ({ remoteAddress = "" }, reason) => refusals.add("tls", remoteAddress, `TLS: ${reason}`),
      );
    this.#refusals = refusals;
    this.#logger = logger;
    this.#most = Math.max(1, mostOpenFiles() - reservedFiles);
    this.#mostPerPeer =
      options.connectionsPerPeer ?? Math.min(defaultConnectionsPerPeer, Math.ceil(this.#most * 0.75));
    this.#firstCallTimeoutMs = options.firstCallTimeoutMs ?? firstCallTimeoutMs;
  }

  /** Rejects with a CollectorError that says what to do when the address cannot be listened on. */
  static async open(
    server: Server,
    options: ListenerOptions,
    refusals: Refusals,
    logger: Logger,
  ): Promise<Listener> {
    const listener = new Listener(server, options, refusals, logger);
    try {
      await listener.#listen(options.listen);
    } catch (cause) {
      await listener.close();
      throw listenError(`listen on ${options.listen}`, cause);
    }
    return listener;
  }

  /** "host:port" with the port that was chosen. */
  get address(): string {
    return this.#address;
  }

  /** A call of `peer`, as grpc-js names it, has come: its connection may stay. */
  called(peer: string): void {
    const connection = this.#connections.get(peer);
    if (connection?.deadline === undefined) return;
    clearTimeout(connection.deadline);
    connection.deadline = undefined;
  }

  /** Shows another certificate to new connections, where it shows one. Throws a CollectorError, and goes on as
   *  before. */
  reload(tls: ServerTls): void {
    this.#tls?.reload(tls);
  }

  /** Accepts no more, and closes what had no call yet. Resolves when the other connections are closed too. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => once(server, "close"));
    for (const server of this.#servers) server.close();
    for (const { socket, deadline } of this.#connections.values()) {
      if (deadline !== undefined) socket.destroy();
    }
    await Promise.all(closed);
  }

  /** Ends all connections now. */
  destroy(): void {
    for (const { socket } of this.#connections.values()) socket.destroy();
  }

  /** Listens on all addresses of the host, on one port: "localhost" is often two, of which clients take either. */
  async #listen(address: string): Promise<void> {
    const { host, port: wanted } = partsOfAddress(address);
    let port = wanted;
    let missing: unknown;
    for (const { address: ip } of await lookup(host, { all: true })) {
      const server = createServer((socket) => this.#accept(socket));
      try {
        server.listen({ host: ip, port });
        await once(server, "listening");
      } catch (cause) {
        // A name may stand for an address of a family that this machine does not have.
        if (!hasCode(cause, "EADDRNOTAVAIL", "EAFNOSUPPORT")) throw cause;
        missing = cause;
        continue;
      }
      this.#servers.push(server);
      server.maxConnections = this.#most;
      server.on("drop", (dropped) =>
        this.#refusals.add(
          "connections",
          dropped?.remoteAddress ?? "unknown",
          `there are ${String(this.#most)} connections, as many as the files that this process may open allow; ` +
            "ulimit -n raises that",
        ),
      );
      // No memory for it, say: that connection is lost, and no more.
      server.on("error", (cause) => this.#logger.warn({ reason: cause.message }, "accept a connection"));
      ({ port } = server.address() as AddressInfo);
    }
    if (this.#servers.length === 0) throw missing;
    this.#address = withPort(address, port);
  }

  #accept(socket: Socket): void {
    socket.on("error", () => undefined); // "close" follows
    const { remoteAddress: peer, remotePort } = socket;
    if (peer === undefined) {
      socket.destroy(); // gone already
      return;
    }
    const count = (this.#perPeer.get(peer) ?? 0) + 1;
    if (count > this.#mostPerPeer) {
      this.#refusals.add(
        "connections-per-peer",
        peer,
        `it has ${String(this.#mostPerPeer)} connections, as many as one address may have; ` +
          "--max-connections-per-peer raises that, within the files that a process may open (ulimit -n)",
      );
      socket.destroy();
      return;
    }
    this.#perPeer.set(peer, count);
    const name = `${peer}:${String(remotePort)}`;
    const deadline = setTimeout(() => {
      const seconds = String(this.#firstCallTimeoutMs / 1000);
      this.#refusals.add("no-call", peer, `it connected, and made no call within ${seconds} s`);
      socket.destroy();
    }, this.#firstCallTimeoutMs).unref();
    this.#connections.set(name, { socket, deadline });
    socket.once("close", () => {
      clearTimeout(deadline);
      this.#connections.delete(name);
      const left = (this.#perPeer.get(peer) ?? 0) - 1;
      if (left > 0) this.#perPeer.set(peer, left);
      else this.#perPeer.delete(peer);
    });
    if (this.#tls === undefined) this.#injector.injectConnection(socket);
    else this.#tls.accept(socket);
  }
}
