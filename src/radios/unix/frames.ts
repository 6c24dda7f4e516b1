import { CollectorError } from "../../base/errors.js";

/** What a frame's payload is. */
export const frameKinds = {
  /** From the sender: the bytes of one Envelope. */
  envelope: 1,
  /** From the receiver: an Acknowledgement, in the order of the envelopes. */
  acknowledgement: 2,
  /** From the receiver: the first envelope that is unanswered will never be taken; why, in UTF-8. The connection
   *  ends with it. */
  refusal: 3,
} as const;

export interface Frame {
  readonly kind: number;
  readonly payload: Buffer;
}

/** Length of the payload (u32, little endian) and its kind. */
const headBytes = 5;

/** Largest payload, in bytes: a request of gRPC may be as large. */
const largestPayloadBytes = 64 * 1024 * 1024;

/** A frame's bytes, as a head and the payload itself: no copy of a large one. */
export function frameOf(kind: number, payload: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt8(kind, 4);
  return [head, payload];
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** Takes what came, and returns the frames that are whole. Throws a CollectorError for a length that no frame
   *  has: then what follows cannot be told either. */
  take(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#bytes < headBytes) return undefined;
    const head = this.#peek(headBytes);
    const length = head.readUInt32LE(0);
    if (length > largestPayloadBytes) {
      throw new CollectorError(
        "invalid-envelope",
        `read a frame: it claims ${String(length)} bytes, and ${String(largestPayloadBytes)} are the most`,
      );
    }
    if (this.#bytes < headBytes + length) return undefined;
    const whole = this.#peek(headBytes + length);
    this.#drop(headBytes + length);
    return { kind: whole.readUInt8(4), payload: whole.subarray(headBytes) };
  }

  /** The first bytes in one piece. */
  #peek(length: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= length) return first.subarray(0, length);
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole.subarray(0, length);
  }

  #drop(length: number): void {
    // `#peek` has brought them into one chunk.
    const rest = this.#chunks[0]?.subarray(length);
    if (rest === undefined || rest.length === 0) this.#chunks.shift();
    else this.#chunks[0] = rest;
    this.#bytes -= length;
  }
}
