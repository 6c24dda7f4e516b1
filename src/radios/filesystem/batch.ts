import { encodeRecord, readRecords, recordHeadBytes } from "../../base/records.js";

/** A batch is a file of records, each the bytes of one envelope. docs/WIRE.md has it byte by byte. */
const magic = "PCBATCH1";
const envelopeKind = 2;

/** Largest envelope, in bytes: what a collector takes by gRPC too. */
export const largestEnvelopeBytes = 64 * 1024 * 1024;

/** Largest file that is read: one with the largest envelope. */
export const largestBatchBytes = magic.length + recordHeadBytes + largestEnvelopeBytes;

/** Why a file is no batch, or not a whole one. */
export type Fault =
  | "empty"
  /** It ends in the middle. */
  | "truncated"
  /** A checksum is wrong. */
  | "damaged"
  /** It is something else. */
  | "foreign"
  /** Larger than any batch. */
  | "too-large"
  /** This user may not read it. */
  | "unreadable";

/** What a file holds: envelopes up to the first fault. */
export interface Batch {
  readonly envelopes: readonly Uint8Array[];
  readonly fault: Fault | undefined;
}

export function encodeBatch(envelopes: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Buffer.from(magic), ...envelopes.map((bytes) => encodeRecord(envelopeKind, bytes))]);
}

/** Envelopes share the memory of `bytes`. */
export function readBatch(bytes: Uint8Array): Batch {
  if (bytes.length === 0) return { envelopes: [], fault: "empty" };
  const read = readRecords(bytes, magic);
  if (read === undefined) {
    const begun = magic.startsWith(Buffer.from(bytes).toString("latin1"));
    return { envelopes: [], fault: begun ? "truncated" : "foreign" };
  }
  const envelopes = read.records.filter(({ kind }) => kind === envelopeKind).map(({ payload }) => payload);
  return { envelopes, fault: faultOf(bytes.subarray(bytes.length - read.restBytes)) };
}

function faultOf(rest: Uint8Array): Fault | undefined {
  if (rest.length === 0) return undefined;
  if (rest.length < recordHeadBytes) return "truncated";
  const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true);
  return recordHeadBytes + length > rest.length ? "truncated" : "damaged";
}
