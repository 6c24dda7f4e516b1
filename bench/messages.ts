import type { MonitoringMessage, TaskInfo } from "../src/model/messages.js";
import { MonitoringMessage as MonitoringMessageCodec } from "../src/model/messages.js";
import { timestampOf } from "../src/model/time.js";

/** What is sent: samples alone, or the nine messages of each task's whole life (5 TASK_INFO, 2 WORKER_TASK_INFO,
 *  2 RESOURCE_INFO). The fields are those that Parsl sends; bench/parsl/dbmanager.py has the same. */
export const mixes = ["resource", "tasks"] as const;
export type Mix = (typeof mixes)[number];

/** Messages of one task's life. */
export const messagesOfTask = 9;

const began = Date.UTC(2026, 0, 1) * 1000;
const at = (micros: number) => timestampOf(began + micros);

/** The first `count` messages of a mix, encoded. Times are distinct and ordered: keys hold them. */
export function* encodedMessages(mix: Mix, count: number): Generator<Uint8Array> {
  for (let sent = 0, index = 0; sent < count; index += 1) {
    const messages = mix === "resource" ? [sample(index % 100, index)] : life(index);
    for (const kind of messages.slice(0, count - sent)) {
      yield MonitoringMessageCodec.encode({ kind }).finish();
      sent += 1;
    }
  }
}

type Kind = NonNullable<MonitoringMessage["kind"]>;

export function sample(taskId: number, micros: number): Kind {
  return {
    $case: "resourceInfo",
    value: {
      runId: undefined,
      taskId,
      tryId: 0,
      timestamp: at(micros),
      hostname: undefined,
      resourceMonitoringInterval: 30,
      psutilProcessPid: 4000,
      psutilProcessMemoryPercent: 0.31,
      psutilProcessChildrenCount: 0,
      psutilProcessTimeUser: 1.25,
      psutilProcessTimeSystem: 0.5,
      psutilProcessMemoryVirtual: 500_000_000 + micros,
      psutilProcessMemoryResident: 70_000_000,
      psutilProcessDiskRead: 90_000,
      psutilProcessDiskWrite: 1_000,
      psutilProcessStatus: "sleeping",
      psutilCpuNum: 1,
      psutilProcessNumCtxSwitchesVoluntary: 100 + micros,
      psutilProcessNumCtxSwitchesInvoluntary: 7,
      psutilCpuCount: 2,
      psutilProcessCpuNum: 1,
      psutilProcessCreateTime: 1_767_225_600.12,
      psutilProcessCwd: "/home/user/project/run",
      psutilProcessExe: "/usr/bin/python3.11",
      psutilProcessName: "python3",
      psutilProcessNice: 0,
      psutilProcessNumThreads: 3,
      psutilProcessPpid: 3999,
      psutilProcessUsername: "user",
    },
  };
}

function life(taskId: number): Kind[] {
  const micros = taskId * 10;
  return [
    state(taskId, "unsched", micros),
    state(taskId, "pending", micros + 1),
    state(taskId, "launched", micros + 2),
    worker(taskId, "firstMsg", micros + 3),
    sample(taskId, micros + 4),
    sample(taskId, micros + 5),
    worker(taskId, "lastMsg", micros + 6),
    state(taskId, "joining", micros + 7),
    state(taskId, "exec_done", micros + 8),
  ];
}

function worker(taskId: number, which: "firstMsg" | "lastMsg", micros: number): Kind {
  return {
    $case: "workerTaskInfo",
    value: {
      runId: undefined,
      taskId,
      tryId: 0,
      hostname: undefined,
      blockId: "0",
      firstMsg: which === "firstMsg",
      lastMsg: which === "lastMsg",
      timestamp: at(micros),
    },
  };
}

function state(taskId: number, name: string, micros: number): Kind {
  const launched = ["launched", "joining", "exec_done"].includes(name);
  const done = name === "exec_done";
  const value: TaskInfo = {
    runId: undefined,
    taskId,
    tryId: 0,
    timestamp: at(micros),
    taskStatusName: name,
    taskStatus: undefined,
    taskFuncName: "noop",
    taskMemoize: false,
    taskHashsum: undefined,
    taskFailCount: 0,
    taskFailCost: 0,
    taskTimeInvoked: at(micros),
    taskTryTimeLaunched: launched ? at(micros) : undefined,
    taskTimeReturned: done ? at(micros) : undefined,
    taskTryTimeReturned: done ? at(micros) : undefined,
    taskExecutor: "htex",
    tasksFailedCount: 0,
    tasksCompletedCount: done ? taskId + 1 : taskId,
    tasksMemoCompletedCount: 0,
    fromMemo: false,
    taskInputs: "None",
    taskOutputs: "None",
    taskStdin: undefined,
    taskStdout: "",
    taskStderr: "",
    taskFailHistory: "",
    taskDepends: "",
    taskJoins: undefined,
  };
  return { $case: "taskInfo", value };
}
