import { factsOf } from "../../rows/facts.js";
import type { ReadArrival } from "../sqlite/group-writer.js";

/** Rows of some columns, each column as an array: what unnest takes. */
export type KeyColumns = readonly (readonly unknown[])[];

/** Which stored rows a group may have to do with. */
export interface GroupKeys {
  readonly senders: readonly string[];
  /** Sender, first and last sequence of each envelope. */
  readonly envelopes: KeyColumns;
  readonly runs: readonly string[];
  /** Run and task. */
  readonly tasks: KeyColumns;
  /** Run, task and try. */
  readonly tries: KeyColumns;
  /** Whether rows are merged: nobody else may write to these runs then. */
  readonly merges: boolean;
  /** Whether it says who sent it. */
  readonly hasPrincipals: boolean;
}

/** Keys of rows that are only ever added, which a group meets when another has said the same, or something else under the
 *  same key: rarely, so they are asked for only when it is known to. */
export interface AddedKeys {
  /** Try, task, run and time. */
  readonly resource: KeyColumns;
  /** Host, first and last time. */
  readonly nodeUsage: KeyColumns;
  /** Run, task and state. */
  readonly status: KeyColumns;
  /** Run, block and executor. */
  readonly block: KeyColumns;
}

/** Different tuples, column by column. */
class KeySet {
  readonly #width: number;
  readonly #tuples = new Map<string, readonly unknown[]>();

  constructor(width: number) {
    this.#width = width;
  }

  add(...tuple: readonly unknown[]): void {
    this.#tuples.set(tuple.join("\0"), tuple); // no text has a NUL here
  }

  get columns(): KeyColumns {
    const tuples = [...this.#tuples.values()];
    return Array.from({ length: this.#width }, (_, column) => tuples.map((tuple) => tuple[column]));
  }
}

export function keysOf(group: readonly ReadArrival[]): GroupKeys {
  const senders = new Set<string>();
  const runs = new Set<string>();
  const envelopes = new KeySet(3);
  const tasks = new KeySet(2);
  const tries = new KeySet(3);
  let merges = false;
  let hasPrincipals = false;
  for (const { envelope, principal } of group) {
    if ("invalid" in envelope) continue;
    if (principal !== undefined) hasPrincipals = true;
    senders.add(envelope.senderId);
    if (envelope.sequences !== undefined) {
      envelopes.add(envelope.senderId, envelope.sequences.first, envelope.sequences.last);
    }
    const { runId: ownRun } = envelope.context;
    if (ownRun !== "") runs.add(ownRun);
    for (const message of envelope.messages) {
      if ("unreadable" in message || message.kind === undefined) continue;
      const runId = message.kind.value.runId ?? ownRun;
      if (runId !== "") runs.add(runId);
      const { $case: kind, value } = message.kind;
      if (kind === "workflowInfo") merges = true;
      if (kind !== "taskInfo" && kind !== "workerTaskInfo") continue;
      merges = true;
      if (value.taskId === undefined) continue;
      if (kind === "taskInfo") tasks.add(runId, value.taskId);
      if (value.tryId !== undefined) tries.add(runId, value.taskId, value.tryId);
    }
  }
  return {
    // In one order, so that two collectors do not wait for each other.
    senders: [...senders].sort(),
    runs: [...runs].sort(),
    envelopes: envelopes.columns,
    tasks: tasks.columns,
    tries: tries.columns,
    merges,
    hasPrincipals,
  };
}

/** By how much a node's sample may be moved on, in microseconds; see Tables. */
const mostMovedMicros = 100;

export function addedKeysOf(group: readonly ReadArrival[]): AddedKeys {
  const resource = new KeySet(4);
  const nodeUsage = new KeySet(3);
  const status = new KeySet(3);
  const block = new KeySet(3);
  for (const { envelope } of group) {
    if ("invalid" in envelope) continue;
    for (const message of envelope.messages) {
      if ("unreadable" in message) continue;
      const facts = factsOf(message, envelope.context);
      if ("refused" in facts) continue;
      if (facts.resource !== undefined) resource.add(...facts.resource.slice(0, 4));
      if (facts.nodeUsage !== undefined) {
        const [host, time] = facts.nodeUsage;
        nodeUsage.add(host, time, mostMovedMicros);
      }
      if (facts.status !== undefined) status.add(facts.status[3], facts.status[0], facts.status[1]);
      if (facts.block !== undefined) block.add(facts.block[0], facts.block[2], facts.block[1]);
    }
  }
  return {
    resource: resource.columns,
    nodeUsage: nodeUsage.columns,
    status: status.columns,
    block: block.columns,
  };
}
