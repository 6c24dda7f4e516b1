import type { MonitoringMessage } from "./messages.js";

/** Parsl's names for the kinds of messages, by our own. */
export const kindNames: Readonly<Record<string, string>> = {
  workflowInfo: "WORKFLOW_INFO",
  taskInfo: "TASK_INFO",
  workerTaskInfo: "WORKER_TASK_INFO",
  resourceInfo: "RESOURCE_INFO",
  nodeInfo: "NODE_INFO",
  blockInfo: "BLOCK_INFO",
  unreadableMessage: "UNREADABLE",
};

/** Parsl's name for the kind of a message. */
export function kindName({ kind }: MonitoringMessage): string {
  return kindNames[kind?.$case ?? ""] ?? "UNKNOWN";
}
