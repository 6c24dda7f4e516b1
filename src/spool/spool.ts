import { join } from "node:path";

import type { Disk } from "../base/disk.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import { faultPoint } from "../base/fault-points.js";
import { Envelope } from "../model/envelope.js";
import type { OutgoingEnvelope } from "../radios/radio.js";
import { readRecords } from "../base/records.js";
import { countOf, lossesIn, merged, sampleKind, telling, without, type Loss } from "./losses.js";
import { envelopeRecord, leaveHere, openingOf, segmentName, temporaryOf, type Owner } from "./segment.js";

/** Bytes that a spool may take on its disk unless it is told otherwise. */
export const defaultSpoolBytes = 1024 ** 3;

/** A segment is removed as a whole, when all in it is acknowledged, and rewritten as a whole. */
const mostSegmentBytes = 4 * 1024 * 1024;

export interface SpoolOptions {
  readonly disk: Disk;
  /** Made when it is first needed, and removed when nothing is left in it. */
  readonly directory: string;
  readonly owner: Owner;
  readonly mostBytes: number;
  /** Told of envelopes that cannot be read back; their messages are told to the collector as lost. */
  readonly onDamage: (problem: CollectorError) => void;
}

/** An envelope on disk. */
export interface SpoolEntry {
  readonly senderId: string;
  /** Lowest sequence that it sends or tells as lost; infinite for a closing note alone. */
  readonly from: number;
  /** Messages in it; 0 where it only tells losses or is a closing note. */
  readonly count: number;
  readonly tellsLosses: boolean;
  isSent: boolean;
  isAcknowledged: boolean;
  readonly segment: OwnSegment;
  /** Place of its record in the segment, in bytes. */
  offset: number;
  length: number;
  /** What is sent in place of bytes that cannot be read. */
  instead: Uint8Array | undefined;
}

type Place = Pick<SpoolEntry, "from" | "count" | "tellsLosses">;

/** Of an entry that tells losses. */
function placeOf(losses: readonly Loss[]): Place {
  const from = losses.reduce((least, { first }) => Math.min(least, first), Infinity);
  return { from, count: 0, tellsLosses: true };
}

interface OwnSegment {
  readonly path: string;
  bytes: number;
  entries: SpoolEntry[];
  /** Entries that are not acknowledged. */
  open: number;
  mayHaveSamples: boolean;
}

/** A sender's envelopes on disk while nobody takes them: in the order of their sequences, and bounded in bytes.
 *  At the bound samples are given up first, then all else, the oldest first; what was given up is told to the
 *  collector in their place. A process that dies leaves its segments to another one (left.ts). */
export class Spool {
  readonly directory: string;
  readonly #disk: Disk;
  readonly #owner: Owner;
  readonly #mostBytes: number;
  readonly #mostSegmentBytes: number;
  readonly #onDamage: (problem: CollectorError) => void;
  #segments: OwnSegment[] = [];
  /** Everything that is not acknowledged, by sequence. */
  #entries: SpoolEntry[] = [];
  /** Entries before this place are acknowledged, or were rewritten as others. */
  #front = 0;
  /** Entries before this place were given to the caller. */
  #next = 0;
  /** Number of the last segment. */
  #number = 0;
  /** Whether the last segment takes more: not after a write to it failed, which may have torn its end. */
  #isOpen = false;
  #lost = 0;

  constructor({ disk, directory, owner, mostBytes, onDamage }: SpoolOptions) {
    this.#disk = disk;
    this.directory = directory;
    this.#owner = owner;
    this.#mostBytes = mostBytes;
    this.#onDamage = onDamage;
    this.#mostSegmentBytes = Math.min(mostSegmentBytes, Math.floor(mostBytes / 8));
  }

  /** Whether everything is acknowledged. */
  get isEmpty(): boolean {
    return this.#front === this.#entries.length;
  }

