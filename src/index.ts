export { connect } from "./client/connect.js";
export type { Abandoned, Client, ClientCounts } from "./client/client.js";
export type { Message } from "./client/message.js";
export {
  defaultBufferBytes,
  type ClientState,
  type ConnectOptions,
  type RejectedMessage,
  type RoadOption,
} from "./client/options.js";
export { subscribe, type SubscribeOptions } from "./radios/grpc/subscriber.js";
export type { CommittedMessage, SubscribeResponse } from "./model/subscription.js";
export { timestampFromDate, timestampFromMicros } from "./client/timestamps.js";
export { CollectorError, type ErrorCode } from "./base/errors.js";
export type { Clock } from "./base/clock.js";
export type { Disk } from "./base/disk.js";
export { defaultSpoolBytes } from "./spool/spool.js";
export type {
  BlockInfo,
  MonitoringMessage,
  NodeInfo,
  NodeUsage,
  ResourceInfo,
  TaskInfo,
  Timestamp,
  UnreadableMessage,
  WorkerTaskInfo,
  WorkflowEnd,
  WorkflowStart,
} from "./model/messages.js";

// For authors of radios.
export { radios } from "./radios/built-in.js";
export { defaultFallbackAfterMs } from "./radios/fallback.js";
export type { RadioRegistry } from "./radios/registry.js";
export type {
  ClientTls,
  Delivery,
  Inbox,
  OutgoingEnvelope,
  Radio,
  RadioOptions,
  RadioReceiver,
  RadioSender,
  Receipt,
  ReceiverOptions,
  SenderOptions,
} from "./radios/radio.js";
export { Acknowledgement, type Rejection } from "./model/envelope.js";
