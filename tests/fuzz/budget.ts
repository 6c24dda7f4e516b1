/** How much is tried, and with which random numbers. The seed is printed always, and repeats what it made:
 *      npm run fuzz -- --inputs 1000000 --seed 123 */

const toldInputs = process.env["PARSL_COLLECTOR_FUZZ_INPUTS"];

/** Inputs to a test: as many as whoever runs it asks for; without a word, those of a test suite, for 10 s of CPU. */
export const inputs = Number(toldInputs ?? 20_000);

/** Longest that the inputs of a whole test suite go on, in ms: a machine with other work makes fewer. Whoever asks for
 *  a number of inputs gets them all. */
const mostMs = toldInputs === undefined ? 20_000 : Infinity;

/** Says of a number of inputs that are made whether to make more: as many as `most`, in this share of the time, but
 *  `least` however long they take. */
export function budget(most: number, share = 1, least = 100): (made: number) => boolean {
  const end = performance.now() + mostMs * share;
  return (made) => made < Math.min(least, most) || (made < most && performance.now() < end);
}

export const seed = Number(process.env["PARSL_COLLECTOR_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
