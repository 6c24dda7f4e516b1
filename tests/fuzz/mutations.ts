import type { Dice } from "../support/dice.js";

/** A whole number from 0 to below `below`. */
export function rolled(dice: Dice, below: number): number {
  return Math.floor(dice() * below);
}

/** One of several. */
export function oneOf<T>(dice: Dice, items: readonly T[]): T {
  const item = items[rolled(dice, items.length)];
  if (item === undefined) throw new Error("choose one of several: there is none");
  return item;
}

export function randomBytes(dice: Dice, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => rolled(dice, 256)));
}

/** Varints that claim more than there can be: 2^28 - 1, 2^32 - 1, 2^64 - 1, and one without an end. */
const hugeVarints = [3, 4, 9, 12].map((more) => Buffer.from([...Array<number>(more).fill(0xff), 0x7f]));

type Mutation = (bytes: Buffer, dice: Dice) => Buffer;

const mutations: readonly Mutation[] = [
  function flipBit(bytes, dice) {
    const changed = Buffer.from(bytes);
    const at = rolled(dice, bytes.length);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << rolled(dice, 8)), at);
    return changed;
  },
  function setByte(bytes, dice) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(rolled(dice, 256), rolled(dice, bytes.length));
    return changed;
  },
  function truncate(bytes, dice) {
    return bytes.subarray(0, rolled(dice, bytes.length));
  },
  function insert(bytes, dice) {
    return spliced(bytes, rolled(dice, bytes.length), 0, randomBytes(dice, 1 + rolled(dice, 16)));
  },
  function remove(bytes, dice) {
    return spliced(bytes, rolled(dice, bytes.length), 1 + rolled(dice, 16), Buffer.alloc(0));
  },
  function repeat(bytes, dice) {
    const from = rolled(dice, bytes.length);
    const slice = bytes.subarray(from, from + 1 + rolled(dice, 100));
    return spliced(bytes, rolled(dice, bytes.length), 0, slice);
  },
  function claimMore(bytes, dice) {
    return spliced(bytes, rolled(dice, bytes.length), 1, oneOf(dice, hugeVarints));
  },
  function swapHalves(bytes, dice) {
    const middle = rolled(dice, bytes.length);
    return Buffer.concat([bytes.subarray(middle), bytes.subarray(0, middle)]);
  },
];

function spliced(bytes: Buffer, at: number, gone: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + gone)]);
}

/** The bytes after one to four random changes. */
export function mutated(bytes: Uint8Array, dice: Dice): Buffer {
  let changed = Buffer.from(bytes);
  for (let left = 1 + rolled(dice, 4); left > 0 && changed.length > 0; left -= 1) {
    changed = Buffer.from(oneOf(dice, mutations)(changed, dice));
  }
  return changed;
}
