import type { Socket } from "node:net";
import { createSecureContext, Server as TlsServer, type TLSSocket } from "node:tls";

import { CollectorError, reasonOf } from "../../base/errors.js";

/** A name that each certificate has that a collector makes for itself: whoever is given that certificate need not know
 *  by which name or address of the host it comes. */
export const ownServerName = "parsl-collector";

/** What a server shows of itself, and what it wants to see of its clients. All in PEM. */
export interface ServerTls {
  readonly certificate: Uint8Array;
  readonly privateKey: Uint8Array;
  /** Who vouches for clients: then they must show a certificate. */
  readonly clientCa?: Uint8Array | undefined;
}

/** How long a handshake may take, in ms. */
const handshakeTimeoutMs = 20_000;

/** Speaks TLS on accepted sockets. */
export class TlsAcceptor {
  readonly #server: TlsServer;

  /** Throws a CollectorError. */
  constructor(
    tls: ServerTls,
    onSecure: (socket: TLSSocket) => void,
    onRefused: (socket: Socket, reason: string) => void,
  ) {
    checked(tls);
    this.#server = new TlsServer(
      { ...contextOf(tls), ALPNProtocols: ["h2"], handshakeTimeout: handshakeTimeoutMs },
      onSecure,
    );
    this.#server.on("tlsClientError", (cause, socket) => {
      onRefused(socket, cause.message);
      socket.destroy();
    });
  }

  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Shows another certificate from now on. Throws a CollectorError, and goes on as before. */
  reload(tls: ServerTls): void {
    checked(tls);
    this.#server.setSecureContext(contextOf(tls));
  }
}

function contextOf({ certificate, privateKey, clientCa }: ServerTls) {
  return {
    cert: Buffer.from(certificate),
    key: Buffer.from(privateKey),
    minVersion: "TLSv1.2" as const,
    ...(clientCa === undefined
      ? {}
      : { ca: Buffer.from(clientCa), requestCert: true, rejectUnauthorized: true }),
  };
}

function checked(tls: ServerTls): void {
  try {
    createSecureContext(contextOf(tls));
  } catch (cause) {
    throw new CollectorError(
      "invalid-argument",
      `use the certificate and its key: ${reasonOf(cause)}; both must be PEM, and belong together`,
      { cause },
    );
  }
}
