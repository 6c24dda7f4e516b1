import { status, type StatusObject } from "@grpc/grpc-js";

import { CollectorError, type ErrorCode } from "../../base/errors.js";

/** What a sender does after each way in which a stream can end. What is not named here says that something
 *  between or behind does not work now (UNAVAILABLE, CANCELLED, UNKNOWN, ABORTED, INTERNAL, DATA_LOSS), or
 *  that the collector ended a stream that it had not answered (OK): none of it speaks against the envelope,
 *  and to try again loses nothing. */
const codes: Partial<Record<status, ErrorCode>> = {
  [status.DEADLINE_EXCEEDED]: "deadline",
  [status.INVALID_ARGUMENT]: "invalid-envelope",
  [status.OUT_OF_RANGE]: "invalid-envelope",
  // A service lives there, but no collector.
  [status.UNIMPLEMENTED]: "invalid-argument",
  [status.NOT_FOUND]: "invalid-argument",
  // It does not want us, and will not until somebody changes a setting.
  [status.UNAUTHENTICATED]: "unauthenticated",
  [status.PERMISSION_DENIED]: "forbidden",
  [status.FAILED_PRECONDITION]: "invalid-argument",
  [status.ALREADY_EXISTS]: "internal",
};

const cures: Partial<Record<status, string>> = {
  [status.UNAUTHENTICATED]: "; give the token that the collector has for you",
  [status.PERMISSION_DENIED]: "; give a token that may write this run",
  [status.UNIMPLEMENTED]: "; no collector listens there, check the address",
  [status.NOT_FOUND]: "; no collector listens there, check the address",
};

/** Trailing metadata of GetStatus: the collector's time, in microseconds since 1970, in digits. Not in the message,
 *  which may have waited for a commit. */
export const timeMetadata = "time-us";

/** Why a stream to the collector at `address` ended, from the status with which it did. */
export function streamError(address: string, end: Pick<StatusObject, "code" | "details">): CollectorError {
  return statusError("stream to", address, end);
}

/** Why an act failed at the collector at `address`. */
export function statusError(
  act: string,
  address: string,
  { code, details }: Pick<StatusObject, "code" | "details">,
): CollectorError {
  // grpc-js ends its text so, also when there is nothing to note.
  const reason = details.replace(/\.? Resolution note: $/, "");
  return new CollectorError(
    codeOf(code, details),
    `${act} collector ${address}: ${status[code]}: ${reason}${cures[code] ?? ""}`,
  );
}

function codeOf(code: status, details: string): ErrorCode {
  // The same status for a message over the limit of the collector or of a proxy, which will be over it each
  // time, and for a peer that has no room now (HTTP/2 ENHANCE_YOUR_CALM). Every gRPC library words the first
  // so.
  if (code === status.RESOURCE_EXHAUSTED && details.includes("larger than max")) return "invalid-envelope";
  return codes[code] ?? "unavailable";
}
