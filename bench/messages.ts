import { MonitoringMessage, NodeInfo, type TaskInfo } from "../src/model/messages.js";
import { timestampOf } from "../src/model/time.js";

/** What is sent: samples alone; the nine messages of each task's whole life (5 TASK_INFO, 2 WORKER_TASK_INFO,
 *  2 RESOURCE_INFO); or what a workflow of short tasks says, its tasks side by side (3 TASK_INFO, 2 WORKER_TASK_INFO,
 *  1 RESOURCE_INFO and 2 NODE_INFO each, which hold the list of installed packages). The fields are those that Parsl sends; bench/parsl/dbmanager.py has the same. */
export const mixes = ["resource", "tasks", "workflow"] as const;
export type Mix = (typeof mixes)[number];

/** Messages of one task, or of the tasks that stand side by side: counts are multiples of it. */
export const messagesOfUnit: Readonly<Record<Mix, number>> = { resource: 1, tasks: 9, workflow: 128 };

/** Tasks of a workflow that run at one time. */
const sideBySide = 16;

const began = Date.UTC(2026, 0, 1) * 1000;
const at = (micros: number) => timestampOf(began + micros);

/** `count` messages of a mix, encoded, from a unit on. Times are distinct and ordered: keys hold them. */
export function* encodedMessages(mix: Mix, count: number, first = 0): Generator<Uint8Array> {
  for (let sent = 0, index = first; sent < count; index += 1) {
    const messages = unitOf[mix](index);
    for (const kind of messages.slice(0, count - sent)) {
      yield MonitoringMessage.encode({ kind }).finish();
      sent += 1;
    }
  }
}

const unitOf: Readonly<Record<Mix, (index: number) => Kind[]>> = {
  resource: (index) => [sample(index % 100, index)],
  tasks: life,
  workflow: (index) => {
    const tasks = Array.from({ length: sideBySide }, (_, task) => shortLife(index * sideBySide + task));
    return (tasks[0] ?? []).flatMap((_, step) => tasks.flatMap((messages) => messages.slice(step, step + 1)));
  },
};

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

function shortLife(taskId: number): Kind[] {
  const micros = taskId * 10;
  return [
    state(taskId, "pending", micros),
    state(taskId, "launched", micros + 1),
    node(micros + 2),
    worker(taskId, "firstMsg", micros + 3),
    sample(taskId, micros + 4),
    worker(taskId, "lastMsg", micros + 5),
    node(micros + 6),
    state(taskId, "exec_done", micros + 7),
  ];
}

const packages = Object.fromEntries(
  Array.from({ length: 60 }, (_, index) => [`python-package-${String(index)}`, "2026.10.26"]),
);

function node(micros: number): Kind {
  return {
    $case: "nodeInfo",
    value: NodeInfo.fromPartial({
      timestamp: at(micros),
      hostname: "node1",
      uid: "0f1e2d3c4b5a",
      blockId: "0",
      cpuCount: 2,
      totalMemory: 25_000_000_000n,
      active: true,
      workerCount: 2,
      pythonV: "3.11.7",
      lastHeartbeat: at(micros),
      packages,
    }),
  };
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
