import {
  CollectorError,
  connect,
  timestampFromMicros,
  type Client,
  type Message,
  type RejectedMessage,
  type TaskInfo,
} from "parsl-collector";
import { MonitoringMessage } from "parsl-collector/messages";

/** A program of a user's, as it is compiled and run in a project that has the package alone.
 *
 *  usage: program.js ADDRESS RUN_ID */

const [address, runId] = process.argv.slice(2);

function taskInfo(rest: Partial<TaskInfo>): Message {
  const timestamp = timestampFromMicros(1_767_225_600_123_456n);
  return { taskInfo: { taskId: 7, tryId: 0, timestamp, ...rest } };
}

function tell({ sequence, message }: RejectedMessage): void {
  const copy = MonitoringMessage.decode(MonitoringMessage.encode(message).finish());
  console.log(`rejected: ${copy.kind?.$case ?? ""} ${String(sequence)}`);
}

try {
  connect({ address: "nowhere" });
} catch (error) {
  console.log(error instanceof CollectorError && error.code);
}
await using client: Client = connect({ address, runId, onRejected: tell });
await client.send(
  taskInfo({
    taskFuncName: "simulate",
    taskStatusName: "exec_done",
    taskExecutor: "none",
    taskMemoize: false,
    taskFailCount: 0,
    taskFailCost: 0,
  }),
);
await client.send(taskInfo({}));
