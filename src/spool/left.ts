import { join } from "node:path";

import type { Disk } from "../base/disk.js";
import { CollectorError, hasCode, isRefusal, reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import type { OutgoingEnvelope } from "../radios/radio.js";
import { aloneOf, refusedOf } from "./refused.js";
import { isAlive, readSegment, segmentSuffix, temporaryOf, type Owner } from "./segment.js";

/** Envelopes on their way at a time. */
const mostOnTheWay = 8;

/** Added to the name of a file that is torn or foreign. It is kept, and never read again. */
const badSuffix = ".bad";

/** A segment in a directory, as a person wants to know of it. */
export interface LeftSegment {
  readonly path: string;
  readonly bytes: number;
  readonly owner: Owner;
  /** Whether its owner runs; undefined when that is another host's. */
  readonly isAlive: boolean | undefined;
  readonly envelopes: readonly OutgoingEnvelope[];
  readonly messages: number;
  /** What of it cannot be sent; undefined when it is whole. */
  readonly damage: string | undefined;
}

/** What is in a spool's directory: segments by name, which is the order of each sender, and why other files
 *  with such a name are none. Throws a CollectorError when the directory cannot be read. */
export function leftIn(disk: Disk, directory: string): (LeftSegment | ForeignFile)[] {
  return leftNames(disk, directory).flatMap((name) => {
    const left = look(disk, join(directory, name));
    return left === undefined ? [] : [left];
  });
}

/** A file that is named like a segment and is none. */
export interface ForeignFile {
  readonly path: string;
  readonly foreign: string;
}

export interface SendOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Resolves when the envelope is on the collector's disk. */
  readonly send: (envelope: OutgoingEnvelope) => Promise<unknown>;
  /** Also segments of other hosts, whose owners nobody here can ask for: only when none of them runs. */
  readonly allHosts?: boolean;
  /** Told of each file that is set aside, once. */
  readonly onProblem: (problem: CollectorError) => void;
}

/** What sending left segments came to. */
export interface SentLeft {
  readonly segments: number;
  readonly messages: number;
  /** Files that were set aside as `.bad`, in part sent or not at all. */
  readonly bad: number;
}

/** Sends the segments that dead owners left, each sender's in order, under their own sender ids, and removes
 *  each when it is acknowledged. What two send at once is stored once. Rejects with the radio's error, or with a
 *  CollectorError where the disk fails: the rest stays where it is. */
export async function sendLeft(options: SendOptions): Promise<SentLeft> {
  const { disk, directory, allHosts = false, onProblem } = options;
  let [segments, messages, bad] = [0, 0, 0];
  // One after the other: a directory may hold more than fits in memory.
  for (const name of leftNames(disk, directory)) {
    const left = look(disk, join(directory, name));
    if (left === undefined) continue;
    if ("foreign" in left) {
      setAside(disk, left.path, `${left.foreign}; nothing of it is sent`, onProblem);
      bad += 1;
      continue;
    }
    if (left.isAlive ?? !allHosts) continue;
    const damage = (await sendAll(left, options.send)) ?? left.damage;
    segments += 1;
    messages += left.messages;
    if (damage !== undefined) {
      setAside(disk, left.path, damage, onProblem);
      bad += 1;
    } else {
      onDisk(`remove ${left.path}`, () => disk.remove(left.path));
    }
    // What its owner was rewriting when it died.
    onDisk(`remove ${temporaryOf(left.path)}`, () => disk.remove(temporaryOf(left.path)));
  }
  if (segments > 0) onDisk(`remove ${directory}`, () => disk.removeEmpty(directory));
  return { segments, messages, bad };
}

/** The names of what is, or is called, a segment. Throws a CollectorError when the directory cannot be read. */
export function leftNames(disk: Disk, directory: string): string[] {
  const names = onDisk(`list ${directory}`, () => disk.list(directory));
  return names.filter((name) => name.endsWith(segmentSuffix));
}

/** Undefined when the file is gone: its owner, or another that sends it, was faster. */
function look(disk: Disk, path: string): LeftSegment | ForeignFile | undefined {
  let segment: ReturnType<typeof readSegment>;
  try {
    segment = readSegment(disk, path);
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return undefined;
    throw new CollectorError("spool", `read ${path}: ${reasonOf(cause)}`, { cause });
  }
  if ("foreign" in segment) return { path, foreign: segment.foreign };
  const { owner, restBytes } = segment;
  const envelopes = segment.envelopes.flatMap((bytes) => outgoing(bytes) ?? []);
  const broken = segment.envelopes.length - envelopes.length;
  const damage =
    restBytes > 0
      ? `its last ${String(restBytes)} bytes are torn off or damaged; all before them is sent`
      : broken > 0
        ? `${String(broken)} of its records are no envelopes; all others are sent`
        : undefined;
  return {
    path,
    bytes: segment.bytes,
    owner,
    isAlive: isAlive(owner),
    envelopes,
    messages: envelopes.reduce((sum, { count }) => sum + count, 0),
    damage,
  };
}

/** Returns why some of it cannot be sent, whatever comes; undefined when all is acknowledged. */
async function sendAll({ envelopes }: LeftSegment, send: SendOptions["send"]): Promise<string | undefined> {
  let refused: CollectorError | undefined;
  for (let from = 0; from < envelopes.length; from += mostOnTheWay) {
    const some = envelopes.slice(from, from + mostOnTheWay);
    const results = await Promise.allSettled(some.map((envelope) => sendOrSetAside(envelope, send)));
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      if (!isRefusal(result.reason)) throw result.reason;
      refused = result.reason;
    }
  }
  return refused === undefined ? undefined : `some of it is refused: ${refused.message}`;
}

/** An envelope that is refused for good would hold up all others for ever: its messages are sent one by one, and
 *  what is to blame is replaced by an UnreadableMessage with the reason. */
async function sendOrSetAside(envelope: OutgoingEnvelope, send: SendOptions["send"]): Promise<void> {
  try {
    await send(envelope);
  } catch (cause) {
    if (!isRefusal(cause) || envelope.count === 0) throw cause;
    for (const alone of aloneOf(envelope)) {
      await send(alone).catch(async (reason: unknown) => {
        if (!isRefusal(reason)) throw reason;
        await send(refusedOf(alone, reason.message));
      });
    }
  }
}

/** Undefined for bytes that are no envelope, and for one with sequences that no sender reaches. */
function outgoing(bytes: Uint8Array): OutgoingEnvelope | undefined {
  try {
    const { senderId, firstSequence, messages } = Envelope.decode(bytes);
    if (!Number.isSafeInteger(Number(firstSequence) + messages.length)) return undefined;
    return { bytes, senderId, firstSequence: Number(firstSequence), count: messages.length };
  } catch {
    return undefined;
  }
}

function setAside(
  disk: Disk,
  path: string,
  reason: string,
  onProblem: (problem: CollectorError) => void,
): void {
  onDisk(`set ${path} aside`, () => disk.rename(path, path + badSuffix));
  onProblem(new CollectorError("spool", `read ${path}: ${reason}; it is kept as ${path}${badSuffix}`));
}

function onDisk<T>(act: string, does: () => T): T {
  try {
    return does();
  } catch (cause) {
    throw new CollectorError("spool", `${act}: ${reasonOf(cause)}`, { cause });
  }
}
