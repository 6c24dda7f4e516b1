import type { ProcessIdentity } from "../../base/process-identity.js";

/** What the directory holds. Names, so that no file need be opened to know what it is; docs/WIRE.md has them for
 *  other languages. */
export const folders = {
  /** Batches that are being written; nobody reads them. */
  tmp: "tmp",
  /** Whole batches, in a folder each for the first digit of the writer: a long list in one folder is slow. */
  new: "new",
  /** Batches that a collector has taken and not yet committed, with its process in the name. */
  cur: "cur",
  /** What was no batch, or not a whole one; kept for a person. */
  bad: "bad",
} as const;

/** Names that a collector makes and removes to have a folder listed anew. */
export const nudgePrefix = ".look-";

const writerDigits = 32;
const batchPattern = /^[0-9a-f]{32}-\d{10}\.batch$/;
const claimPattern = /^(.{43}\.batch)@(\d+)-(\d+)@(.+)$/;

/** A batch's name. In the order of names the batches of one writer are in the order in which it wrote them. A writer
 *  is 16 random bytes in hex, drawn anew whenever the directory is opened: no name is ever used twice, though
 *  numbers begin at 1 each time. */
export function batchName(writer: string, number: number): string {
  return `${writer}-${String(number).padStart(10, "0")}.batch`;
}

export function isBatchName(name: string): boolean {
  return batchPattern.test(name);
}

/** The folder in `new` of a batch. */
export function shardOf(batch: string): string {
  return batch.slice(0, 1);
}

/** Whose batch it is; of another name, itself. */
export function writerOf(name: string): string {
  return isBatchName(name) ? name.slice(0, writerDigits) : name;
}

export function isShard(name: string): boolean {
  return /^[0-9a-f]$/.test(name);
}

/** The name in `cur` of a batch that a process has taken. */
export function claimName(batch: string, { hostname, pid, processStarted = 0 }: ProcessIdentity): string {
  return `${batch}@${String(pid)}-${String(processStarted)}@${hostname}`;
}

/** Which batch, and who has taken it; undefined for a name that is no claim. */
export function parseClaimName(
  name: string,
): { readonly batch: string; readonly claimer: ProcessIdentity } | undefined {
  const [, batch = "", pid = "", started = "", hostname = ""] = claimPattern.exec(name) ?? [];
  if (!isBatchName(batch) || Number(pid) < 1) return undefined; // 0 is a group of processes to kill(2)
  const processStarted = Number(started) === 0 ? undefined : Number(started);
  return { batch, claimer: { hostname, pid: Number(pid), processStarted } };
}
