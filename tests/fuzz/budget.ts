/** How much is tried, and with which random numbers. The seed is printed always, and repeats what it made:
 *      npm run fuzz -- --inputs 1000000 --seed 123 */

const toldInputs = process.env["PARSL_COLLECTOR_FUZZ_INPUTS"];

/** Inputs to a test: as many as whoever runs it asks for; without a word, those of a test suite. */
export const inputs = Number(toldInputs ?? 100_000);

/** Longest that the inputs of a whole test suite go on, in ms: a machine with other work makes fewer, and says
 *  how many. Whoever asks for a number of inputs gets them all. */
export const mostMs = toldInputs === undefined ? 20_000 : Infinity;

export const seed = Number(process.env["PARSL_COLLECTOR_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
