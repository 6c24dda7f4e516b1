import { kindName } from "../model/kinds.js";
import { Envelope } from "../model/envelope.js";

/** Consecutive sequences of one kind that were given up, both ends included. */
export interface Loss {
  /** As Parsl names it; empty when they are of several. */
  readonly kind: string;
  readonly first: number;
  readonly last: number;
}

/** The kind that is given up first: one sample less costs a point of a curve, not the state of a task. */
export const sampleKind = "RESOURCE_INFO";

/** Ranges in one envelope, about a megabyte of them; the collector takes 100,000. When there are more, neighbours
 *  of different kinds are told together. */
const mostRanges = 65_536;

/** What an envelope tells as lost. */
export function lossesIn(envelope: Envelope): Loss[] {
  return envelope.losses.map(({ kind, sequences }) => ({
    kind,
    first: Number(sequences?.first ?? 0n),
    last: Number(sequences?.last ?? 0n),
  }));
}

/** What an envelope can tell of these losses, in the order of the sequences; several where one does not do. */
export function merged(losses: readonly Loss[]): Loss[][] {
  const sorted = losses.toSorted((a, b) => a.first - b.first);
  let ranges = joined(sorted, (a, b) => a.kind === b.kind);
  if (ranges.length > mostRanges) ranges = joined(ranges, () => true);
  const chunks: Loss[][] = [];
  for (let from = 0; from < ranges.length; from += mostRanges) {
    chunks.push(ranges.slice(from, from + mostRanges));
  }
  return chunks;
}

/** An envelope that tells losses, and nothing else. */
export function telling(losses: readonly Loss[], senderId: string, runId: string): Uint8Array {
  return Envelope.encode({
    ...Envelope.create({ senderId, runId }),
    losses: losses.map(({ kind, first, last }) => ({
      kind,
      sequences: { first: BigInt(first), last: BigInt(last) },
    })),
  }).finish();
}

/** How many messages these are. */
export function countOf(losses: readonly Loss[]): number {
  return losses.reduce((sum, { first, last }) => sum + last - first + 1, 0);
}

/** What is left of an envelope without the messages of kinds that are given up, and these as losses. Several
 *  envelopes, since the messages of one follow each other without a gap. What it tells as lost itself is in
 *  neither. */
export function without(
  envelope: Envelope,
  isGivenUp: (kind: string) => boolean,
): { kept: Envelope[]; lost: Loss[] } {
  const { senderId, runId, hostname, utcOffsetSeconds, closingNote } = envelope;
  const head = Envelope.create({ senderId, runId, hostname, utcOffsetSeconds });
  const kept: Envelope[] = [];
  const lost: Loss[] = [];
  let part: Envelope | undefined;
  envelope.messages.forEach((message, index) => {
    const sequence = Number(envelope.firstSequence) + index;
    const kind = kindName(message);
    if (isGivenUp(kind)) {
      lost.push({ kind, first: sequence, last: sequence });
      part = undefined;
      return;
    }
    if (part === undefined) {
      part = { ...head, firstSequence: BigInt(sequence), messages: [] };
      kept.push(part);
    }
    part.messages.push(message);
  });
  if (closingNote !== undefined) kept.push({ ...head, closingNote });
  return { kept, lost };
}

function joined(losses: readonly Loss[], mayJoin: (a: Loss, b: Loss) => boolean): Loss[] {
  const ranges: Loss[] = [];
  for (const loss of losses) {
    const before = ranges.at(-1);
    if (before !== undefined && loss.first <= before.last + 1 && mayJoin(before, loss)) {
      const kind = before.kind === loss.kind ? loss.kind : "";
      ranges[ranges.length - 1] = { kind, first: before.first, last: Math.max(before.last, loss.last) };
    } else {
      ranges.push(loss);
    }
  }
  return ranges;
}
