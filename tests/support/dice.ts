import type { ExecutionContext } from "ava";

/** Random numbers from 0 to below 1 that are the same for the same seed (mulberry32). */
export type Dice = () => number;

/** Dice with a new seed, which is printed; `PARSL_COLLECTOR_TEST_SEED` throws the same again. */
export function rollDice(t: ExecutionContext): Dice {
  const seed = Number(process.env["PARSL_COLLECTOR_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  t.log(`PARSL_COLLECTOR_TEST_SEED=${String(seed)}`);
  return diceOf(seed);
}

/** Dice with a known seed. */
export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same items in an order that the dice choose. */
export function shuffled<T>(items: readonly T[], dice: Dice): T[] {
  return items
    .map((item) => ({ item, place: dice() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
