import type Database from "better-sqlite3";

import {
  RunState,
  type LostCount,
  type MessageCounts,
  type RadioCount,
  type RunStatus,
  type SenderStatus,
} from "../../../model/status.js";
import { timestampOf } from "../../../model/time.js";
import { accountOf, runStateOf, type Account } from "../../account.js";
import { SequenceSet } from "../../ledger.js";
import type { Losses, SinkStatus } from "../sink.js";
import { goneRuns, sendersOfGoneRuns } from "./finished-runs.js";
import { SequenceReader } from "./sequences.js";

/** Gaps that a status names for one sender. */
const namedGaps = 100;

const runStates = {
  running: RunState.RUNNING,
  completed: RunState.COMPLETED,
  lost: RunState.LOST,
} as const;

interface SenderRow {
  id: number;
  sender_id: string;
  run_id: string | null;
  hostname: string | null;
  last_received_at: string;
  last_sequence: number | null;
  stored: number;
  rejected: number;
  repeated: number;
  duplicate_rows: number;
}

interface RunRow {
  run_id: string;
  workflow_name: string | null;
  has_end: 0 | 1;
  all_closed: 0 | 1;
  last_received_at: string;
}

/** Reads the ledger of a file: its senders and runs, or those of one run (an empty `runId` means all). A
 *  sender that spoke of several runs is listed under each, with all that it sent. Of runs that were pruned, and of
 *  senders that are remembered for them alone, it says nothing. */
export function readStatus(db: Database.Database, runId: string, nowMs: number): SinkStatus {
  const sequences = new SequenceReader(db);
  const radios = db.prepare<[number], { radio: string; received: number }>(
    "SELECT radio, received FROM collector_sender_radio WHERE sender = ? ORDER BY radio",
  );
  const senders = db
    .prepare<[string, string], SenderRow>(
      `SELECT * FROM collector_sender
      WHERE (? = '' OR id IN (SELECT sender FROM collector_sender_run WHERE run_id = ?))
        AND id NOT IN (${sendersOfGoneRuns})
      ORDER BY id`,
    )
    .all(runId, runId)
    .map((row) => {
      const stored = new SequenceSet(sequences.stored(row.id));
      const account = accountOf(stored, sequences.lost(row.id), row.last_sequence);
      return senderStatus(row, account, radios.all(row.id));
    });
  return { total: totalOf(senders), senders, runs: readRuns(db, runId, nowMs) };
}

/** What a status says of the runs that may be seen. */
export function onlyOf({ senders, runs }: SinkStatus, isSeen: (runId: string) => boolean): SinkStatus {
  const seen = senders.filter(({ runId }) => runId !== "" && isSeen(runId));
  return { total: totalOf(seen), senders: seen, runs: runs.filter(({ runId }) => isSeen(runId)) };
}

function totalOf(senders: readonly SenderStatus[]): MessageCounts {
  const sum = (key: keyof MessageCounts): bigint =>
    senders.reduce((total, { counts }) => total + (counts?.[key] ?? 0n), 0n);
  return {
    stored: sum("stored"),
    rejected: sum("rejected"),
    repeated: sum("repeated"),
    duplicateRows: sum("duplicateRows"),
    missing: sum("missing"),
    lost: sum("lost"),
  };
}

/** Counts what is missing and lost of all senders, in 2.5 ms for each 1,000 of them. A status takes 50 times as
 *  long, and this is asked for every few seconds. */
export function readLosses(db: Database.Database): Losses {
  const sequences = new SequenceReader(db);
  // A loss and what came all the same may overlap, but few senders have any.
  const missing = db
    .prepare<[], number>(
      `SELECT coalesce(sum(max(coalesce(last_sequence, 0), coalesce(highest, 0)) - coalesce(size, 0)), 0)
      FROM collector_sender sender LEFT JOIN
        (SELECT sender, max(last) AS highest, sum(last - first + 1) AS size FROM collector_sequence GROUP BY sender)
        ON sender = id
      WHERE id NOT IN (SELECT sender FROM collector_lost) AND id NOT IN (${sendersOfGoneRuns})`,
    )
    .pluck()
    .get();
  const accounts = db
    .prepare<[], { id: number; last_sequence: number | null }>(
      `SELECT id, last_sequence FROM collector_sender
      WHERE id IN (SELECT sender FROM collector_lost) AND id NOT IN (${sendersOfGoneRuns})`,
    )
    .all()
    .map(({ id, last_sequence }) =>
      accountOf(new SequenceSet(sequences.stored(id)), sequences.lost(id), last_sequence),
    );
  return {
    missing: accounts.reduce((sum, { missingCount }) => sum + missingCount, missing ?? 0),
    lost: accounts.reduce((sum, { lost }) => sum + [...lost.values()].reduce((a, b) => a + b, 0), 0),
  };
}

function senderStatus(
  row: SenderRow,
  account: Account,
  radios: readonly { readonly radio: string; readonly received: number }[],
): SenderStatus {
  const lost = [...account.lost].map(([kind, count]): LostCount => ({ kind, count: BigInt(count) }));
  return {
    senderId: row.sender_id,
    runId: row.run_id ?? "",
    hostname: row.hostname ?? "",
    counts: {
      stored: BigInt(row.stored),
      rejected: BigInt(row.rejected),
      repeated: BigInt(row.repeated),
      duplicateRows: BigInt(row.duplicate_rows),
      missing: BigInt(account.missingCount),
      lost: lost.reduce((total, { count }) => total + count, 0n),
    },
    lastSequence: BigInt(account.last),
    closed: row.last_sequence !== null,
    missing: account.missing
      .slice(0, namedGaps)
      .map(({ first, last }) => ({ first: BigInt(first), last: BigInt(last) })),
    lastReceivedAt: timestampOf(microsOfText(row.last_received_at)),
    lost,
    radios: radios.map(({ radio, received }): RadioCount => ({ radio, received: BigInt(received) })),
  };
}

/** How the runs of a file stand, or one of them, in the order in which they were first heard of. */
export function readRuns(db: Database.Database, runId: string, nowMs: number): RunStatus[] {
  return db
    .prepare<[string, string], RunRow>(
      `SELECT heard.run_id, workflow.workflow_name, workflow.time_completed IS NOT NULL AS has_end,
        min(sender.last_sequence IS NOT NULL) AS all_closed, max(heard.last_received_at) AS last_received_at
      FROM collector_sender_run heard
        JOIN collector_sender sender ON sender.id = heard.sender
        LEFT JOIN workflow ON workflow.run_id = heard.run_id
      WHERE (? = '' OR heard.run_id = ?) AND heard.run_id NOT IN (${goneRuns})
      GROUP BY heard.run_id ORDER BY min(sender.id), heard.run_id`,
    )
    .all(runId, runId)
    .map((row): RunStatus => {
      const micros = microsOfText(row.last_received_at);
      const heard = {
        hasEnd: row.has_end === 1,
        allClosed: row.all_closed === 1,
        lastReceivedAtMs: micros / 1000,
      };
      return {
        runId: row.run_id,
        workflowName: row.workflow_name ?? "",
        state: runStates[runStateOf(heard, nowMs)],
        lastReceivedAt: timestampOf(micros),
      };
    });
}

/** Of a time in our own tables, which is UTC; to the millisecond. */
export function microsOfText(text: string): number {
  return Date.parse(`${text.replace(" ", "T")}Z`) * 1000;
}