  /** Messages that are not acknowledged. */
  get messages(): number {
    let messages = 0;
    for (const { count, isAcknowledged } of this.#entries) if (!isAcknowledged) messages += count;
    return messages;
  }

  /** Messages that were given up for want of room. */
  get lost(): number {
    return this.#lost;
  }

  /** Bytes on the disk. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The lowest sequence that is neither acknowledged nor told as lost; infinite when there is none. */
  get from(): number {
    return this.#entries[this.#front]?.from ?? Infinity;
  }

  /** Writes envelopes and syncs them: when it returns they survive a power cut. Their sequences are above all
   *  that it has, unless they take the place of an entry. The first `sent` of them are on their way already.
   *  Throws the system's error; then none of them is in the spool, though some may be on the disk. */
  append(envelopes: readonly OutgoingEnvelope[], sent = 0): SpoolEntry[] {
    const added: SpoolEntry[] = [];
    const touched = new Set<OwnSegment>();
    try {
      envelopes.forEach((envelope, index) => {
        const entry = this.#write(envelope, index < sent);
        added.push(entry);
        touched.add(entry.segment);
      });
      faultPoint("spool: written", this.directory);
      // A segment may have been rewritten for room meanwhile, and given up: then there is nothing to sync.
      for (const segment of touched) if (this.#segments.includes(segment)) this.#disk.sync(segment.path);
    } catch (cause) {
      this.#isOpen = false;
      for (const entry of added) this.#settle(entry);
      this.#arrange();
      throw cause;
    }
    this.#arrange();
    return added;
  }

  /** The next envelope to send; undefined when all are sent. */
  next(): { readonly entry: SpoolEntry; readonly envelope: OutgoingEnvelope } | undefined {
    for (; this.#next < this.#entries.length; this.#next += 1) {
      const entry = this.#entries[this.#next];
      if (entry === undefined || entry.isSent || entry.isAcknowledged) continue;
      this.#next += 1;
      entry.isSent = true;
      return { entry, envelope: this.read(entry) };
    }
    return undefined;
  }

  /** An envelope as it is to be sent. */
  read(entry: SpoolEntry): OutgoingEnvelope {
    const { senderId, from, count } = entry;
    return { bytes: this.#read(entry), senderId, firstSequence: count === 0 ? 0 : from, count };
  }

  /** Offers again what is not acknowledged. */
  rewind(): void {
    for (const entry of this.#entries) entry.isSent = entry.isAcknowledged;
    this.#next = this.#front;
  }

  /** The envelope is on the collector's disk. The last one of a segment removes it. Throws the system's error
   *  when it cannot: then it is sent again one day, which is harmless. */
  acknowledge(entry: SpoolEntry): void {
    this.#settle(entry);
    while (this.#entries[this.#front]?.isAcknowledged === true) this.#front += 1;
    this.#next = Math.max(this.#next, this.#front);
    const { segment } = entry;
    if (segment.open === 0 && this.#segments.includes(segment)) {
      faultPoint("spool: segment acknowledged", this.directory);
      this.#remove(segment);
    }
    // Half of them are done: forgetting them costs no more than it did to pass them.
    if (this.#front >= 1024 && this.#front * 2 >= this.#entries.length) this.#arrange();
  }

  /** Puts envelopes in the place of one that cannot be sent as it is. */
  replace(entry: SpoolEntry, parts: readonly OutgoingEnvelope[]): void {
    this.append(parts);
    this.acknowledge(entry);
  }

  /** Writes no more. What is left is for another to send. */
  close(): void {
    leaveHere(this.#owner.senderId);
  }

  #settle(entry: SpoolEntry): void {
    if (!entry.isAcknowledged) entry.segment.open -= 1;
    entry.isAcknowledged = entry.isSent = true;
  }

  #write({ bytes, firstSequence, count }: OutgoingEnvelope, isSent: boolean): SpoolEntry {
    const opening = openingOf(this.#owner);
    let record = envelopeRecord(bytes);
    let place: Place = { from: count === 0 ? Infinity : firstSequence, count, tellsLosses: false };
    if (opening.length + record.length > this.#mostBytes) {
      const envelope = Envelope.decode(bytes);
      this.#lost += count;
      const { lost } = without(envelope, () => true);
      record = envelopeRecord(this.#telling(merged(lost).flat()));
      place = placeOf(lost);
    }
    this.#makeRoom(opening.length + record.length);
    let segment = this.#segments.at(-1);
    if (!this.#isOpen || segment === undefined || segment.bytes + record.length > this.#mostSegmentBytes) {
      segment = this.#begin(opening);
    }
    this.#disk.append(segment.path, record);
    const entry: SpoolEntry = {
      senderId: this.#owner.senderId,
      ...place,
      isSent,
      isAcknowledged: false,
      segment,
      offset: segment.bytes,
      length: record.length,
      instead: undefined,
    };
    segment.bytes += record.length;
    segment.entries.push(entry);
    segment.open += 1;
    segment.mayHaveSamples = true;
    this.#entries.push(entry);
    return entry;
  }

  #begin(opening: Uint8Array): OwnSegment {
    this.#number += 1;
    const path = join(this.directory, segmentName(this.#owner.senderId, this.#number));
    const segment: OwnSegment = { path, bytes: opening.length, entries: [], open: 0, mayHaveSamples: false };
    // Nobody shall see it without its owner, and take it for a foreign file.
    this.#disk.remove(temporaryOf(path));
    this.#disk.create(temporaryOf(path), opening);
    this.#disk.rename(temporaryOf(path), path);
    this.#segments.push(segment);
    this.#isOpen = true;
    return segment;
  }

  /** Makes room for so many bytes, as far as there is something to give up. */
  #makeRoom(bytes: number): void {
    if (this.bytes + bytes <= this.#mostBytes) return;
    for (const segment of [...this.#segments]) {
      if (this.bytes + bytes <= this.#mostBytes) return;
      if (segment.mayHaveSamples) this.#rewrite(segment, (kind) => kind === sampleKind, []);
    }
    while (this.bytes + bytes > this.#mostBytes && this.#giveUpOldest()) {
      // one segment after the other
    }
  }

  /** Gives up a segment. What the segments before it tell as lost moves to it, so that they do not add up.
   *  Returns false when no segment has messages that may be given up. */
  #giveUpOldest(): boolean {
    const hollow: OwnSegment[] = [];
    for (const segment of [...this.#segments]) {
      const open = segment.entries.filter(({ isAcknowledged }) => !isAcknowledged);
      if (open.some(({ isSent, count }) => !isSent && count > 0)) {
        const told = hollow.flatMap(({ entries }) => entries.flatMap((entry) => this.#lossesIn(entry)));
        this.#rewrite(segment, () => true, told);
        for (const before of hollow) this.#remove(before);
        return true;
      }
      if (open.every(({ isSent, tellsLosses }) => !isSent && tellsLosses)) hollow.push(segment);
    }
    return false;
  }

  #lossesIn(entry: SpoolEntry): Loss[] {
    return entry.isAcknowledged ? [] : lossesIn(Envelope.decode(this.#read(entry)));
  }

  /** Writes a segment anew, without the messages of kinds that are given up. Those on their way to the
   *  collector stay. */
  #rewrite(segment: OwnSegment, isGivenUp: (kind: string) => boolean, told: readonly Loss[]): void {
    const losses: Loss[] = [...told];
    const kept: { readonly entry: SpoolEntry; readonly bytes: Uint8Array }[] = [];
    const keep = (bytes: Uint8Array, place: Place): void => {
      const state = { isSent: false, isAcknowledged: false, offset: 0, length: 0, instead: undefined };
      const { senderId } = this.#owner;
      kept.push({ entry: { senderId, ...place, ...state, segment }, bytes });
    };
    let lost = 0;
    for (const entry of segment.entries) {
      if (entry.isAcknowledged) continue;
      if (entry.isSent) {
        kept.push({ entry, bytes: this.#read(entry) });
        continue;
      }
      const envelope = Envelope.decode(this.#read(entry));
      const rest = without(envelope, isGivenUp);
      lost += countOf(rest.lost);
      losses.push(...lossesIn(envelope), ...rest.lost);
      for (const part of rest.kept) {
        const count = part.messages.length;
        const from = count === 0 ? Infinity : Number(part.firstSequence);
        keep(Envelope.encode(part).finish(), { from, count, tellsLosses: false });
      }
    }
    for (const some of merged(losses)) keep(this.#telling(some), placeOf(some));
    const before = segment.entries;
    this.#replaceFile(segment, kept);
    // Others are in their place.
    for (const entry of before) if (!entry.isSent) entry.isAcknowledged = true;
    this.#lost += lost;
    this.#arrange();
  }

  #replaceFile(
    segment: OwnSegment,
    kept: readonly { readonly entry: SpoolEntry; readonly bytes: Uint8Array }[],
  ): void {
    const temporary = temporaryOf(segment.path);
    const records = kept.map(({ bytes }) => envelopeRecord(bytes));
    const opening = openingOf(this.#owner);
    this.#disk.remove(temporary);
    this.#disk.create(temporary, Buffer.concat([opening, ...records]));
    this.#disk.sync(temporary);
    faultPoint("spool: segment rewritten", this.directory);
    this.#disk.rename(temporary, segment.path);
    segment.bytes = opening.length;
    kept.forEach(({ entry }, index) => {
      entry.offset = segment.bytes;
      entry.length = records[index]?.length ?? 0;
      segment.bytes += entry.length;
    });
    segment.entries = kept.map(({ entry }) => entry);
    segment.open = kept.length;
    segment.mayHaveSamples = false;
  }

  #telling(losses: readonly Loss[]): Uint8Array {
    return telling(losses, this.#owner.senderId, this.#owner.runId);
  }

  /** The bytes of an envelope. Where the disk does not give back what was written to it, an envelope that tells
   *  its messages as lost. */
  #read(entry: SpoolEntry): Uint8Array {
    if (entry.instead !== undefined) return entry.instead;
    const { segment, offset, length, from, count } = entry;
    let reason = "it is damaged";
    try {
      const [record] = readRecords(this.#disk.read(segment.path, offset, length), "")?.records ?? [];
      if (record !== undefined) return record.payload;
    } catch (cause) {
      reason = reasonOf(cause);
    }
    const lost = count === 0 ? [] : [{ kind: "", first: from, last: from + count - 1 }];
    entry.instead = this.#telling(lost);
    this.#lost += count;
    const what = `${String(count)} messages from sequence ${String(from)} on`;
    this.#onDamage(
      new CollectorError("spool", `read ${segment.path}: ${reason}; ${what} are lost, and are told as lost`),
    );
    return entry.instead;
  }

  /** Lists anew what is not acknowledged. */
  #arrange(): void {
    this.#entries = this.#segments
      .flatMap(({ entries }) => entries)
      .filter(({ isAcknowledged }) => !isAcknowledged)
      .sort((a, b) => (a.from === b.from ? 0 : a.from - b.from)); // a note minus a note is no number
    this.#front = this.#next = 0;
  }

  #remove(segment: OwnSegment): void {
    if (segment === this.#segments.at(-1)) this.#isOpen = false;
    this.#segments = this.#segments.filter((one) => one !== segment);
    this.#disk.remove(segment.path);
    if (this.#segments.length === 0) this.#disk.removeEmpty(this.directory);
  }
}
