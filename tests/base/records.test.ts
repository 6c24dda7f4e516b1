import test from "ava";

import { encodeRecord, readRecords } from "../../src/base/records.js";
import { SimulatedDisk } from "../support/simulated-disk.js";

const magic = "PCSPOOL1";

function fileOf(...payloads: string[]): Buffer {
  const records = payloads.map((payload) => encodeRecord(2, Buffer.from(payload)));
  return Buffer.concat([Buffer.from(magic), ...records]);
}

function payloadsOf(bytes: Uint8Array): string[] | undefined {
  return readRecords(bytes, magic)?.records.map(({ payload }) => Buffer.from(payload).toString());
}

test("a record is length, checksum, kind and payload, byte by byte", (t) => {
  const bytes = Buffer.from(encodeRecord(2, Buffer.from("abc"))).toString("hex");

  t.is(bytes, "03000000" + "478f2841" + "02" + "616263");
});

test("a file cut at any byte gives the records that are whole, and tells how much is left", (t) => {
  const whole = fileOf("first", "", "third");
  const ends = [8, 8 + 14, 8 + 14 + 9, whole.length];

  for (let length = magic.length; length <= whole.length; length += 1) {
    const read = readRecords(whole.subarray(0, length), magic);
    const count = ends.filter((end) => end <= length).length - 1;
    t.is(read?.records.length, count);
    t.is(read?.restBytes, length - (ends[count] ?? 0));
  }
});

test("a flipped bit anywhere in a record ends the reading before it", (t) => {
  const whole = fileOf("first", "second");

  for (let at = 8 + 14; at < whole.length; at += 1) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    t.deepEqual(payloadsOf(damaged), ["first"]);
  }
});

test("a file with another beginning is not read", (t) => {
  t.is(readRecords(Buffer.from("SQLite format 3"), magic), undefined);
  t.is(readRecords(Buffer.alloc(0), magic), undefined);
});

test("after a power cut the simulated disk has what was synced, and of the rest what the cut left", (t) => {
  const disk = new SimulatedDisk();
  disk.create("d/a", Buffer.from("safe"));
  disk.sync("d/a");
  disk.append("d/a", Buffer.from("torn"));
  disk.create("d/b", Buffer.from("gone"));

  t.is(Buffer.from(disk.afterPowerCut(0.5).read("d/a")).toString(), "safeto");
  t.deepEqual(disk.afterPowerCut(0).list("d"), ["a"]);
  t.deepEqual(disk.list("d"), ["a", "b"]);
});
