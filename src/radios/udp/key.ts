import { createSecretKey, type KeyObject } from "node:crypto";

import { CollectorError } from "../../base/errors.js";

/** The run's secret in the form that the hash takes. Anybody can send a datagram and anybody may read one, so
 *  neither half works without. `act` is for the error. */
export function requireKey(key: Uint8Array | undefined, act: string): KeyObject {
  if (key !== undefined && key.length > 0) return createSecretKey(key);
  throw new CollectorError(
    "invalid-argument",
    `${act}: udp needs the run's secret, by which the collector knows its senders; ` +
      "write 32 random bytes into a file and give it to the collector as --key-file, and its bytes to the senders as key",
  );
}
