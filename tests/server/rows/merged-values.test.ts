import test from "ava";
import fc from "fast-check";

import { MergedValues, type Rule } from "../../../src/server/rows/merged-values.js";
import type { SqlValue } from "../../../src/server/rows/value.js";

const rules: readonly Rule[] = ["first", "last", "last"];

/** One value said of one column; few times and few values, so that ties are common. */
interface Said {
  readonly column: number;
  readonly value: SqlValue;
  readonly at: number;
}

const said: fc.Arbitrary<Said> = fc.record({
  column: fc.integer({ min: 0, max: rules.length - 1 }),
  value: fc.constantFrom<SqlValue>(null, "", "a", "b"),
  at: fc.integer({ min: 0, max: 3 }),
});

function mergeAll(all: readonly Said[], merged = MergedValues.empty(rules)): MergedValues {
  for (const { column, value, at } of all) merged.say(column, value, at);
  return merged;
}

function outcome(merged: MergedValues) {
  return { values: merged.values, versions: [...merged.versions] };
}

const shuffled = fc
  .array(said)
  .chain((all) =>
    fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })),
  );

test("any order of saying the same gives the same row", (t) => {
  fc.assert(
    fc.property(shuffled, ([all, otherOrder]) => {
      t.deepEqual(outcome(mergeAll(otherOrder)), outcome(mergeAll(all)));
    }),
  );
});

test("a row that is written and read back half-way ends the same", (t) => {
  fc.assert(
    fc.property(fc.array(said), fc.nat(), (all, split) => {
      const half = all.length === 0 ? 0 : split % all.length;
      const before = mergeAll(all.slice(0, half));
      const readBack = MergedValues.stored(rules, [...before.values], before.versions);

      t.deepEqual(outcome(mergeAll(all.slice(half), readBack)), outcome(mergeAll(all)));
    }),
  );
});

test("NULL never takes the place of a value", (t) => {
  fc.assert(
    fc.property(fc.array(said), fc.nat({ max: 2 }), fc.integer(), (all, column, at) => {
      const merged = mergeAll(all);
      const before = outcome(merged);

      t.false(merged.say(column, null, at));
      t.deepEqual(outcome(merged), before);
    }),
  );
});

test("the value said first stands in one column, the one said last in another", (t) => {
  const merged = MergedValues.empty(rules);

  for (const column of [0, 1]) {
    merged.say(column, "middle", 2);
    merged.say(column, "early", 1);
    merged.say(column, "late", 3);
  }

  t.deepEqual(merged.values, ["early", "late", null]);
});

test("say tells whether the value stands", (t) => {
  const merged = MergedValues.empty(rules);

  t.true(merged.say(1, "a", 5));
  t.false(merged.say(1, "b", 4));
  t.false(merged.say(1, "a", 5));
  t.true(merged.say(1, "b", 5));
});

test("in a row that Parsl wrote, what it says once stands and what it updates gives way", (t) => {
  const merged = MergedValues.stored(rules, ["kept", "old", null], null);

  for (const column of [0, 1, 2]) merged.say(column, "new", 0);

  t.deepEqual(merged.values, ["kept", "new", "new"]);
});

test("a placeholder that a column had to have gives way to what is said", (t) => {
  const { versions } = MergedValues.empty(rules);
  const merged = MergedValues.stored(rules, ["unknown", "unknown", "unknown"], versions);

  merged.say(0, "n1", 7);

  t.deepEqual(merged.values, ["n1", null, null]);
});
