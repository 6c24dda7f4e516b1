import { kindName } from "../model/kinds.js";
import type { MonitoringMessage, Timestamp } from "../model/messages.js";
import type { CommittedMessage } from "../model/subscription.js";
import { localText, microsOf } from "../model/time.js";
import type { StoredKind, StoredMessage } from "../server/sinks/sqlite/new-rows.js";

/** A message that a collector told, as one that was read from a file. Its `row` has the message's own fields. */
export function committedMessage(committed: CommittedMessage): StoredMessage {
  const { senderId, sequence, runId, hostname, message, rejectedReason } = committed;
  const value = message?.kind?.value as Record<string, unknown> | undefined;
  const told = message === undefined ? {} : wordsOf(message);
  const kind = kindName(message);
  const isRejected = rejectedReason !== "";
  return {
    kind: (isRejected ? "REJECTED" : kind) as StoredKind,
    time: timeText(told.timestamp ?? committed.committedAt),
    runId: runId === "" ? null : runId,
    ...numbersOf(value),
    hostname: hostname === "" ? null : hostname,
    ...(isRejected ? { state: kind, detail: rejectedReason } : told.words),
    row: { sender_id: senderId, sequence: Number(sequence), ...fieldsOf(value ?? {}) },
  };
}

interface Told {
  readonly timestamp?: Timestamp | undefined;
  readonly words?: Pick<StoredMessage, "state" | "hostname" | "detail">;
}

/** When it happened, and what a person wants to know of it in a line. */
function wordsOf({ kind }: MonitoringMessage): Told {
  switch (kind?.$case) {
    case "workflowInfo": {
      const { phase } = kind.value;
      if (phase?.$case !== "start")
        return { timestamp: phase?.value.timeCompleted, words: { state: "completed" } };
      const { timeBegan, workflowName = "", rundir = "" } = phase.value;
      return { timestamp: timeBegan, words: { state: "started", detail: `${workflowName}, ${rundir}` } };
    }
    case "taskInfo": {
      const { timestamp, taskStatusName = "", taskFuncName = "" } = kind.value;
      return { timestamp, words: { state: taskStatusName, detail: taskFuncName } };
    }
    case "workerTaskInfo": {
      const { timestamp, firstMsg, blockId = "" } = kind.value;
      return {
        timestamp,
        words: { state: firstMsg === true ? "running" : "running_ended", detail: blockId },
      };
    }
    case "nodeInfo": {
      const { timestamp, hostname, active, uid = "" } = kind.value;
      const state = active === true ? "active" : "inactive";
      return { timestamp, words: { state, hostname: hostname ?? null, detail: uid } };
    }
    case "blockInfo": {
      const { timestamp, status = "", executorLabel = "", blockId = "" } = kind.value;
      return { timestamp, words: { state: status, detail: `${executorLabel} ${blockId}` } };
    }
    case "resourceInfo": {
      const { timestamp, psutilProcessStatus = "", psutilProcessMemoryResident: bytes } = kind.value;
      const detail = bytes === undefined ? "" : `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
      return { timestamp, words: { state: psutilProcessStatus, detail } };
    }
    case "nodeUsage":
      return { timestamp: kind.value.timestamp };
    default:
      return {};
  }
}

function numbersOf(value: Record<string, unknown> | undefined): Pick<StoredMessage, "taskId" | "tryId"> {
  const { taskId, tryId } = value ?? {};
  return {
    ...(typeof taskId === "number" && { taskId }),
    ...(typeof tryId === "number" && { tryId }),
  };
}

/** The fields that are set, by their names in the proto; times as Parsl's tables have them, and what is more than a
 *  value as JSON. */
function fieldsOf(value: Record<string, unknown>): Record<string, string | number> {
  const fields: Record<string, string | number> = {};
  for (const [name, one] of Object.entries(value)) {
    if (one === undefined) continue;
    const column = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    fields[column] = isTimestamp(one)
      ? timeText(one)
      : typeof one === "number" || typeof one === "string"
        ? one
        : JSON.stringify(one, (_, part: unknown) => (typeof part === "bigint" ? Number(part) : part));
  }
  return fields;
}

function isTimestamp(value: unknown): value is Timestamp {
  return typeof value === "object" && value !== null && "seconds" in value && "nanos" in value;
}

function timeText(timestamp: Timestamp | undefined): string {
  const micros = timestamp && microsOf(timestamp);
  return micros === undefined ? "" : localText(micros);
}
