import { CollectorError } from "../base/errors.js";
import type { MonitoringMessage } from "../model/messages.js";
import {
  NodeInfo,
  type BlockInfo,
  type NodeUsage,
  type ResourceInfo,
  type TaskInfo,
  type UnreadableMessage,
  type WorkerTaskInfo,
  type WorkflowEnd,
  type WorkflowStart,
} from "../model/messages.js";

/** One thing to say of a run, by the name of its kind: `{ taskInfo: { taskId: 0, tryId: 0, ... } }`. A field
 *  left out is NULL in the database, which is not the same as 0 or "". */
export type Message =
  | { readonly workflowStart: Partial<WorkflowStart> & { readonly runId?: string } }
  | { readonly workflowEnd: Partial<WorkflowEnd> & { readonly runId?: string } }
  | { readonly taskInfo: Partial<TaskInfo> }
  | { readonly nodeInfo: Partial<NodeInfo> }
  | { readonly blockInfo: Partial<BlockInfo> }
  | { readonly resourceInfo: Partial<ResourceInfo> }
  | { readonly workerTaskInfo: Partial<WorkerTaskInfo> }
  | { readonly nodeUsage: Partial<NodeUsage> }
  | { readonly unreadableMessage: Partial<UnreadableMessage> };

/** The same in the form of the generated code. */
export function monitoringMessage(message: Message): MonitoringMessage {
  return { kind: kindOf(message) };
}

// The generated encoders ask only for fields that have presence, and all but NodeInfo's list and map do:
// the parts that a caller left out need no copy with defaults.
function kindOf(message: Message): MonitoringMessage["kind"] {
  if ("resourceInfo" in message)
    return { $case: "resourceInfo", value: message.resourceInfo as ResourceInfo };
  if ("taskInfo" in message) return { $case: "taskInfo", value: message.taskInfo as TaskInfo };
  if ("workerTaskInfo" in message) {
    return { $case: "workerTaskInfo", value: message.workerTaskInfo as WorkerTaskInfo };
  }
  if ("nodeInfo" in message) return { $case: "nodeInfo", value: NodeInfo.fromPartial(message.nodeInfo) };
  if ("blockInfo" in message) return { $case: "blockInfo", value: message.blockInfo as BlockInfo };
  if ("nodeUsage" in message) return { $case: "nodeUsage", value: message.nodeUsage as NodeUsage };
  if ("workflowStart" in message) {
    const { runId, ...start } = message.workflowStart;
    return {
      $case: "workflowInfo",
      value: { runId, phase: { $case: "start", value: start as WorkflowStart } },
    };
  }
  if ("workflowEnd" in message) {
    const { runId, ...end } = message.workflowEnd;
    return { $case: "workflowInfo", value: { runId, phase: { $case: "end", value: end as WorkflowEnd } } };
  }
  if ("unreadableMessage" in message) return { $case: "unreadableMessage", value: message.unreadableMessage };
  throw new CollectorError(
    "invalid-argument",
    `send: expected an object with the name of a kind, as { taskInfo: { ... } }, got ${describe(message)}`,
  );
}

function describe(value: unknown): string {
  return typeof value === "object" && value !== null
    ? `keys ${Object.keys(value).join(", ")}`
    : String(value);
}
