import {
  type BlockInfo,
  type MonitoringMessage,
  type NodeInfo,
  type NodeUsage,
  type ResourceInfo,
  type TaskInfo,
  type WorkerTaskInfo,
  type WorkflowInfo,
} from "../../model/messages.js";
import { localText, microsOf, type Micros } from "../../model/time.js";
import type { Rule } from "./merged-values.js";
import type { SqlValue } from "./value.js";

type Timestamp = NonNullable<TaskInfo["timestamp"]>;

/** What the envelope says once for all its messages; empty where it does not. */
export interface Context {
  readonly runId: string;
  readonly hostname: string;
}

/** Characters that the name of a run or of a host may have. Each stands in many rows, so that one that is as
 *  large as an envelope would fill the disk with a single one. */
export const longestName = 256;

/** Columns of `workflow` besides its key and its totals, in the order of Facts.workflow: six that the start
 *  says, and one that the end says. */
export const workflowColumns = {
  workflow_name: "first",
  workflow_version: "first",
  time_began: "first",
  host: "first",
  user: "first",
  rundir: "first",
  time_completed: "last",
} as const satisfies Record<string, Rule>;

/** Columns of `task` besides its key. Parsl writes the first seven once and updates the others. */
export const taskColumns = {
  task_depends: "first",
  task_func_name: "first",
  task_memoize: "first",
  task_outputs: "first",
  task_stdin: "first",
  task_stdout: "first",
  task_stderr: "first",
  task_hashsum: "last",
  task_inputs: "last",
  task_time_invoked: "last",
  task_time_returned: "last",
  task_fail_count: "last",
  task_fail_cost: "last",
} as const satisfies Record<string, Rule>;

/** Columns of `try` besides its key: five that the submitting process says, then three that the worker
 *  says. */
export const tryColumns = {
  task_executor: "first",
  task_try_time_launched: "last",
  task_try_time_returned: "last",
  task_fail_history: "last",
  task_joins: "last",
  task_try_time_running: "last",
  block_id: "last",
  hostname: "last",
} as const satisfies Record<string, Rule>;

/** The first of the columns of `try` that a worker says. */
export const firstWorkerColumn = 5;

/** A row of `status`: task_id, task_status_name, timestamp, run_id, try_id. */
export type StatusRow = readonly [number, string, string, string, number];

/** A row of `block`: run_id, executor_label, block_id, job_id, timestamp, status. */
export type BlockRow = readonly [string, string, string, string | null, string, string];

/** What a message says, as values for the tables. */
export interface Facts {
  /** Empty for what is of no run, as a node's usage may be. */
  readonly runId: string;
  /** The time of the message itself; orders what is said about one thing. */
  readonly at: Micros;
  /** Values for workflowColumns. */
  readonly workflow?: readonly SqlValue[];
  /** Totals of the run: failed, completed. They never fall. */
  readonly counts?: readonly [number, number];
  readonly task?: { readonly taskId: number; readonly values: readonly SqlValue[] };
  readonly try?: {
    readonly taskId: number;
    readonly tryId: number;
    /** Index of the column of tryColumns at which `values` begins. */
    readonly from: number;
    readonly values: readonly SqlValue[];
  };
  readonly status?: StatusRow;
  readonly block?: BlockRow;
  readonly resource?: readonly SqlValue[];
  readonly node?: readonly SqlValue[];
  readonly nodeUsage?: readonly SqlValue[];
}

/** Thrown by the readers below for a message that no table takes. Not a fault: it is kept as rejected. */
class Unstorable extends Error {}

function required<T>(value: T | undefined, kind: string, field: string, table: string): T {
  if (value === undefined) {
    throw new Unstorable(`${kind} lacks ${field}, which table ${table} must have`);
  }
  return value;
}

function runIdOf(runId: string | undefined, context: Context, kind: string): string {
  const known = runIdIfAny(runId, context, kind);
  if (known === "") throw new Unstorable(`${kind} lacks run_id, and its envelope names none`);
  return known;
}

function runIdIfAny(runId: string | undefined, context: Context, kind: string): string {
  const known = runId ?? context.runId;
  if (known.length > longestName) {
    throw new Unstorable(
      `${kind}.run_id may have ${String(longestName)} characters, got ${String(known.length)}`,
    );
  }
  return known;
}

function microsIn(timestamp: Timestamp, kind: string, field: string): Micros {
  const micros = microsOf(timestamp);
  if (micros === undefined) {
    throw new Unstorable(
      `${kind}.${field} is no time between the years 1 and 9999: ${String(timestamp.seconds)} s, ${String(timestamp.nanos)} ns`,
    );
  }
  return micros;
}

function textOf(timestamp: Timestamp | undefined, kind: string, field: string): string | null {
  return timestamp === undefined ? null : localText(microsIn(timestamp, kind, field));
}

/** SQLite has no NaN and stores NULL for it. */
function realOf(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}

