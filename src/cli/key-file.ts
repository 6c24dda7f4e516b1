import { readFileSync } from "node:fs";

import { CollectorError, reasonOf } from "../base/errors.js";

/** Bytes that a secret must have at least: as many as a hash of HMAC-SHA-256 can make use of is best. */
const leastKeyBytes = 16;

/** The secret in a file that --key-file names. Throws a CollectorError. */
export function readKey(path: string): Uint8Array {
  let key: Buffer;
  try {
    key = readFileSync(path);
  } catch (cause) {
    throw new CollectorError("invalid-argument", `read --key-file ${path}: ${reasonOf(cause)}`, { cause });
  }
  if (key.length >= leastKeyBytes) return key;
  throw new CollectorError(
    "invalid-argument",
    `read --key-file ${path}: ${String(key.length)} bytes are too few for a secret; write 32 random ones, as by ` +
      "`head -c 32 /dev/urandom`",
  );
}
