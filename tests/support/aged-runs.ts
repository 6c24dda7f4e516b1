import Database from "better-sqlite3";

import type { Message } from "../../src/client/message.js";
import { timestampFromMicros } from "../../src/client/timestamps.js";
import type { Timestamp } from "../../src/model/messages.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import {
  blockInfo,
  nodeInfo,
  resourceInfo,
  taskInfo,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "./builders.js";
import { envelopeOf } from "./encoded.js";
import { acknowledgementsOf } from "./writer.js";

const now = BigInt(Date.now()) * 1000n;

/** A time so many days, and then seconds more, before now; whole tests have one now. */
export function ago(days: number, seconds = 0): Timestamp {
  return timestampFromMicros(now - BigInt(Math.round((days * 86_400 + seconds) * 1e6)));
}

/** A run that has a row in each table, and ended so many days ago, if it did. */
export function runOf(endedDaysAgo: number | undefined): Message[] {
  const began = ago((endedDaysAgo ?? 0) + 1);
  const samples = [3, 2, 1].map((seconds) => resourceInfo({ timestamp: ago(endedDaysAgo ?? 0, seconds) }));
  return [
    workflowStart({ timeBegan: began }),
    taskInfo({ timestamp: began }),
    // In one microsecond with the one before, of another try: its time is moved on.
    taskInfo({ timestamp: began, tryId: 1 }),
    workerTaskInfo({ timestamp: began }),
    ...samples,
    nodeInfo({ timestamp: began }),
    blockInfo({ timestamp: began }),
    taskInfo({ taskStatusName: undefined }), // which no table takes
    ...(endedDaysAgo === undefined ? [] : [workflowEnd({ timeCompleted: ago(endedDaysAgo) })]),
  ];
}

/** Stores a run's messages, all by one sender, whose closing note comes with the end. */
export function storeRun(
  writer: SqliteWriter,
  runId: string,
  senderId: string,
  messages: readonly Message[],
  first = 1,
): void {
  const closing = messages.some((message) => "workflowEnd" in message) ? messages.length : undefined;
  acknowledgementsOf(writer, [
    envelopeOf(messages, {
      runId,
      senderId,
      first,
      ...(closing === undefined ? {} : { lastSequence: closing }),
    }),
  ]);
}

/** Makes it so long ago that messages of a run, and its senders, were last heard. */
export function age(path: string, runId: string, days: number): void {
  const db = new Database(path, { timeout: 10_000 });
  const at = new Date(Date.now() - days * 86_400_000).toISOString().replace("T", " ").replace("Z", "000");
  db.prepare("UPDATE collector_sender_run SET last_received_at = ? WHERE run_id = ?").run(at, runId);
  db.prepare(
    "UPDATE collector_sender SET last_received_at = ? WHERE id IN (SELECT sender FROM collector_sender_run WHERE run_id = ?)",
  ).run(at, runId);
  db.close();
}
