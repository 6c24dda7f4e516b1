import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { Envelope } from "../model/envelope.js";
import { MonitoringMessage, type WorkerTaskInfo } from "../model/messages.js";

/** Field numbers of Envelope.messages and of MonitoringMessage.worker_task_info, as in the protos. */
const messagesField = 6;
const workerTaskInfoField = 6;

/** What a worker says of a try, with what its envelope says for it. */
export interface SaidOfTry extends WorkerTaskInfo {
  readonly runId: string;
  readonly hostname: string;
}

/** What an envelope says of tries that started or ended. All other messages in it are passed over undecoded.
 *  Throws for bytes that are no envelope. */
export function triesIn(envelope: Uint8Array): SaidOfTry[] {
  const reader = new BinaryReader(envelope);
  const found: WorkerTaskInfo[] = [];
  const head: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === messagesField && wireType === WireType.LengthDelimited) {
      const message = reader.bytes();
      if (isWorkerTaskInfo(message)) found.push(...infoIn(message));
    } else {
      reader.skip(wireType, field);
      head.push(envelope.subarray(start, reader.pos));
    }
  }
  if (found.length === 0) return [];
  const { runId, hostname } = Envelope.decode(Buffer.concat(head));
  return found.map((info) => ({
    ...info,
    runId: info.runId ?? runId,
    hostname: info.hostname ?? hostname,
  }));
}

/** A message has one field, its kind: the first tag tells. */
function isWorkerTaskInfo(message: Uint8Array): boolean {
  return message[0] === ((workerTaskInfoField << 3) | WireType.LengthDelimited);
}

function infoIn(message: Uint8Array): WorkerTaskInfo[] {
  const { kind } = MonitoringMessage.decode(message);
  return kind?.$case === "workerTaskInfo" ? [kind.value] : [];
}
