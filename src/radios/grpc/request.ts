import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** The envelope's bytes in a request that carries one: its field 1. Throws for bytes that are no request. */
export function envelopeIn(request: Uint8Array): Uint8Array {
  const reader = new BinaryReader(request);
  let envelope: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.LengthDelimited) envelope = reader.bytes();
    else reader.skip(wireType, field);
  }
  if (envelope === undefined) throw new Error("it has no envelope");
  return envelope;
}
