import test from "ava";
import fc from "fast-check";

import { nextMicrosecond } from "../../../src/model/time.js";
import { uniqueTimes, type TimedRow } from "../../../src/server/rows/unique-time.js";

/** The last microseconds of a second, so that moved rows come into the next one. */
const times = [
  "2026-03-01 11:59:59.999997",
  "2026-03-01 11:59:59.999998",
  "2026-03-01 11:59:59.999999",
  "2026-03-01 12:00:00.000000",
];

const row = fc.record<TimedRow>({
  said: fc.constantFrom(...times),
  content: fc.constantFrom("a", "b", "c", "d"),
});
const rows = fc.uniqueArray(row, { selector: ({ said, content }) => said + content });

test("rows get the same times in whatever order they came", (t) => {
  const shuffled = rows.chain((all) =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
  );

  fc.assert(
    fc.property(shuffled, ([all, otherOrder]) => {
      t.deepEqual(uniqueTimes(otherOrder), uniqueTimes(all));
    }),
  );
});

test("every row has a time of its own, moved on by no more than needed", (t) => {
  fc.assert(
    fc.property(rows, (all) => {
      const placed = uniqueTimes(all);
      const taken = new Set(placed.map(({ timestamp }) => timestamp));

      t.is(taken.size, all.length);
      for (const { row: each, timestamp } of placed) {
        t.true(timestamp >= each.said);
        // Every microsecond that a row was moved past has a row of its own.
        for (let passed = each.said; passed < timestamp; passed = nextMicrosecond(passed)) {
          t.true(taken.has(passed), `${passed} is free, but a row was moved past it`);
        }
      }
    }),
  );
});

test("rows that said different times are not moved", (t) => {
  const all = times.map((said) => ({ said, content: "" }));

  t.deepEqual(
    uniqueTimes(all).map(({ timestamp }) => timestamp),
    times,
  );
});
