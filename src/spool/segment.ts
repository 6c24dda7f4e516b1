import type { Disk } from "../base/disk.js";
import { isRunning, thisProcess, type ProcessIdentity } from "../base/process-identity.js";
import { encodeRecord, readRecords } from "../base/records.js";

/** A segment is a file of records: first its owner, then envelopes. docs/WIRE.md has it byte by byte; the
 *  Python sender reads and writes the same. */
const magic = "PCSPOOL1";
const ownerKind = 1;
const envelopeKind = 2;

/** How the names of segments end. */
export const segmentSuffix = ".spool";

/** The process that writes a segment. */
export interface Owner extends ProcessIdentity {
  readonly senderId: string;
  /** The run that its envelopes name, for a person. */
  readonly runId: string;
}

/** Senders of this process that may still write. */
const sendersHere = new Set<string>();

/** This process as the owner of a sender's segments, until `leaveHere`. */
export function ownerHere(senderId: string, runId: string): Owner {
  sendersHere.add(senderId);
  return { senderId, runId, ...thisProcess() };
}

/** The sender writes no more: its segments are for others to send, though its process goes on. */
export function leaveHere(senderId: string): void {
  sendersHere.delete(senderId);
}

/** Whether the owner may still write: it runs on this host, and is not another process that got its number.
 *  Undefined for one of another host, of which nobody here can know. */
export function isAlive(owner: Owner): boolean | undefined {
  const running = isRunning(owner);
  if (running !== undefined && owner.pid === process.pid) return sendersHere.has(owner.senderId);
  return running;
}

/** The name of a sender's segment; the first has number 1. */
export function segmentName(senderId: string, number: number): string {
  return `${senderId}-${String(number).padStart(6, "0")}${segmentSuffix}`;
}

/** Where a segment is while it is made. */
export function temporaryOf(path: string): string {
  return `${path}.tmp`;
}

/** The first bytes of a segment. */
export function openingOf({ senderId, runId, hostname: host, pid, processStarted }: Owner): Uint8Array {
  const said = {
    sender_id: senderId,
    run_id: runId,
    hostname: host,
    pid,
    process_started: processStarted ?? null,
  };
  return Buffer.concat([Buffer.from(magic), encodeRecord(ownerKind, Buffer.from(JSON.stringify(said)))]);
}

/** The record of an envelope; its last bytes are the envelope's. */
export function envelopeRecord(envelope: Uint8Array): Uint8Array {
  return encodeRecord(envelopeKind, envelope);
}

/** What is whole in a segment. */
export interface Segment {
  /** Length of the file. */
  readonly bytes: number;
  readonly owner: Owner;
  /** The bytes of its envelopes. */
  readonly envelopes: readonly Uint8Array[];
  /** Bytes at its end that are no whole record: torn off by a crash, or damaged. */
  readonly restBytes: number;
}

/** Reads a segment, or says why a file is none. Throws the system's error when it cannot be read at all. */
export function readSegment(disk: Disk, path: string): Segment | { readonly foreign: string } {
  const file = disk.read(path);
  const read = readRecords(file, magic);
  if (read === undefined) return { foreign: `it does not begin with ${magic}` };
  const [first, ...others] = read.records;
  const owner = first?.kind === ownerKind ? ownerIn(first.payload) : undefined;
  if (owner === undefined) return { foreign: "it does not say whose it is" };
  const envelopes = others.filter(({ kind }) => kind === envelopeKind).map(({ payload }) => payload);
  return { bytes: file.length, owner, envelopes, restBytes: read.restBytes };
}

function ownerIn(payload: Uint8Array): Owner | undefined {
  let said: unknown;
  try {
    said = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return undefined; // no JSON, or no text
  }
  if (typeof said !== "object" || said === null) return undefined;
  const { sender_id, run_id, hostname: host, pid, process_started } = said as Record<string, unknown>;
  if (typeof sender_id !== "string" || typeof run_id !== "string" || typeof host !== "string")
    return undefined;
  // From 1: 0 and below are groups of processes to kill(2).
  if (!Number.isSafeInteger(pid) || Number(pid) < 1) return undefined;
  if (process_started !== null && !Number.isSafeInteger(process_started)) return undefined;
  return {
    senderId: sender_id,
    runId: run_id,
    hostname: host,
    pid: Number(pid),
    processStarted: process_started === null ? undefined : Number(process_started),
  };
}