function hostnameOf(hostname: string | undefined, context: Context): string | null {
  return hostname ?? (context.hostname === "" ? null : context.hostname);
}

function workflowFacts(info: WorkflowInfo, context: Context): Facts {
  const kind = "WORKFLOW_INFO";
  const runId = runIdOf(info.runId, context, kind);
  const { phase } = info;
  if (phase === undefined) throw new Unstorable(`${kind} is neither a start nor an end`);
  if (phase.$case === "end") {
    const end = phase.value;
    const at = microsIn(
      required(end.timeCompleted, kind, "time_completed", "workflow"),
      kind,
      "time_completed",
    );
    return {
      runId,
      at,
      workflow: [null, null, null, null, null, null, localText(at)],
      counts: [end.tasksFailedCount ?? 0, end.tasksCompletedCount ?? 0],
    };
  }
  const start = phase.value;
  const at = microsIn(required(start.timeBegan, kind, "time_began", "workflow"), kind, "time_began");
  return {
    runId,
    at,
    workflow: [
      start.workflowName ?? null,
      start.workflowVersion ?? null,
      localText(at),
      required(start.host, kind, "host", "workflow"),
      required(start.user, kind, "user", "workflow"),
      required(start.rundir, kind, "rundir", "workflow"),
      null,
    ],
    counts: [start.tasksFailedCount ?? 0, start.tasksCompletedCount ?? 0],
  };
}

function taskFacts(info: TaskInfo, context: Context): Facts {
  const kind = "TASK_INFO";
  const runId = runIdOf(info.runId, context, kind);
  const taskId = required(info.taskId, kind, "task_id", "task");
  const tryId = required(info.tryId, kind, "try_id", "try");
  const at = microsIn(required(info.timestamp, kind, "timestamp", "status"), kind, "timestamp");
  const state = required(info.taskStatusName, kind, "task_status_name", "status");
  if (state === "") throw new Unstorable(`${kind}.task_status_name is empty`);
  return {
    runId,
    at,
    counts: [info.tasksFailedCount ?? 0, info.tasksCompletedCount ?? 0],
    task: {
      taskId,
      values: [
        info.taskDepends ?? null,
        required(info.taskFuncName, kind, "task_func_name", "task"),
        required(info.taskMemoize, kind, "task_memoize", "task") ? "1" : "0",
        info.taskOutputs ?? null,
        info.taskStdin ?? null,
        info.taskStdout ?? null,
        info.taskStderr ?? null,
        info.taskHashsum ?? null,
        info.taskInputs ?? null,
        textOf(info.taskTimeInvoked, kind, "task_time_invoked"),
        textOf(info.taskTimeReturned, kind, "task_time_returned"),
        required(info.taskFailCount, kind, "task_fail_count", "task"),
        required(realOf(info.taskFailCost) ?? undefined, kind, "task_fail_cost", "task"),
      ],
    },
    try: {
      taskId,
      tryId,
      from: 0,
      values: [
        required(info.taskExecutor, kind, "task_executor", "try"),
        textOf(info.taskTryTimeLaunched, kind, "task_try_time_launched"),
        textOf(info.taskTryTimeReturned, kind, "task_try_time_returned"),
        info.taskFailHistory ?? null,
        info.taskJoins ?? null,
      ],
    },
    status: [taskId, state, localText(at), runId, tryId],
  };
}

function workerTaskFacts(info: WorkerTaskInfo, context: Context): Facts {
  const kind = "WORKER_TASK_INFO";
  const runId = runIdOf(info.runId, context, kind);
  const taskId = required(info.taskId, kind, "task_id", "status");
  const tryId = required(info.tryId, kind, "try_id", "status");
  const at = microsIn(required(info.timestamp, kind, "timestamp", "status"), kind, "timestamp");
  const text = localText(at);
  if (info.firstMsg === true) {
    return {
      runId,
      at,
      try: {
        taskId,
        tryId,
        from: firstWorkerColumn,
        // An executor without blocks has none, however the worker spells it.
        values: [
          text,
          info.blockId === "" ? null : (info.blockId ?? null),
          hostnameOf(info.hostname, context),
        ],
      },
      status: [taskId, "running", text, runId, tryId],
    };
  }
  if (info.lastMsg === true) return { runId, at, status: [taskId, "running_ended", text, runId, tryId] };
  throw new Unstorable(`${kind} is neither the first nor the last message of its try`);
}

