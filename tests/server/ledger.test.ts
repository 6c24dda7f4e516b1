import test from "ava";
import fc from "fast-check";

import { SequenceSet, type Interval } from "../../src/server/ledger.js";

/** Small numbers, so that runs touch, overlap and repeat often. */
const run = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 12 }))
  .map(([first, more]): Interval => ({ first, last: first + more }));

function numbersOf({ first, last }: Interval): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test("a sequence set holds what a plain set of numbers holds", (t) => {
  fc.assert(
    fc.property(fc.array(run), fc.array(run), (added, asked) => {
      const sequences = new SequenceSet();
      const plain = new Set<number>();

      for (const one of added) {
        sequences.add(one);
        for (const number of numbersOf(one)) plain.add(number);
      }

      const all = numbersOf({ first: 0, last: 80 });
      t.deepEqual(
        all.filter((number) => sequences.has(number)),
        all.filter((number) => plain.has(number)),
      );
      t.is(sequences.size, plain.size);
      t.is(sequences.highest, Math.max(0, ...plain));
      for (const one of asked) {
        t.is(
          sequences.includes(one),
          numbersOf(one).every((number) => plain.has(number)),
        );
        const missing = numbersOf({ first: 1, last: one.last }).filter((number) => !plain.has(number));
        t.deepEqual(sequences.gaps(one.last).flatMap(numbersOf), missing);
      }
    }),
  );
});

test("its intervals ascend and never touch, however runs came", (t) => {
  fc.assert(
    fc.property(fc.array(run), (added) => {
      const sequences = new SequenceSet();
      for (const one of added) sequences.add(one);

      sequences.intervals.forEach(({ first, last }, index) => {
        t.true(first <= last);
        t.true(first > (sequences.intervals[index - 1]?.last ?? -1) + 1);
      });
    }),
  );
});

test("what add says is gone and grown keeps a stored copy equal", (t) => {
  fc.assert(
    fc.property(fc.array(run), (added) => {
      const sequences = new SequenceSet();
      const stored = new Map<number, number>();

      for (const one of added) {
        const { gone, grown } = sequences.add(one);
        for (const { first } of gone) stored.delete(first);
        stored.set(grown.first, grown.last);
      }

      const copy = [...stored].map(([first, last]) => ({ first, last })).sort((a, b) => a.first - b.first);
      t.deepEqual(copy, [...sequences.intervals]);
    }),
  );
});

test("messages that come in order make one interval, however many", (t) => {
  const sequences = new SequenceSet();

  for (let first = 1; first < 100_000; first += 10) sequences.add({ first, last: first + 9 });

  t.deepEqual(sequences.intervals, [{ first: 1, last: 100_000 }]);
});

test("sequences up to 2^53 - 1 are told apart", (t) => {
  const last = Number.MAX_SAFE_INTEGER;
  const sequences = new SequenceSet([{ first: last, last }]);

  t.true(sequences.has(last));
  t.false(sequences.has(last - 1));
  t.deepEqual(sequences.gaps(last), [{ first: 1, last: last - 1 }]);
});
