import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import test from "ava";

import { encodeBatch, readBatch } from "../../../src/radios/filesystem/batch.js";

/** Files that every language's batches are held against; docs/WIRE.md tells their bytes. */
const folder = fileURLToPath(new URL("../../../../tests/vectors/", import.meta.url));

interface Vector {
  readonly envelopes: readonly string[];
  readonly fault?: string;
}

const vectors = JSON.parse(readFileSync(`${folder}batch.json`, "utf8")) as Record<string, Vector>;

for (const [name, { envelopes, fault }] of Object.entries(vectors)) {
  test(`${name} is read as ${fault ?? "whole"}, with ${String(envelopes.length)} envelopes`, (t) => {
    const batch = readBatch(readFileSync(folder + name));

    t.is<string | undefined, string | undefined>(batch.fault, fault);
    t.deepEqual(
      batch.envelopes.map((bytes) => Buffer.from(bytes).toString("hex")),
      envelopes,
    );
  });
}

test("a batch is written as it stands in the vector", (t) => {
  for (const name of ["batch.bin", "batch-single.bin"]) {
    const envelopes = (vectors[name]?.envelopes ?? []).map((hex) => Buffer.from(hex, "hex"));
    t.deepEqual(Buffer.from(encodeBatch(envelopes)), readFileSync(folder + name));
  }
});

test("a file without a byte is empty, and the beginning of a batch is truncated", (t) => {
  t.is(readBatch(Buffer.of()).fault, "empty");
  t.is(readBatch(Buffer.from("PCBAT")).fault, "truncated");
  t.is(readBatch(Buffer.from("PCBATCH1")).fault, undefined);
});
