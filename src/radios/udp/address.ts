import { isIPv6 } from "node:net";

import { CollectorError } from "../../base/errors.js";

/** An address as users write it. */
export interface UdpAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads "host:port", with an IPv6 address in brackets. */
export function parseAddress(text: string): UdpAddress {
  const match = /^(?:\[([^\]]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port <= 65_535 && (match?.[1] === undefined || isIPv6(host)))
    return { host, port };
  throw new CollectorError(
    "invalid-argument",
    `use udp at "${text}": expected host:port, as 127.0.0.1:7000 or [::1]:7000`,
  );
}

/** The inverse of `parseAddress`. */
export function addressText({ host, port }: UdpAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${String(port)}`;
}
