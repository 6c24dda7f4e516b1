import type { JsonObject } from "@bufbuild/protobuf";

import { CollectorError } from "../base/errors.js";
import type { Envelope } from "../model/envelope.js";
import { encodeEnvelope } from "../model/envelope-parts.js";
import { kindName } from "../model/kinds.js";
import { microsOf, utcText, type Micros } from "../model/time.js";
import { readEnvelope } from "./envelope-reader.js";
import { jsonOfMessage, messageOfJson } from "../model/message-json.js";
import type { LogEntry } from "./message-log.js";

/** One thing that was committed, as a line of JSON tells it: a message, or else what its sender says of itself. */
interface Line {
  readonly sender_id: string;
  /** The message's, which with the sender's name is its own for ever. */
  readonly sequence?: number;
  /** The run that the message is of; empty for none. */
  readonly run_id: string;
  /** The run that its envelope named, where that is another. */
  readonly envelope_run_id?: string;
  readonly hostname: string;
  readonly utc_offset_seconds?: number;
  readonly radio: string;
  /** RFC 3339, in UTC. */
  readonly committed_at: string;
  readonly kind?: string;
  /** In protobuf's JSON, with the names of the proto. */
  readonly message?: JsonObject;
  /** In base64, where JSON does not tell it whole. */
  readonly bytes?: string;
  /** Why no table took it. */
  readonly rejected?: string;
  readonly last_sequence?: number;
  readonly losses?: readonly { readonly first: number; readonly last: number; readonly kind: string }[];
}

/** The lines of an entry of the log, each with its end. */
export function linesOf({ envelope: bytes, rejections, radio, committedAt }: LogEntry): string {
  const envelope = readEnvelope(bytes);
  if ("invalid" in envelope)
    throw new CollectorError("internal", `read an envelope of the log: ${envelope.invalid}`);
  const { senderId, context, utcOffsetSeconds, sequences, lastSequence, losses } = envelope;
  const common = {
    hostname: context.hostname,
    ...(utcOffsetSeconds !== undefined && { utc_offset_seconds: utcOffsetSeconds }),
    radio,
    committed_at: `${utcText(committedAt).replace(" ", "T")}Z`,
  };
  const lines = envelope.messages.map((read, index): Line => {
    const sequence = (sequences?.first ?? 0) + index;
    const known = "unreadable" in read ? undefined : read;
    const runId = known?.kind?.value.runId ?? context.runId;
    const part = envelope.bytesOf(index);
    const message = known === undefined ? undefined : jsonOfMessage(part);
    const rejected = rejections.get(sequence);
    return {
      sender_id: senderId,
      sequence,
      run_id: runId,
      ...(runId !== context.runId && { envelope_run_id: context.runId }),
      ...common,
      kind: kindName(known),
      ...(message === undefined ? { bytes: Buffer.from(part).toString("base64") } : { message }),
      ...(rejected !== undefined && { rejected }),
    };
  });
  if (lastSequence !== undefined || losses.length > 0) {
    lines.push({
      ...{ sender_id: senderId, run_id: context.runId, ...common },
      ...(lastSequence !== undefined && { last_sequence: lastSequence }),
      ...(losses.length > 0 && { losses }),
    });
  }
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** A line as the envelope that brings it again, and how it came. */
export interface ReadLine {
  readonly envelope: Uint8Array;
  readonly radio: string;
  readonly committedAt: Micros;
}

/** Reads a line that `linesOf` wrote. Throws for one that it did not. */
export function readLine(text: string): ReadLine {
  const line = JSON.parse(text) as Line;
  const committedAt = microsOfText(line.committed_at);
  const { sequence = 0, last_sequence: lastSequence, losses = [], message, bytes } = line;
  const head: Envelope = {
    senderId: line.sender_id,
    firstSequence: BigInt(sequence),
    runId: line.envelope_run_id ?? line.run_id,
    hostname: line.hostname,
    utcOffsetSeconds: line.utc_offset_seconds,
    messages: [],
    closingNote: lastSequence === undefined ? undefined : { lastSequence: BigInt(lastSequence) },
    losses: losses.map(({ first, last, kind }) => ({
      sequences: { first: BigInt(first), last: BigInt(last) },
      kind,
    })),
  };
  const part =
    message === undefined
      ? bytes === undefined
        ? undefined
        : Buffer.from(bytes, "base64")
      : messageOfJson(message);
  if (sequence > 0 && part === undefined) throw new Error("it has a sequence and no message");
  const envelope = encodeEnvelope(head, part === undefined ? [] : [part]);
  const read = readEnvelope(envelope);
  if ("invalid" in read) throw new Error(read.invalid);
  return { envelope, radio: line.radio, committedAt };
}

function microsOfText(text: string): Micros {
  const [, seconds, digits] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})Z$/.exec(text) ?? [];
  const micros = microsOf({
    seconds: BigInt(Date.parse(`${seconds ?? ""}Z`) / 1_000 || 0),
    nanos: Number(digits) * 1_000,
  });
  if (seconds === undefined || micros === undefined) throw new Error(`committed_at is no time: ${text}`);
  return micros;
}
