import test from "ava";
import fc from "fast-check";

import { Window, type Cut } from "../../src/client/window.js";

const limits = { messages: 4, bytes: 100, envelopes: 3 };

/** A message of `length` bytes. */
function message(length = 10): Uint8Array {
  return new Uint8Array(length);
}

function take(window: Window, count: number): void {
  for (let n = 0; n < count; n += 1) window.take(message());
}

/** Takes all cuts that the window gives now. */
function cuts(window: Window): Cut[] {
  const given: Cut[] = [];
  for (let cut = window.next(); cut !== undefined; cut = window.next()) given.push(cut);
  return given;
}

function ranges(given: readonly Cut[]): [first: number, count: number][] {
  return given.map((cut) => [cut.firstSequence, cut.messages.length]);
}

test("a lone message goes at once when nothing is on its way", (t) => {
  const window = new Window(limits);
  take(window, 1);

  t.deepEqual(ranges(cuts(window)), [[1, 1]]);
});

test("messages gather while an envelope is on its way, until an acknowledgement comes", (t) => {
  const window = new Window(limits);
  take(window, 1);
  const [first] = cuts(window);

  take(window, 3);
  t.deepEqual(cuts(window), []);

  if (first !== undefined) window.acknowledge(first);
  t.deepEqual(ranges(cuts(window)), [[2, 3]]);
});

test("a full envelope goes without waiting, by count or by bytes", (t) => {
  const window = new Window(limits);
  take(window, 1);
  cuts(window);

  take(window, 4);
  t.deepEqual(ranges(cuts(window)), [[2, 4]]);

  window.take(message(60));
  window.take(message(60));
  t.deepEqual(ranges(cuts(window)), [[6, 1]]);
});

test("an envelope stays below its bytes, and a larger message travels alone", (t) => {
  const window = new Window(limits);
  for (const length of [60, 40, 1, 1000, 30]) window.take(message(length));

  t.deepEqual(ranges(cuts(window)), [
    [1, 2],
    [3, 1],
    [4, 1],
  ]);
});

test("no more envelopes are on their way than the limit", (t) => {
  const window = new Window(limits);
  take(window, 100);

  const given = cuts(window);
  t.is(given.length, 3);

  if (given[0] !== undefined) window.acknowledge(given[0]);
  t.is(cuts(window).length, 1);
});

test("after a break everything that is not acknowledged is cut again with the same sequences", (t) => {
  const window = new Window(limits);
  take(window, 9);
  const [first] = cuts(window);
  if (first !== undefined) window.acknowledge(first);

  window.rewind();

  const again = cuts(window);
  t.deepEqual(ranges(again), [[5, 4]]);
  if (again[0] !== undefined) window.acknowledge(again[0]);
  t.deepEqual(ranges(cuts(window)), [[9, 1]]);
});

test("an answer to an envelope from before a break counts for nothing", (t) => {
  const window = new Window(limits);
  take(window, 3);
  const [early] = cuts(window);
  window.rewind();
  cuts(window);

  if (early !== undefined) window.acknowledge(early);

  t.is(window.leftUpTo, 0);
});

test("answers out of order release a message only with all before it", (t) => {
  const window = new Window(limits);
  take(window, 8);
  const [first, second] = cuts(window);

  if (second !== undefined) window.acknowledge(second);
  t.is(window.leftUpTo, 0);

  if (first !== undefined) window.acknowledge(first);
  t.is(window.leftUpTo, 8);
  t.is(window.length, 0);
  t.is(window.releasedBytes, 80);
});

test("the closing note rides on the last envelope, or alone when all has been sent", (t) => {
  const riding = new Window(limits);
  take(riding, 2);
  riding.close();
  t.deepEqual(
    cuts(riding).map((cut) => [cut.firstSequence, cut.messages.length, cut.lastSequence]),
    [[1, 2, 2]],
  );

  const alone = new Window(limits);
  take(alone, 2);
  const [messages] = cuts(alone);
  if (messages !== undefined) alone.acknowledge(messages);
  alone.close();
  const [note] = cuts(alone);
  t.deepEqual(note, { firstSequence: 0, messages: [], lastSequence: 2 });
  t.false(alone.finished);
  if (note !== undefined) alone.acknowledge(note);
  t.true(alone.finished);
});

test("a closing note that was lost is said again", (t) => {
  const window = new Window(limits);
  take(window, 1);
  window.close();
  cuts(window);

  window.rewind();

  t.deepEqual(cuts(window).at(-1)?.lastSequence, 1);
});

test("whatever is taken, answered and broken, in any order, every message is acknowledged once and nothing waits for ever", (t) => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 150 }) }) },
    { weight: 4, arbitrary: fc.record({ answer: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.constant({ break: true }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const window = new Window(limits);
      const taken: Uint8Array[] = [];
      /** The collector's side: its table by sequence, as a ledger would fill it. */
      const stored = new Map<number, Uint8Array>();
      let onTheWay: Cut[] = [];
      const send = (): void => {
        for (const cut of cuts(window)) {
          onTheWay.push(cut);
          for (const [index, bytes] of cut.messages.entries()) {
            const sequence = cut.firstSequence + index;
            if (stored.has(sequence)) t.is(stored.get(sequence), bytes); // resent as it was
            stored.set(sequence, bytes);
          }
        }
        t.true(onTheWay.length <= limits.envelopes);
        t.true(onTheWay.length > 0 || window.length === 0, "something to do, but nothing on its way");
      };
      const answer = (index: number): void => {
        const [cut] = onTheWay.splice(index % Math.max(1, onTheWay.length), 1);
        if (cut !== undefined) window.acknowledge(cut);
      };
      for (const one of steps) {
        if ("take" in one) {
          const bytes = message(one.take);
          taken.push(bytes);
          window.take(bytes);
        } else if ("answer" in one) {
          answer(one.answer);
        } else {
          onTheWay = [];
          window.rewind();
        }
        send();
      }
      window.close();
      for (let rounds = 0; !window.finished && rounds < 1000; rounds += 1) {
        for (const cut of cuts(window)) {
          onTheWay.push(cut);
          for (const [index, bytes] of cut.messages.entries()) stored.set(cut.firstSequence + index, bytes);
        }
        answer(0);
      }
      if (taken.length > 0) t.true(window.finished);
      t.deepEqual(
        [...stored.keys()].sort((a, b) => a - b),
        taken.map((_, index) => index + 1),
      );
      for (const [index, bytes] of taken.entries()) t.is(stored.get(index + 1), bytes);
      t.is(window.leftUpTo, taken.length);
      t.is(window.releasedBytes, window.takenBytes);
    }),
    { numRuns: 300 },
  );
});
