import {
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type JsonObject,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

import { descriptorSet } from "../gen/descriptors.js";
import { CollectorError } from "../base/errors.js";

/** Messages as protobuf's own JSON, with the names of the proto, which are the keys of Parsl's message dicts. Not the
 *  generated code, which knows no JSON. */
const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, Buffer.from(descriptorSet, "base64")),
);

const schema = (() => {
  const name = "parsl_collector.v1.MonitoringMessage";
  const found = registry.getMessage(name);
  if (found === undefined) throw new CollectorError("internal", `find ${name}: the protos have none`);
  return found;
})();

/** A double that is −0. */
const minusZero = Buffer.from("0000000000000080", "hex");

/** A MonitoringMessage as JSON: its kind, and under that its fields. Undefined for bytes that are none, or that JSON
 *  does not tell whole, as fields that this proto does not have. */
export function jsonOfMessage(bytes: Uint8Array): JsonObject | undefined {
  if (Buffer.from(bytes).includes(minusZero)) return undefined; // 0 in JSON.stringify
  try {
    const message = fromBinary(schema, bytes);
    if (!Buffer.from(bytes).equals(toBinary(schema, message, { writeUnknownFields: false })))
      return undefined;
    return toJson(schema, message, { useProtoFieldName: true, registry }) as JsonObject;
  } catch {
    return undefined; // text that is no UTF-8, a time out of range, a broken length
  }
}

/** The bytes of a message that `jsonOfMessage` made. Throws for what is none. */
export function messageOfJson(json: JsonObject): Uint8Array {
  return toBinary(schema, fromJson(schema, json, { registry }));
}
