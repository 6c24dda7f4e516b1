import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import test from "ava";

import { systemDisk } from "../../src/base/disk.js";
import { envelopeRecord, readSegment } from "../../src/spool/segment.js";

/** Files that every client's segments are held against; docs/WIRE.md tells their bytes. */
const folder = fileURLToPath(new URL("../../../tests/vectors/", import.meta.url));

interface Vector {
  readonly foreign?: boolean;
  readonly owner: Readonly<Record<string, unknown>>;
  readonly envelopes: readonly string[];
  readonly rest_bytes: number;
}

const vectors = JSON.parse(readFileSync(`${folder}segment.json`, "utf8")) as Record<string, Vector>;

for (const [name, vector] of Object.entries(vectors)) {
  test(`${name} is read as ${"foreign" in vector ? "no segment" : "it is described"}`, (t) => {
    const segment = readSegment(systemDisk, folder + name);

    t.is("foreign" in segment, vector.foreign === true);
    if ("foreign" in segment) return;
    const { senderId, runId, hostname, pid, processStarted } = segment.owner;
    t.deepEqual(
      { sender_id: senderId, run_id: runId, hostname, pid, process_started: processStarted },
      vector.owner,
    );
    t.deepEqual(
      segment.envelopes.map((bytes) => Buffer.from(bytes).toString("hex")),
      vector.envelopes,
    );
    t.is(segment.restBytes, vector.rest_bytes);
  });
}

test("an envelope is written as it stands in the vector", (t) => {
  const file = readFileSync(`${folder}segment.bin`);
  for (const envelope of vectors["segment.bin"]?.envelopes ?? []) {
    t.true(file.includes(Buffer.from(envelopeRecord(Buffer.from(envelope, "hex")))));
  }
});
