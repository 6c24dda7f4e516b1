import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { CollectorError } from "../../base/errors.js";

/** Field numbers of StreamMessagesRequest, and of SendMessagesRequest, which has the first alone. */
const envelopeField = 1;
const moreEnvelopesField = 2;

/** The bytes of the envelopes in a request, one at least and `most` at most, in their order. Throws a CollectorError for
 *  one with more, and another error for bytes that are no request. */
export function envelopesIn(request: Uint8Array, most: number): [Uint8Array, ...Uint8Array[]] {
  const reader = new BinaryReader(request);
  let first: Uint8Array | undefined;
  const more: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) reader.skip(wireType, field);
    else if (field === envelopeField) first = reader.bytes();
    else if (field === moreEnvelopesField) more.push(reader.bytes());
    else reader.skip(wireType, field);
    if (more.length >= most) {
      throw new CollectorError(
        "exhausted",
        `read a request: it has more than the ${String(most)} envelopes that may wait for their acknowledgement on one ` +
          "stream; send fewer, or let --max-in-flight raise that",
      );
    }
  }
  if (first === undefined) throw new Error("it has no envelope");
  return [first, ...more];
}

/** A StreamMessagesRequest around the bytes of envelopes, as written by protobuf. They are never decoded for it. */
export function requestOf(envelopes: readonly Uint8Array[]): Buffer {
  const parts = envelopes.flatMap((envelope, index) => [
    headOf(index === 0 ? envelopeField : moreEnvelopesField, envelope.length),
    envelope,
  ]);
  return Buffer.concat(parts);
}

function headOf(field: number, length: number): Buffer {
  const head = [(field << 3) | WireType.LengthDelimited];
  let rest = length;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) head.push((rest & 0x7f) | 0x80);
  head.push(rest);
  return Buffer.from(head);
}
