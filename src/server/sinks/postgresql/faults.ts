import { DatabaseError } from "pg";

import { hasCode, reasonOf } from "../../../base/errors.js";

/** What a failed statement or connection calls for. */
export type Remedy =
  /** Wait: the server is away, or cannot write for now. */
  | "wait"
  /** Do the transaction again, at once: another one was in its way. */
  | "again"
  /** It is a row that the database does not take: find it. */
  | "refuse"
  /** A user has to change something first. */
  | "fail";

/** By the beginnings of SQLSTATE codes; the longest that fits counts. */
const remedies: readonly (readonly [RegExp, Remedy])[] = [
  [/^(40001|40P01|23505)/, "again"], // 23505: another collector inserted the key first
  [/^(25006|55P03|57014)/, "wait"], // read-only for now, a lock of another, cancelled
  [/^(08|53|57P|58)/, "wait"],
  [/^(22|23|54|P0|0A|38|39)/, "refuse"],
];

/** What a socket says when nobody is there, or no longer. */
const away =
  /Connection terminated|timeout expired|Client was closed|Client has encountered a connection error/;
const awayCodes = [
  ...[
    "ECONNREFUSED",
    "ECONNRESET",
    "EPIPE",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EAI_AGAIN",
    "ENOENT",
  ],
];

export function remedyOf(cause: unknown): Remedy {
  if (!(cause instanceof DatabaseError)) {
    return hasCode(cause, ...awayCodes) || away.test(reasonOf(cause)) ? "wait" : "fail";
  }
  return remedies.find(([codes]) => codes.test(cause.code ?? ""))?.[1] ?? "fail";
}

/** Whether two of our own wrote the same key: the second finds the row when it looks again. */
export function isConflict(cause: unknown): boolean {
  return cause instanceof DatabaseError && cause.code === "23505";
}

/** What to do about a fault, for the end of an error's text. */
export function cureOf(cause: unknown): string {
  const code = cause instanceof DatabaseError ? (cause.code ?? "") : "";
  if (code === "25006") return "connect to the primary, or end its read-only mode";
  if (code === "55P03") return "end the transaction that holds the lock (pg_locks names it)";
  if (code === "53300") return "raise max_connections, or end other programs' connections";
  if (code === "53100") return "make room on the server's disk";
  if (code === "3D000") return "make the database with createdb, or name another";
  if (code === "42501") return "GRANT the user CREATE on the schema, and all on its tables";
  if (code.startsWith("28")) return "correct user or password in the URL, or the server's pg_hba.conf";
  if (/certificate|SSL|TLS|altnames/i.test(reasonOf(cause)))
    return "correct sslmode and sslrootcert in the URL";
  if (/password/.test(reasonOf(cause))) return "put the password into the URL, or into ~/.pgpass";
  if (code === "") return "see whether the server runs, and host and port in the URL are its";
  return "see the server's log";
}
