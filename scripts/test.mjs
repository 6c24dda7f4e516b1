/** Runs the tests: static checks (each counts as one test), and those in TypeScript and Python. The last line is the
 *  count: "412 passed, 0 failed, 2 skipped".
 *
 *  usage: node scripts/test.mjs [--fast | --all]
 *
 *  With --fast only what needs neither Parsl workflows nor other long-lived processes. With --all also what others
 *  make of ours: Parsl's own tests with our hub, parsl-visualize, the wheel in an environment of its own, and the
 *  clients in other languages, whose tools take minutes (`npm run interop`). */
import { endChildrenWithUs, toldToEnd } from "./lib/child.mjs";
import { sumOf } from "./lib/counts.mjs";
import { ava, checks, interop, parslsOwn, pytest, pythonPackage, types, visualize } from "./lib/steps.mjs";

/** How often a long run says how far it is, in ms. */
const progressMs = 20_000;

/** Steps that run at one time, the longest first. Many tests wait for a process or a clock: three steps keep two cores
 *  busy. With more of them what they start is so slow to come up there that the tests take it for dead. */
const sideBySide = 3;

const fast = process.argv.includes("--fast");
const all = process.argv.includes("--all");
const began = performance.now();
/** The steps that run now: how many tests of theirs have passed. */
const running = new Map();
/** Name and counts of each step that is done. */
const results = [];

endChildrenWithUs();
await runStep(types);
const progress = setInterval(sayProgress, progressMs);
// A shared iterator: whichever of them is free takes the next.
const waiting = [
  ava({ fast }),
  ...pytest({ fast }),
  ...(all ? parslsOwn() : []),
  ...checks(),
  ...(all ? [pythonPackage(), visualize(), interop()] : []),
].values();
await Promise.all(Array.from({ length: sideBySide }, () => runInTurn(waiting)));
clearInterval(progress);

const failed = results.filter(({ counts }) => counts.failed > 0);
// Last, where whoever reads only the end of the output finds them.
for (const result of failed) reportFailure(result);
const total = sumOf(results.map(({ counts }) => counts));
if (failed.length > 0) console.log(`\nfailed:\n${failed.flatMap(failuresOf).join("\n")}`);
if (failed.length > 0 || total.passed === 0) process.exitCode = 1;
console.log(`\n${inWords(total)}`);

async function runInTurn(steps) {
  for (const step of steps) {
    if (toldToEnd()) return;
    await runStep(step);
  }
}

async function runStep({ name, run, counts: countsOf, progress: pattern }) {
  running.set(name, 0);
  const ended = await run((text) => {
    if (pattern !== undefined) running.set(name, running.get(name) + (text.match(pattern)?.length ?? 0));
  });
  running.delete(name);
  const counts = countsOf(ended);
  results.push({ name, ended, counts });
  report(name, ended, counts, pattern !== undefined);
}

function report(name, { output, seconds, cpuSeconds }, counts, isSuite) {
  const mark = counts.failed === 0 ? "✔" : "✖";
  const told = isSuite ? inWords(counts) : "";
  const took = `${seconds.toFixed(1)} s`.padStart(8);
  const cpu = `${cpuSeconds.toFixed(1)} s CPU`.padStart(12);
  console.log(`${mark} ${name.padEnd(26)} ${took} ${cpu}  ${told}`.trimEnd());
  if (counts.failed === 0 && counts.skipped > 0) {
    printIndented(linesOf(output).filter((line) => /^SKIPPED|^ {2}- /.test(line)));
  }
}

/** What a step that failed said, without the tests of it that passed. */
function reportFailure({ name, ended: { code, output, seconds, timedOut } }) {
  const how = timedOut ? `not done after ${seconds.toFixed(0)} s, and ended` : `exit code ${code}`;
  console.log(`\n✖ ${name}: ${how}`);
  printIndented(linesOf(output).filter((line) => !/^ {2}✔ | PASSED +\[|^$/.test(line)));
}

/** The step and, as far as its output says them, its tests that failed; and of one that was cut off, the last words. */
function failuresOf({ name, ended: { output, timedOut } }) {
  const lines = linesOf(output);
  const tests = lines.filter((line) => /^(FAILED|ERROR) |^ {2}✖ /.test(line));
  return [
    `  ${name}`,
    ...[...tests, ...(timedOut ? lines.slice(-3) : [])].map((line) => `    ${line.trim()}`),
  ];
}

function linesOf(output) {
  return output.trimEnd().split("\n");
}

function printIndented(lines) {
  if (lines.length > 0) console.log(lines.map((line) => `  │ ${line}`).join("\n"));
}

function sayProgress() {
  const seconds = Math.round((performance.now() - began) / 1_000);
  const far = [...running].map(([name, passed]) => (passed > 0 ? `${name} (${passed} passed)` : name));
  console.log(`… ${seconds} s: ${far.join(", ")}`);
}

function inWords({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
