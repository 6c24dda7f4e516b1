import test from "ava";

import { accountOf, lostAfterMs, runStateOf } from "../../src/server/account.js";
import { SequenceSet, type Interval } from "../../src/server/ledger.js";

function sequences(...intervals: Interval[]): SequenceSet {
  const set = new SequenceSet();
  for (const interval of intervals) set.add(interval);
  return set;
}

test("each sequence of a sender is stored, lost or missing, and only one of them", (t) => {
  const stored = sequences({ first: 1, last: 4 }, { first: 9, last: 9 });
  const told = new Map([
    ["RESOURCE_INFO", sequences({ first: 5, last: 6 })],
    ["TASK_INFO", sequences({ first: 8, last: 8 })],
  ]);

  const account = accountOf(stored, told, 12);

  t.is(account.last, 12);
  t.deepEqual(
    [...account.lost],
    [
      ["RESOURCE_INFO", 2],
      ["TASK_INFO", 1],
    ],
  );
  t.deepEqual(account.missing, [
    { first: 7, last: 7 },
    { first: 10, last: 12 },
  ]);
  t.is(account.missingCount, 4);
});

test("a message that came after its sender gave it up is not lost", (t) => {
  const told = new Map([["RESOURCE_INFO", sequences({ first: 1, last: 3 })]]);

  const account = accountOf(sequences({ first: 2, last: 2 }), told, null);

  t.deepEqual([...account.lost], [["RESOURCE_INFO", 2]]);
  t.is(account.missingCount, 0);
});

test("a sequence that was given up under two kinds counts once, under the one with a name", (t) => {
  const told = new Map([
    ["", sequences({ first: 1, last: 10 })],
    ["TASK_INFO", sequences({ first: 4, last: 5 })],
  ]);

  const account = accountOf(sequences(), told, 10);

  t.deepEqual(Object.fromEntries(account.lost), { "": 8, TASK_INFO: 2 });
});

test("what a sender gave up last is known, though nothing came after it", (t) => {
  const account = accountOf(
    sequences({ first: 1, last: 1 }),
    new Map([["", sequences({ first: 3, last: 5 })]]),
    null,
  );

  t.is(account.last, 5);
  t.deepEqual(account.missing, [{ first: 2, last: 2 }]);
});

test("a run is completed by its end alone, and lost when its senders have ended or fallen silent without it", (t) => {
  const heard = { hasEnd: false, allClosed: false, lastReceivedAtMs: 1_000 };

  t.is(runStateOf(heard, 1_000 + lostAfterMs), "running");
  t.is(runStateOf(heard, 1_001 + lostAfterMs), "lost");
  t.is(runStateOf({ ...heard, allClosed: true }, 1_000), "lost");
  t.is(
    runStateOf({ hasEnd: true, allClosed: true, lastReceivedAtMs: 1_000 }, 1_000 + 10 * lostAfterMs),
    "completed",
  );
});
