import test from "ava";

import { monitoringMessage, type Message } from "../../../src/client/message.js";
import { localText, microsOf } from "../../../src/model/time.js";
import { factsOf, type Facts } from "../../../src/server/rows/facts.js";
import {
  at,
  blockInfo,
  nodeInfo,
  nodeUsage,
  resourceInfo,
  runId,
  taskInfo,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../../support/builders.js";

const context = { runId, hostname: "" };

function facts(message: Message): Facts {
  const read = factsOf(monitoringMessage(message), context);
  if ("refused" in read) throw new Error(`it is refused: ${read.refused}`);
  return read;
}

function refusal(message: Message, inContext = context): string | undefined {
  const read = factsOf(monitoringMessage(message), inContext);
  return "refused" in read ? read.refused : undefined;
}

/** The time at which a builder puts its messages, as it is stored here. */
function text(seconds: number): string {
  return localText(microsOf(at(seconds)) ?? NaN);
}

test("a workflow's start says its row and its totals", (t) => {
  const { workflow, counts, at: time } = facts(workflowStart());

  t.is(time, microsOf(at(0)) ?? NaN);
  t.deepEqual(workflow, ["demo", "1.0", text(0), "submit", "ada", "/runs/runinfo/000", null]);
  t.deepEqual(counts, [0, 0]);
});

test("a workflow's end says when, and both totals", (t) => {
  const { workflow, counts } = facts(workflowEnd({ tasksFailedCount: 2, tasksCompletedCount: 5 }));

  t.deepEqual(workflow, [null, null, null, null, null, null, text(3600)]);
  t.deepEqual(counts, [2, 5]);
});

test("a task's state says a task, a try, a status and the totals", (t) => {
  const said = facts(
    taskInfo({
      taskId: 3,
      tryId: 1,
      taskStatusName: "launched",
      taskMemoize: true,
      taskTryTimeLaunched: at(2),
    }),
  );

  t.is(said.task?.taskId, 3);
  t.deepEqual(said.task?.values, [
    "", "add", "1", "None", null, "", "", null, "None", text(1), null, 0, 0,
  ]); // prettier-ignore
  t.deepEqual(said.try, { taskId: 3, tryId: 1, from: 0, values: ["htex", text(2), null, "", null] });
  t.deepEqual(said.status, [3, "launched", text(1), runId, 1]);
  t.deepEqual(said.counts, [0, 0]);
});

test("a worker's first message says its part of the try and the state running", (t) => {
  const said = facts(workerTaskInfo({ blockId: "3" }));

  t.deepEqual(said.try, { taskId: 0, tryId: 0, from: 5, values: [text(2), "3", "n1"] });
  t.deepEqual(said.status, [0, "running", text(2), runId, 0]);
});

test("a worker's last message says the state running_ended and nothing of the try", (t) => {
  const said = facts(workerTaskInfo({ firstMsg: false, lastMsg: true }));

  t.is(said.try, undefined);
  t.deepEqual(said.status, [0, "running_ended", text(2), runId, 0]);
});

test("a block's name that is unset or empty is NULL", (t) => {
  t.deepEqual(facts(workerTaskInfo({ blockId: undefined })).try?.values, [text(2), null, "n1"]);
  t.deepEqual(facts(workerTaskInfo({ blockId: "" })).try?.values, [text(2), null, "n1"]);
});

test("a sample says its row, unset as NULL and zero as zero", (t) => {
  const { resource } = facts(
    resourceInfo({ psutilProcessDiskRead: undefined, psutilProcessDiskWrite: 0, psutilCpuNum: 3 }),
  );

  t.deepEqual(resource, [
    0, 0, runId, text(3), 30, 4711, 0.25, 1, 1.5, 0.125, 512e6, 64e6, null, 0, "sleeping", "3", 12, 3,
  ]); // prettier-ignore
});

test("a figure that is no number is NULL, as SQLite stores it, and may not stand where one must be", (t) => {
  t.is(facts(resourceInfo({ psutilProcessTimeUser: NaN })).resource?.[8], null);
  t.is(facts(resourceInfo({ psutilProcessTimeUser: Infinity })).resource?.[8], Infinity);
  t.regex(refusal(taskInfo({ taskFailCost: NaN })) ?? "", /task_fail_cost/);
});

test("a manager's message says its row, booleans as 1 and 0, 64 bits exact", (t) => {
  const memory = 2n ** 63n - 1n;

  const { node } = facts(nodeInfo({ totalMemory: memory }));

  t.deepEqual(node, [runId, "n1", "manager-0", "0", 8, memory, 1, 8, "3.11.7", text(0.5), text(0.5)]);
  t.is(facts(nodeInfo({ active: false })).node?.[6], 0);
});

test("a block's state says its row, a job that was never submitted as NULL", (t) => {
  t.deepEqual(facts(blockInfo()).block, [runId, "htex", "0", "1234", text(0.25), "RUNNING"]);
  t.is(facts(blockInfo({ jobId: undefined, status: "FAILED" })).block?.[3], null);
});

test("a node's sample says its row, of a run only where one is named, and only zero as zero", (t) => {
  const rest = [
    30, 8, 12.5, 1000.5, 200.25, 9000, 3, 0, 0.5, 0.25, 0.125, 64e9, 48e9, null, 0, 4096, 8192, 1e12, 5e11, 1500, 64,
  ]; // prettier-ignore
  const message = monitoringMessage(nodeUsage({ swapTotalBytes: undefined }));

  t.deepEqual(factsOf(message, context), {
    runId,
    at: microsOf(at(4)) ?? NaN,
    nodeUsage: ["n1", text(4), runId, ...rest],
  });
  t.deepEqual(factsOf(message, { runId: "", hostname: "n2" }), {
    runId: "",
    at: microsOf(at(4)) ?? NaN,
    nodeUsage: ["n1", text(4), null, ...rest],
  });
});

test("the host of a node's sample is the envelope's where it names none", (t) => {
  const inContext = { runId: "", hostname: "n2" };
  const said = factsOf(monitoringMessage(nodeUsage({ hostname: undefined })), inContext) as Facts;

  t.is(said.nodeUsage?.[0], "n2");
});

test("the envelope's run and host stand where a message names none, its own where it does", (t) => {
  const inContext = { runId: "of-the-envelope", hostname: "host-of-the-envelope" };
  const said = factsOf(monitoringMessage(workerTaskInfo({ hostname: undefined })), inContext) as Facts;
  const own = factsOf(monitoringMessage(workerTaskInfo({ runId: "own" })), inContext) as Facts;

  t.is(said.runId, "of-the-envelope");
  t.is(said.try?.values[2], "host-of-the-envelope");
  t.is(own.runId, "own");
  t.is(own.try?.values[2], "n1");
});

/** What each kind must have: the field, its name in Parsl, and the table that wants it. */
const required: readonly (readonly [string, Message, readonly (readonly [string, string, string])[]])[] = [
  [
    "WORKFLOW_INFO",
    workflowStart(),
    [
      ["timeBegan", "time_began", "workflow"],
      ["host", "host", "workflow"],
      ["user", "user", "workflow"],
      ["rundir", "rundir", "workflow"],
    ],
  ],
  ["WORKFLOW_INFO", workflowEnd(), [["timeCompleted", "time_completed", "workflow"]]],
  [
    "TASK_INFO",
    taskInfo(),
    [
      ["taskId", "task_id", "task"],
      ["tryId", "try_id", "try"],
      ["timestamp", "timestamp", "status"],
      ["taskStatusName", "task_status_name", "status"],
      ["taskFuncName", "task_func_name", "task"],
      ["taskMemoize", "task_memoize", "task"],
      ["taskFailCount", "task_fail_count", "task"],
      ["taskFailCost", "task_fail_cost", "task"],
      ["taskExecutor", "task_executor", "try"],
    ],
  ],
  [
    "WORKER_TASK_INFO",
    workerTaskInfo(),
    [
      ["taskId", "task_id", "status"],
      ["tryId", "try_id", "status"],
      ["timestamp", "timestamp", "status"],
    ],
  ],
  [
    "RESOURCE_INFO",
    resourceInfo(),
    [
      ["taskId", "task_id", "resource"],
      ["tryId", "try_id", "resource"],
      ["timestamp", "timestamp", "resource"],
    ],
  ],
  [
    "NODE_INFO",
    nodeInfo(),
    [
      ["timestamp", "timestamp", "node"],
      ["hostname", "hostname", "node"],
      ["uid", "uid", "node"],
      ["blockId", "block_id", "node"],
      ["cpuCount", "cpu_count", "node"],
      ["totalMemory", "total_memory", "node"],
      ["active", "active", "node"],
      ["workerCount", "worker_count", "node"],
      ["pythonV", "python_v", "node"],
      ["lastHeartbeat", "last_heartbeat", "node"],
    ],
  ],
  [
    "BLOCK_INFO",
    blockInfo(),
    [
      ["timestamp", "timestamp", "block"],
      ["executorLabel", "executor_label", "block"],
      ["blockId", "block_id", "block"],
      ["status", "status", "block"],
    ],
  ],
  [
    "NODE_USAGE",
    nodeUsage(),
    [
      ["hostname", "hostname", "collector_node_usage"],
      ["timestamp", "timestamp", "collector_node_usage"],
    ],
  ],
];

function without(message: Message, field: string): Message {
  return Object.fromEntries(
    Object.entries(message).map(([kind, fields]) => [kind, { ...fields, [field]: undefined }]),
  ) as Message;
}

for (const [kind, message, fields] of required) {
  const of = Object.keys(message)[0] ?? "";
  test(`a ${of} without a field that its table must have is refused, with kind, field and table`, (t) => {
    for (const [field, name, table] of fields) {
      t.is(refusal(without(message, field)), `${kind} lacks ${name}, which table ${table} must have`);
    }
  });

  if (kind !== "NODE_USAGE") {
    test(`a ${of} that names no run, in an envelope that names none, is refused`, (t) => {
      t.is(
        refusal(message, { runId: "", hostname: "" }),
        `${kind} lacks run_id, and its envelope names none`,
      );
    });
  }

  test(`a ${of} with any other field left out is taken`, (t) => {
    t.is(refusal(message), undefined);
    const needed = new Set(fields.map(([field]) => field));
    const fieldsOf = Object.keys(Object.values(message)[0] as object);
    for (const field of fieldsOf.filter((each) => !needed.has(each) && !/^(first|last)Msg$/.test(each))) {
      t.is(refusal(without(message, field)), undefined, field);
    }
  });
}

test("a worker's message that is neither first nor last is refused", (t) => {
  t.regex(
    refusal(workerTaskInfo({ firstMsg: false, lastMsg: undefined })) ?? "",
    /neither the first nor the last/,
  );
});

test("a workflow message that is neither start nor end is refused", (t) => {
  const empty = { kind: { $case: "workflowInfo", value: { runId, phase: undefined } } } as const;

  t.deepEqual(factsOf(empty, context), { refused: "WORKFLOW_INFO is neither a start nor an end" });
});

test("a time that Python could not hold is refused with its kind, field and value", (t) => {
  const never = { seconds: 2n ** 62n, nanos: 0 };

  t.regex(
    refusal(taskInfo({ timestamp: never })) ?? "",
    /^TASK_INFO\.timestamp is no time .* 4611686018427387904 s/,
  );
  t.regex(refusal(taskInfo({ taskTimeInvoked: never })) ?? "", /^TASK_INFO\.task_time_invoked is no time/);
  t.regex(refusal(nodeInfo({ lastHeartbeat: never })) ?? "", /^NODE_INFO\.last_heartbeat is no time/);
});

test("what the sender could not read is refused with the sender's reason", (t) => {
  t.is(
    refusal({ unreadableMessage: { reason: "expected a tuple of two, got NoneType", text: "None" } }),
    "the sender could not read it: expected a tuple of two, got NoneType",
  );
});

test("a kind that is not known yet is refused", (t) => {
  t.deepEqual(factsOf({ kind: undefined }, context), {
    refused: "a kind of message that this collector does not know",
  });
});
