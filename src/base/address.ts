import { isIP } from "node:net";

import { CollectorError, hasCode, reasonOf } from "./errors.js";

/** The parts of "host:port": the host without the brackets that an address of IPv6 has there. */
export function partsOfAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) };
}

/** "host:port" with another port: the one that the system chose for port 0. */
export function withPort(address: string, port: number): string {
  return `${address.slice(0, address.lastIndexOf(":"))}:${String(port)}`;
}

/** Whether "host:port" is reached from this machine only. */
export function isLoopback(address: string): boolean {
  const { host } = partsOfAddress(address);
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Why an address cannot be listened on, with the cure. `act` is what was tried, as "listen on 127.0.0.1:7000". */
export function listenError(act: string, cause: unknown): CollectorError {
  const reason = hasCode(cause, "EADDRINUSE")
    ? "the port is in use by another program; name another port, or port 0 to let the system choose"
    : `${reasonOf(cause)}; name an address of this machine`;
  return new CollectorError("listen", `${act}: ${reason}`, { cause });
}
