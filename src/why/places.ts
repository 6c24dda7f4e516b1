import type Database from "better-sqlite3";

import { second } from "./text.js";

/** Where tasks were, and how many of them. */
export interface Place {
  readonly host: string | null;
  readonly block: string | null;
  readonly executor: string | null;
  readonly count: number;
}

/** What became of a node and of its block, as far as the file says, as the rest of a sentence. */
export function fateOf(db: Database.Database, place: Place, completed: string | null): string {
  const parts = [nodeFate(db, place), blockFate(db, place, completed)].filter((part) => part !== "");
  return parts.length === 0 ? "the file says nothing of its node and block" : parts.join("; ");
}

/** A place as "node1 in block 3". */
export function nameOf({ host, block }: Place): string {
  const where = host ?? "a node that is not named";
  return block === null ? where : `${where} in block ${block}`;
}

function nodeFate(db: Database.Database, { host, block }: Place): string {
  const node = db
    .prepare<[string | null, string | null], { heartbeat: string; active: number; at: string }>(
      `SELECT heartbeat, active, at FROM why_node WHERE host = ? AND block = coalesce(?, block)
      ORDER BY active, heartbeat LIMIT 1`,
    )
    .get(host, block);
  if (node === undefined) return "";
  const heartbeat = `its last heartbeat came at ${second(node.heartbeat)}`;
  return node.active === 1
    ? `${heartbeat}, and it was not given up`
    : `${heartbeat}, and it was gone at ${second(node.at)}`;
}

function blockFate(db: Database.Database, { executor, block }: Place, completed: string | null): string {
  const last = db
    .prepare<[string | null, string | null], BlockEnd>(
      "SELECT block, job, status, at FROM why_block WHERE block = ? AND executor = coalesce(?, executor)",
    )
    .get(block, executor);
  if (last === undefined) return "";
  const isOver = completed !== null && last.at >= completed;
  return `${blockName(last)} ${statusWords[last.status] ?? `was ${last.status}`} (${last.status}) at ${second(last.at)}${isOver ? ", after the run" : ""}`;
}

export interface BlockEnd {
  readonly block: string;
  readonly job: string | null;
  readonly status: string;
  readonly at: string;
}

/** A block as "block 3 (job 4711)". */
export function blockName({ block, job }: Pick<BlockEnd, "block" | "job">): string {
  return job === null ? `block ${block}` : `block ${block} (job ${job})`;
}

/** Parsl's job states (parsl.jobs.states.JobState): what became of a block that was last seen so. */
export const statusWords: Readonly<Record<string, string>> = {
  UNKNOWN: "was in a state that the batch system did not tell",
  PENDING: "waited in the queue",
  RUNNING: "ran",
  CANCELLED: "was cancelled",
  COMPLETED: "ended",
  FAILED: "failed",
  TIMEOUT: "ran out of its wall time",
  HELD: "was held by the batch system",
  MISSING: "ended before any of its workers reached Parsl",
  SCALED_IN: "was ended by Parsl",
};
