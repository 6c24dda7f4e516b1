import { CollectorError } from "../base/errors.js";
import { isLoopback } from "../base/address.js";

/** Throws when others than this machine reach the address of the metrics, unless --insecure allows it. */
export function requireLoopback(metrics: string, insecure: boolean): void {
  if (insecure || isLoopback(metrics)) return;
  throw new CollectorError(
    "listen",
    `listen for metrics on ${metrics}: anyone who reaches this address could read what runs here, for it has no TLS ` +
      "and no token; listen on 127.0.0.1, or say --insecure on a network that you trust",
  );
}
