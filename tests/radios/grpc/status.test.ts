import { status } from "@grpc/grpc-js";
import test from "ava";

import type { ErrorCode } from "../../../src/base/errors.js";
import { streamError } from "../../../src/radios/grpc/status.js";

const expected: readonly [code: status, details: string, error: ErrorCode, retryable: boolean][] = [
  [status.OK, "the collector ended the stream", "unavailable", true],
  [status.CANCELLED, "Call cancelled", "unavailable", true],
  [status.UNKNOWN, "stream removed", "unavailable", true],
  [status.INVALID_ARGUMENT, "no envelope", "invalid-envelope", false],
  [status.DEADLINE_EXCEEDED, "", "deadline", true],
  [status.NOT_FOUND, "", "invalid-argument", false],
  [status.ALREADY_EXISTS, "", "internal", false],
  [status.PERMISSION_DENIED, "", "forbidden", false],
  [
    status.RESOURCE_EXHAUSTED,
    "Received message larger than max (70000000 vs 67108864)",
    "invalid-envelope",
    false,
  ],
  [status.RESOURCE_EXHAUSTED, "Bandwidth exhausted or memory limit exceeded", "unavailable", true],
  [status.FAILED_PRECONDITION, "", "invalid-argument", false],
  [status.ABORTED, "", "unavailable", true],
  [status.OUT_OF_RANGE, "", "invalid-envelope", false],
  [status.UNIMPLEMENTED, "", "invalid-argument", false],
  [status.INTERNAL, "Received RST_STREAM with code 2", "unavailable", true],
  [status.UNAVAILABLE, "", "unavailable", true],
  [status.DATA_LOSS, "", "unavailable", true],
  [status.UNAUTHENTICATED, "", "unauthenticated", false],
];

for (const [code, details, error, retryable] of expected) {
  test(`a stream that ends with ${status[code]} ${details} is ${error}`, (t) => {
    const told = streamError("node1:7000", { code, details });

    t.is(told.code, error);
    t.is(told.retryable, retryable);
    t.true(told.message.startsWith(`stream to collector node1:7000: ${status[code]}`));
  });
}
