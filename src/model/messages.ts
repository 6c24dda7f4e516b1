export {
  BlockInfo,
  MonitoringMessage,
  NodeInfo,
  NodeUsage,
  ResourceInfo,
  TaskInfo,
  UnreadableMessage,
  WorkerTaskInfo,
  WorkflowEnd,
  WorkflowInfo,
  WorkflowStart,
} from "../gen/parsl_collector/v1/messages.js";
export type { Timestamp } from "../gen/google/protobuf/timestamp.js";
