/** How many tests of a step came to which end. */
/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** A step that is one test: it passed or it failed.
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfCheck({ code }) {
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

/** From ava's output: a mark before each test that passed, and the last lines, as "1 test failed". (It says how many
 *  passed only when none failed.)
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfAva({ code, output }) {
  const sum = (pattern) =>
    [...output.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);
  const passed = output.match(/^ {2}✔ /gm)?.length ?? 0;
  const skipped = sum(/^ {2}(\d+) tests? (?:skipped|todo)$/gm);
  const failed = sum(
    /^ {2}(\d+) (?:tests? failed|known failures?|unhandled rejections?|uncaught exceptions?|tests? remained pending)/gm,
  );
  return withoutSilence({ passed, failed, skipped }, code);
}

/** From pytest's word after each test (-v), so that a run which was cut off counts too, and the errors of its last
 *  line, as "3 failed, 27 passed, 1 error in 12.3s".
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfPytest({ code, output }) {
  const of = (word) => output.match(new RegExp(`^\\S.*::.* ${word}(?: |$)`, "gm"))?.length ?? 0;
  const errors = Number(/^=.* (\d+) errors? in /m.exec(output)?.[1] ?? 0);
  return withoutSilence(
    { passed: of("PASSED"), failed: of("FAILED") + errors, skipped: of("SKIPPED") + of("XFAIL") },
    code,
  );
}

/** From the last line, as "12 passed, 0 failed, 4 skipped"; one that was cut off has none, and failed.
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfInterop({ code, output }) {
  const [, passed, failed, skipped = 0] =
    /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/m.exec(output) ?? [];
  const counts = { passed: Number(passed ?? 0), failed: Number(failed ?? 0), skipped: Number(skipped) };
  return withoutSilence(counts, code);
}

/** The sum of some counts.
 *  @param {readonly Counts[]} all @returns {Counts} */
export function sumOf(all) {
  return all.reduce(
    (sum, { passed, failed, skipped }) => ({
      passed: sum.passed + passed,
      failed: sum.failed + failed,
      skipped: sum.skipped + skipped,
    }),
    { passed: 0, failed: 0, skipped: 0 },
  );
}

/** A runner that died, or ran nothing, is a failure though no test of it is. */
function withoutSilence(counts, code) {
  const silent = counts.passed + counts.failed + counts.skipped === 0;
  return counts.failed === 0 && (code !== 0 || silent) ? { ...counts, failed: 1 } : counts;
}
