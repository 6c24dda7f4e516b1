/** How many tests of a step came to which end. */
/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** A step that is one test: it passed or it failed.
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfCheck({ code }) {
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
}

/** From the last lines of ava's output: "253 tests passed", "1 test failed", "1 uncaught exception", ...
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfAva({ code, output }) {
  const sum = (pattern) =>
    [...output.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);
  const passed = sum(/^ {2}(\d+) tests? passed$/gm);
  const skipped = sum(/^ {2}(\d+) tests? (?:skipped|todo)$/gm);
  const failed = sum(
    /^ {2}(\d+) (?:tests? failed|known failures?|unhandled rejections?|uncaught exceptions?|tests? remained pending)/gm,
  );
  return withoutSilence({ passed, failed, skipped }, code);
}

/** From pytest's last line: "3 failed, 27 passed, 1 skipped, 1 error in 12.3s".
 *  @param {import("./child.mjs").Ended} ended @returns {Counts} */
export function countsOfPytest({ code, output }) {
  const last =
    output
      .trimEnd()
      .split("\n")
      .findLast((line) => / in [\d.:]+s?/.test(line)) ?? "";
  const of = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(last)?.[1] ?? 0);
  const counts = {
    passed: of("passed"),
    failed: of("failed") + of("errors?"),
    skipped: of("skipped") + of("xfailed"),
  };
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
