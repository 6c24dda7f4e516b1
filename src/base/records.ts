import { crc32 } from "node:zlib";

/** Bytes before a record's payload: its length (u32, little endian), its checksum (the same), its kind. */
export const recordHeadBytes = 9;

/** One record of a file that is only appended to. */
export interface FileRecord {
  /** What the payload is, from 0 to 255; a reader skips kinds that it does not know. */
  readonly kind: number;
  readonly payload: Uint8Array;
}

/** The records of a file, and how they end. */
export interface RecordsRead {
  readonly records: readonly FileRecord[];
  /** Bytes after the last whole record: torn off by a crash, or damaged. */
  readonly restBytes: number;
}

/** A record's bytes. The checksum is the CRC-32 of kind and payload. */
export function encodeRecord(kind: number, payload: Uint8Array): Uint8Array {
  const record = Buffer.alloc(recordHeadBytes + payload.length);
  record.writeUInt32LE(payload.length, 0);
  record.writeUInt8(kind, 8);
  record.set(payload, recordHeadBytes);
  record.writeUInt32LE(crc32(record.subarray(8)), 4);
  return record;
}

/** The whole records of a file that begins with `magic`, up to the first that is short or fails its checksum;
 *  undefined when the file does not begin so. Payloads share the memory of `bytes`. */
export function readRecords(bytes: Uint8Array, magic: string): RecordsRead | undefined {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.subarray(0, magic.length).toString("latin1") !== magic) return undefined;
  const records: FileRecord[] = [];
  let at = magic.length;
  while (at + recordHeadBytes <= file.length) {
    const end = at + recordHeadBytes + file.readUInt32LE(at);
    if (end > file.length || crc32(file.subarray(at + 8, end)) !== file.readUInt32LE(at + 4)) break;
    records.push({ kind: file.readUInt8(at + 8), payload: file.subarray(at + recordHeadBytes, end) });
    at = end;
  }
  return { records, restBytes: file.length - at };
}
