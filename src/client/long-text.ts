import { CollectorError } from "../base/errors.js";
import type { MonitoringMessage } from "../model/messages.js";

/** Room for the mark that tells of the cut, in bytes. */
const markBytes = 100;

/** A copy of a message of `bytes` bytes whose longest text is cut so that it fits into `most`, with a mark
 *  that says how much was kept. */
export function cutLongestText(message: MonitoringMessage, bytes: number, most: number): MonitoringMessage {
  const kind = message.kind?.$case ?? "message";
  const fields = fieldsOf(message);
  let longest: { readonly name: string; readonly utf8: Buffer } | undefined;
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value !== "string" || value.length * 3 < (longest?.utf8.length ?? 0)) continue;
    const utf8 = Buffer.from(value);
    if (utf8.length > (longest?.utf8.length ?? 0)) longest = { name, utf8 };
  }
  const keptBytes = (longest?.utf8.length ?? 0) - (bytes - most) - markBytes;
  if (longest === undefined || keptBytes < 0) {
    throw new CollectorError(
      "invalid-argument",
      `encode ${kind}: ${String(bytes)} bytes, and cutting its longest text does not bring it below ` +
        `${String(most)}; say less in one message`,
    );
  }
  return withFields(message, { ...fields, [longest.name]: cutText(longest.utf8, keptBytes) });
}

function cutText(utf8: Buffer, keptBytes: number): string {
  let end = keptBytes;
  while (isContinuation(utf8[end])) end -= 1; // never through the middle of a character
  const kept = utf8.subarray(0, end);
  const mark = `... [cut by parsl-collector: kept ${String(characters(kept))} of ${String(characters(utf8))} characters]`;
  return kept.toString() + mark;
}

/** Characters as Python counts them: code points. */
function characters(utf8: Buffer): number {
  let count = 0;
  for (let n = 0; n < utf8.length; n += 1) if (!isContinuation(utf8[n])) count += 1;
  return count;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** The object that holds the texts: a WorkflowInfo's are one level down. */
function fieldsOf({ kind }: MonitoringMessage): object {
  if (kind?.$case === "workflowInfo") return kind.value.phase?.value ?? {};
  return kind?.value ?? {};
}

function withFields({ kind }: MonitoringMessage, fields: object): MonitoringMessage {
  if (kind?.$case === "workflowInfo") {
    const phase = { ...kind.value.phase, value: fields } as typeof kind.value.phase;
    return { kind: { ...kind, value: { ...kind.value, phase } } };
  }
  return { kind: { ...kind, value: fields } as MonitoringMessage["kind"] };
}