function resourceFacts(info: ResourceInfo, context: Context): Facts {
  const kind = "RESOURCE_INFO";
  const runId = runIdOf(info.runId, context, kind);
  const taskId = required(info.taskId, kind, "task_id", "resource");
  const tryId = required(info.tryId, kind, "try_id", "resource");
  const at = microsIn(required(info.timestamp, kind, "timestamp", "resource"), kind, "timestamp");
  return {
    runId,
    at,
    resource: [
      tryId,
      taskId,
      runId,
      localText(at),
      realOf(info.resourceMonitoringInterval),
      info.psutilProcessPid ?? null,
      realOf(info.psutilProcessMemoryPercent),
      realOf(info.psutilProcessChildrenCount),
      realOf(info.psutilProcessTimeUser),
      realOf(info.psutilProcessTimeSystem),
      realOf(info.psutilProcessMemoryVirtual),
      realOf(info.psutilProcessMemoryResident),
      realOf(info.psutilProcessDiskRead),
      realOf(info.psutilProcessDiskWrite),
      info.psutilProcessStatus ?? null,
      info.psutilCpuNum === undefined ? null : String(info.psutilCpuNum),
      realOf(info.psutilProcessNumCtxSwitchesVoluntary),
      realOf(info.psutilProcessNumCtxSwitchesInvoluntary),
    ],
  };
}

function nodeFacts(info: NodeInfo, context: Context): Facts {
  const kind = "NODE_INFO";
  const table = "node";
  const runId = runIdOf(info.runId, context, kind);
  const at = microsIn(required(info.timestamp, kind, "timestamp", table), kind, "timestamp");
  return {
    runId,
    at,
    node: [
      runId,
      required(info.hostname, kind, "hostname", table),
      required(info.uid, kind, "uid", table),
      required(info.blockId, kind, "block_id", table),
      required(info.cpuCount, kind, "cpu_count", table),
      required(info.totalMemory, kind, "total_memory", table),
      required(info.active, kind, "active", table) ? 1 : 0,
      required(info.workerCount, kind, "worker_count", table),
      required(info.pythonV, kind, "python_v", table),
      localText(at),
      required(
        textOf(info.lastHeartbeat, kind, "last_heartbeat") ?? undefined,
        kind,
        "last_heartbeat",
        table,
      ),
    ],
  };
}

function blockFacts(info: BlockInfo, context: Context): Facts {
  const kind = "BLOCK_INFO";
  const table = "block";
  const runId = runIdOf(info.runId, context, kind);
  const at = microsIn(required(info.timestamp, kind, "timestamp", table), kind, "timestamp");
  return {
    runId,
    at,
    block: [
      runId,
      required(info.executorLabel, kind, "executor_label", table),
      required(info.blockId, kind, "block_id", table),
      info.jobId ?? null,
      localText(at),
      required(info.status, kind, "status", table),
    ],
  };
}

function nodeUsageFacts(info: NodeUsage, context: Context): Facts {
  const kind = "NODE_USAGE";
  const table = "collector_node_usage";
  const runId = runIdIfAny(info.runId, context, kind);
  const hostname = required(hostnameOf(info.hostname, context) ?? undefined, kind, "hostname", table);
  const at = microsIn(required(info.timestamp, kind, "timestamp", table), kind, "timestamp");
  return {
    runId,
    at,
    nodeUsage: [
      hostname,
      localText(at),
      runId === "" ? null : runId,
      realOf(info.intervalSeconds),
      info.cpuCount ?? null,
      realOf(info.cpuPercent),
      realOf(info.cpuUserSeconds),
      realOf(info.cpuSystemSeconds),
      realOf(info.cpuIdleSeconds),
      realOf(info.cpuIowaitSeconds),
      realOf(info.cpuStealSeconds),
      realOf(info.load1),
      realOf(info.load5),
      realOf(info.load15),
      realOf(info.memoryTotalBytes),
      realOf(info.memoryAvailableBytes),
      realOf(info.swapTotalBytes),
      realOf(info.swapFreeBytes),
      realOf(info.diskReadBytes),
      realOf(info.diskWrittenBytes),
      realOf(info.tmpTotalBytes),
      realOf(info.tmpFreeBytes),
      realOf(info.networkReceivedBytes),
      realOf(info.networkSentBytes),
    ],
  };
}

function read({ kind }: MonitoringMessage, context: Context): Facts {
  switch (kind?.$case) {
    case "workflowInfo":
      return workflowFacts(kind.value, context);
    case "taskInfo":
      return taskFacts(kind.value, context);
    case "workerTaskInfo":
      return workerTaskFacts(kind.value, context);
    case "resourceInfo":
      return resourceFacts(kind.value, context);
    case "nodeInfo":
      return nodeFacts(kind.value, context);
    case "blockInfo":
      return blockFacts(kind.value, context);
    case "nodeUsage":
      return nodeUsageFacts(kind.value, context);
    case "unreadableMessage":
      throw new Unstorable(`the sender could not read it: ${kind.value.reason ?? "no reason given"}`);
    case undefined:
      throw new Unstorable("a kind of message that this collector does not know");
  }
}

/** What a message says, or why no table takes it. Pure, and the same for every sink. */
export function factsOf(message: MonitoringMessage, context: Context): Facts | { readonly refused: string } {
  try {
    return read(message, context);
  } catch (cause) {
    if (cause instanceof Unstorable) return { refused: cause.message };
    throw cause;
  }
}
