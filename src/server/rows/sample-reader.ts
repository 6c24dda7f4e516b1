import { localText, microsFrom } from "../../model/time.js";
import { longestName, type Context, type Facts } from "./facts.js";
import type { SqlValue } from "./value.js";

/** Wire types of protobuf. */
const [varint, bit64, lengthDelimited] = [0, 1, 2];

/** Tags as in messages.proto: a field's number and wire type. */
const tagOf = (number: number, wireType: number): number => (number << 3) | wireType;
const resourceInfoTag = tagOf(5, lengthDelimited);
const [secondsTag, nanosTag] = [tagOf(1, varint), tagOf(2, varint)];

/** Columns of `resource` that are more than their field. */
const [tryColumn, taskColumn, runColumn, timeColumn, statusColumn, cpuColumn] = [0, 1, 2, 3, 14, 15];

/** The columns of `resource` by the tags of the fields of ResourceInfo; -1 for a field that is none. */
const columnOf = new Int8Array(tagOf(20, 0)).fill(-1);
for (const [column, tag] of [
  [runColumn, tagOf(1, lengthDelimited)],
  [taskColumn, tagOf(2, varint)],
  [tryColumn, tagOf(3, varint)],
  [timeColumn, tagOf(4, lengthDelimited)],
  [5, tagOf(7, varint)],
  [statusColumn, tagOf(16, lengthDelimited)],
  [cpuColumn, tagOf(17, varint)],
  ...[6, 8, 9, 10, 11, 12, 13, 14, 15, 18, 19].map((number) => [number - 2, tagOf(number, bit64)] as const),
] as const) {
  columnOf[tag] = column;
}

/** Reads the samples of an envelope straight into their rows. At full speed most messages are samples, and the generated
 *  decoder makes an object of all 29 fields, texts included, of which 18 are columns. What is unusual is left to that:
 *  fields out of order, text beyond ASCII, numbers that no sender of ours has, and whatever no table takes. */
export class SampleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #runIds = new KeptText();
  readonly #statuses = new KeptText();
  #at = 0;

  constructor(envelope: Uint8Array) {
    this.#bytes = envelope;
    this.#view = new DataView(envelope.buffer, envelope.byteOffset, envelope.byteLength);
  }

  /** The same as factsOf says of the message between two positions; undefined for one that is left to it. */
  read(from: number, to: number, context: Context): Facts | undefined {
    if (this.#bytes[from] !== resourceInfoTag) return undefined;
    this.#at = from + 1;
    if (this.#varint() !== to - this.#at) return undefined;
    // prettier-ignore
    const row: SqlValue[] = [
      null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
    ];
    let runId: string | undefined = context.runId;
    let status: string | null | undefined = null;
    let at: number | undefined;
    for (let tag = 0; this.#at < to;) {
      const before = tag;
      tag = this.#varint();
      if (!(tag > before)) return undefined;
      const column = columnOf[tag] ?? -1;
      switch (tag & 7) {
        case varint: {
          const value = this.#varint();
          if (!(value <= 0xffff_ffff)) return undefined;
          if (column >= 0) row[column] = column === cpuColumn ? String(value | 0) : value;
          break;
        }
        case bit64: {
          if (this.#at + 8 > to) return undefined;
          if (column >= 0) {
            const value = this.#view.getFloat64(this.#at, true);
            row[column] = Number.isNaN(value) ? null : value; // as SQLite has it
          }
          this.#at += 8;
          break;
        }
        case lengthDelimited: {
          const end = this.#varint() + this.#at;
          if (!(end <= to)) return undefined;
          if (column === runColumn) runId = this.#runIds.read(this.#bytes, this.#at, end);
          else if (column === statusColumn) status = this.#statuses.read(this.#bytes, this.#at, end);
          else if (column === timeColumn) at = this.#time(end);
          this.#at = end;
          break;
        }
        default:
          return undefined;
      }
    }
    const isWhole = this.#at === to && row[taskColumn] !== null && row[tryColumn] !== null;
    if (!isWhole || at === undefined || status === undefined || runId === undefined) return undefined;
    if (runId === "" || runId.length > longestName) return undefined;
    row[runColumn] = runId;
    row[timeColumn] = localText(at);
    row[statusColumn] = status;
    return { runId, at, resource: row };
  }

  /** A Timestamp that ends at `end`. */
  #time(end: number): number | undefined {
    let seconds = 0;
    let nanos = 0;
    while (this.#at < end) {
      const tag = this.#varint();
      if (tag === secondsTag) seconds = this.#varint();
      else if (tag === nanosTag) nanos = this.#varint();
      else return undefined;
    }
    return this.#at === end ? microsFrom(seconds, nanos) : undefined;
  }

  /** NaN for one of more than seven bytes: a negative number, or one that no sample has. */
  #varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.#bytes[this.#at++] ?? NaN;
      if (byte < 128) return value + byte * scale;
      value += (byte - 128) * scale;
    }
    return NaN;
  }
}

/** A text that is mostly the same from message to message, so that it is mostly not made anew. */
class KeptText {
  #text = "";

  /** Undefined for bytes that are not all printable ASCII. */
  read(bytes: Uint8Array, from: number, to: number): string | undefined {
    if (!this.#isSame(bytes, from, to)) {
      let text = "";
      for (let at = from; at < to; at += 1) {
        const byte = bytes[at] ?? 0;
        if (byte < 0x20 || byte > 0x7e) return undefined;
        text += String.fromCharCode(byte);
      }
      this.#text = text;
    }
    return this.#text;
  }

  #isSame(bytes: Uint8Array, from: number, to: number): boolean {
    if (to - from !== this.#text.length) return false;
    for (let at = from; at < to; at += 1) {
      if (bytes[at] !== this.#text.charCodeAt(at - from)) return false;
    }
    return true;
  }
}
