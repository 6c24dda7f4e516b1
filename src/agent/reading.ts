import { WireType } from "@bufbuild/protobuf/wire";

import { CollectorError, reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import { messageAt, partsOf } from "../model/envelope-parts.js";
import { MonitoringMessage, type WorkerTaskInfo } from "../model/messages.js";
import type { OutgoingEnvelope } from "../radios/radio.js";

/** Tag of MonitoringMessage.worker_task_info, by its number in messages.proto. */
const workerTaskInfoTag = (6 << 3) | WireType.LengthDelimited;

/** What a worker says of a try, with what its envelope says for it. */
export interface SaidOfTry extends WorkerTaskInfo {
  readonly runId: string;
  readonly hostname: string;
}

/** An envelope as an agent needs it: to send it on as it is, and to know of tries that started or ended. */
export interface PassingEnvelope extends OutgoingEnvelope {
  readonly tries: readonly SaidOfTry[];
}

/** Reads what an agent needs, and passes over all other messages undecoded. A message whose bytes are broken is
 *  one of them: it goes upstream as it is, where it is kept as rejected. Throws a CollectorError for bytes that are
 *  no envelope. */
export function readEnvelope(bytes: Uint8Array): PassingEnvelope {
  try {
    return read(bytes);
  } catch (cause) {
    const reason = `forward an envelope: its bytes are none (${reasonOf(cause)})`;
    throw new CollectorError("invalid-envelope", reason, { cause });
  }
}

function read(bytes: Uint8Array): PassingEnvelope {
  const parts = partsOf(bytes);
  const { senderId, firstSequence, runId, hostname } = Envelope.decode(parts.rest);
  // A message has one field, its kind: the first tag tells.
  const tries = parts.starts.flatMap((start, index) => {
    const info =
      bytes[start] === workerTaskInfoTag ? workerTaskInfoIn(messageAt(bytes, parts, index)) : undefined;
    if (info === undefined) return [];
    return { ...info, runId: info.runId ?? runId, hostname: info.hostname ?? hostname };
  });
  return { bytes, senderId, firstSequence: Number(firstSequence), count: parts.starts.length, tries };
}

function workerTaskInfoIn(message: Uint8Array): WorkerTaskInfo | undefined {
  try {
    const { kind } = MonitoringMessage.decode(message);
    return kind?.$case === "workerTaskInfo" ? kind.value : undefined;
  } catch {
    return undefined;
  }
}
