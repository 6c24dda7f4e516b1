import test from "ava";
import fc from "fast-check";

import { longestPauseMs, Reconnect, shortestPauseMs } from "../../src/base/reconnect.js";

test("the ceiling of the pauses doubles until the longest", (t) => {
  const reconnect = new Reconnect(() => 1);

  const pauses = Array.from({ length: 9 }, () => reconnect.nextPauseMs());

  t.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
});

test("senders that throw different dice come back at different times", (t) => {
  const lucky = new Reconnect(() => 0);
  const unlucky = new Reconnect(() => 0.9);

  t.is(lucky.nextPauseMs(), 50);
  t.is(unlucky.nextPauseMs(), 95);
});

test("a success makes the pauses short again", (t) => {
  const reconnect = new Reconnect(() => 1);
  for (let n = 0; n < 20; n += 1) reconnect.nextPauseMs();

  reconnect.succeeded();

  t.is(reconnect.nextPauseMs(), 100);
});

test("a pause stays between the shortest and the longest, after any number of failures", (t) => {
  fc.assert(
    fc.property(
      fc.nat(2000),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (failures, dice) => {
        const reconnect = new Reconnect(() => dice);
        for (let n = 0; n < failures; n += 1) reconnect.nextPauseMs();
        const pause = reconnect.nextPauseMs();
        return pause >= shortestPauseMs && pause <= longestPauseMs;
      },
    ),
    { numRuns: 100 },
  );
  t.pass();
});
