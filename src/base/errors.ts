/** Why an act failed. The first four may be tried again; the others will fail again. */
export type ErrorCode =
  /** The other side cannot be reached, or went away. */
  | "unavailable"
  /** The collector stops; it or another takes over. */
  | "shutting-down"
  /** It took longer than allowed. */
  | "deadline"
  /** There is more of something than a limit allows, for now. */
  | "exhausted"
  /** Bytes that are no envelope. */
  | "invalid-envelope"
  /** Nobody knows who we are: no token, or a wrong one. */
  | "unauthenticated"
  /** We are known, and may not do this. */
  | "forbidden"
  /** An option or argument that cannot be used. */
  | "invalid-argument"
  /** A database that cannot be used as it is. */
  | "database"
  /** A spool that cannot be written or read, or a file in it that is damaged. */
  | "spool"
  /** An address that cannot be listened on. */
  | "listen"
  /** What was asked for was there once, and is no longer. */
  | "gone"
  /** The object was closed before. */
  | "closed"
  /** A fault of ours. */
  | "internal";

const retryableCodes: ReadonlySet<ErrorCode> = new Set([
  "unavailable",
  "shutting-down",
  "deadline",
  "exhausted",
]);

/** The one error of this package. Its message names the act, the object, the reason and, where there is
 *  one, the cure. */
export class CollectorError extends Error {
  override readonly name = "CollectorError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  /** Whether the same act may succeed later, unchanged. */
  get retryable(): boolean {
    return retryableCodes.has(this.code);
  }
}

/** Whether these bytes were refused for good, and no attempt with them will help. */
export function isRefusal(cause: unknown): cause is CollectorError {
  return cause instanceof CollectorError && cause.code === "invalid-envelope";
}

/** The reason in words, of whatever was thrown. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/** Whether an error of the system has one of these codes. */
export function hasCode(cause: unknown, ...codes: string[]): boolean {
  return cause instanceof Error && "code" in cause && codes.includes(String(cause.code));
}
