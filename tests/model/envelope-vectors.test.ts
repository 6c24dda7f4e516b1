import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import test from "ava";

import { Envelope } from "../../src/model/envelope.js";

/** Envelopes that every language's code is held against: their bytes, and what they are in protobuf's JSON. */
const path = fileURLToPath(new URL("../../../tests/vectors/envelope.json", import.meta.url));

const vectors = JSON.parse(readFileSync(path, "utf8")) as Record<string, { readonly envelope: string }>;

for (const [name, { envelope }] of Object.entries(vectors)) {
  test(`${name} is decoded and encoded to the same bytes`, (t) => {
    const bytes = Buffer.from(envelope, "hex");

    const decoded = Envelope.decode(bytes);

    t.is(Buffer.from(Envelope.encode(decoded).finish()).toString("hex"), envelope);
    t.true(decoded.senderId.startsWith("0123456789abcdef"));
  });
}
