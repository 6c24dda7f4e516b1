import type { Message } from "../../src/client/message.js";
import { timestampFromMicros } from "../../src/client/timestamps.js";
import type {
  BlockInfo,
  NodeInfo,
  NodeUsage,
  ResourceInfo,
  TaskInfo,
  Timestamp,
  WorkerTaskInfo,
  WorkflowEnd,
  WorkflowStart,
} from "../../src/model/messages.js";

/** The run of every test that needs only one. */
export const runId = "6f1c9b1e-6a52-4f0e-9a53-0d3c5a8f2b11";

/** 2026-03-01 12:00:00 UTC, in microseconds. */
const startMicros = 1_772_366_400_000_000n;

/** A time `seconds` after the start of the tests' day, exact to the microsecond. */
export function at(seconds: number): Timestamp {
  return timestampFromMicros(startMicros + BigInt(Math.round(seconds * 1e6)));
}

/** `at` as Parsl's tables show it to a collector with `--timezone UTC`. */
export function textAt(seconds: number): string {
  const micros = startMicros + BigInt(Math.round(seconds * 1e6));
  const text = new Date(Number(micros / 1000n)).toISOString(); // 2026-03-01T12:00:00.000Z
  return `${text.slice(0, 10)} ${text.slice(11, 23)}${String(micros % 1000n).padStart(3, "0")}`;
}

type Run = { readonly runId?: string };

export function workflowStart(fields: Partial<WorkflowStart> & Run = {}): Message {
  return {
    workflowStart: {
      timeBegan: at(0),
      workflowName: "demo",
      workflowVersion: "1.0",
      rundir: "/runs/runinfo/000",
      tasksCompletedCount: 0,
      tasksFailedCount: 0,
      user: "ada",
      host: "submit",
      ...fields,
    },
  };
}

export function workflowEnd(fields: Partial<WorkflowEnd> & Run = {}): Message {
  return {
    workflowEnd: { timeCompleted: at(3600), tasksCompletedCount: 0, tasksFailedCount: 0, ...fields },
  };
}

export function taskInfo(fields: Partial<TaskInfo> = {}): Message {
  return {
    taskInfo: {
      taskId: 0,
      tryId: 0,
      timestamp: at(1),
      taskStatusName: "pending",
      taskFuncName: "add",
      taskMemoize: false,
      taskFailCount: 0,
      taskFailCost: 0,
      taskTimeInvoked: at(1),
      taskExecutor: "htex",
      tasksFailedCount: 0,
      tasksCompletedCount: 0,
      taskInputs: "None",
      taskOutputs: "None",
      taskStdout: "",
      taskStderr: "",
      taskFailHistory: "",
      taskDepends: "",
      ...fields,
    },
  };
}

/** A try that started; `{ firstMsg: false, lastMsg: true }` for one that ended. */
export function workerTaskInfo(fields: Partial<WorkerTaskInfo> = {}): Message {
  return {
    workerTaskInfo: {
      taskId: 0,
      tryId: 0,
      hostname: "n1",
      blockId: "0",
      firstMsg: true,
      lastMsg: false,
      timestamp: at(2),
      ...fields,
    },
  };
}

export function resourceInfo(fields: Partial<ResourceInfo> = {}): Message {
  return {
    resourceInfo: {
      taskId: 0,
      tryId: 0,
      timestamp: at(3),
      resourceMonitoringInterval: 30,
      psutilProcessPid: 4711,
      psutilProcessMemoryPercent: 0.25,
      psutilProcessChildrenCount: 1,
      psutilProcessTimeUser: 1.5,
      psutilProcessTimeSystem: 0.125,
      psutilProcessMemoryVirtual: 512e6,
      psutilProcessMemoryResident: 64e6,
      psutilProcessDiskRead: 4096,
      psutilProcessDiskWrite: 0,
      psutilProcessStatus: "sleeping",
      psutilCpuNum: 1,
      psutilProcessNumCtxSwitchesVoluntary: 12,
      psutilProcessNumCtxSwitchesInvoluntary: 3,
      ...fields,
    },
  };
}

/** Sample number `n` of one try: all are different, 300 microseconds apart. */
export function sample(n: number): Message {
  return resourceInfo({ timestamp: at(3 + n * 0.0003) });
}

export function nodeInfo(fields: Partial<NodeInfo> = {}): Message {
  return {
    nodeInfo: {
      timestamp: at(0.5),
      hostname: "n1",
      uid: "manager-0",
      blockId: "0",
      cpuCount: 8,
      totalMemory: 64n * 1024n ** 3n,
      active: true,
      workerCount: 8,
      pythonV: "3.11.7",
      lastHeartbeat: at(0.5),
      ...fields,
    },
  };
}

export function nodeUsage(fields: Partial<NodeUsage> = {}): Message {
  return {
    nodeUsage: {
      hostname: "n1",
      timestamp: at(4),
      intervalSeconds: 30,
      cpuCount: 8,
      cpuPercent: 12.5,
      cpuUserSeconds: 1000.5,
      cpuSystemSeconds: 200.25,
      cpuIdleSeconds: 9000,
      cpuIowaitSeconds: 3,
      cpuStealSeconds: 0,
      load1: 0.5,
      load5: 0.25,
      load15: 0.125,
      memoryTotalBytes: 64e9,
      memoryAvailableBytes: 48e9,
      swapTotalBytes: 0,
      swapFreeBytes: 0,
      diskReadBytes: 4096,
      diskWrittenBytes: 8192,
      tmpTotalBytes: 1e12,
      tmpFreeBytes: 5e11,
      networkReceivedBytes: 1500,
      networkSentBytes: 64,
      ...fields,
    },
  };
}

export function blockInfo(fields: Partial<BlockInfo> = {}): Message {
  return {
    blockInfo: {
      executorLabel: "htex",
      blockId: "0",
      jobId: "1234",
      timestamp: at(0.25),
      status: "RUNNING",
      ...fields,
    },
  };
}
