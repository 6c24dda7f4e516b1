import type { MonitoringMessage } from "./messages.js";

/** Parsl's names for the kinds of messages, and names like them for those that are not Parsl's, by our own. */
export const kindNames: Readonly<Record<string, string>> = {
  workflowInfo: "WORKFLOW_INFO",
  taskInfo: "TASK_INFO",
  workerTaskInfo: "WORKER_TASK_INFO",
  resourceInfo: "RESOURCE_INFO",
  nodeInfo: "NODE_INFO",
  blockInfo: "BLOCK_INFO",
  nodeUsage: "NODE_USAGE",
  unreadableMessage: "UNREADABLE",
};

/** Parsl's name for the kind of a message; of bytes that are none it is that of an UnreadableMessage. */
export function kindName(message: MonitoringMessage | undefined): string {
  return kindNames[message === undefined ? "unreadableMessage" : (message.kind?.$case ?? "")] ?? "UNKNOWN";
}
