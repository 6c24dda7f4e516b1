import test from "ava";

import { ReplayWindow, Streams } from "../../../src/radios/udp/replay.js";
import { rollDice, shuffled } from "../../support/dice.js";

/** As in replay.ts. */
const windowSize = 4_096;

test("datagrams that come in any order within the window are each taken once", (t) => {
  const dice = rollDice(t);
  const window = new ReplayWindow();
  const counters = Array.from({ length: windowSize }, (_, n) => n + 1);

  t.true(shuffled(counters, dice).every((counter) => window.take(counter)));
  t.false(shuffled(counters, dice).some((counter) => window.take(counter)));
});

test("datagrams in order are each taken once, for many windows", (t) => {
  const window = new ReplayWindow();

  for (let counter = 1; counter <= 3 * windowSize; counter += 1) {
    t.true(window.take(counter));
    t.false(window.take(counter));
  }
});

test("a datagram that comes more than a window late is not taken, one that comes just in time is", (t) => {
  const window = new ReplayWindow();

  t.true(window.take(windowSize + 1));
  t.false(window.take(1));
  t.true(window.take(2));
  t.false(window.take(2));
});

test("a jump over many windows forgets what lies behind, and takes all after it", (t) => {
  const window = new ReplayWindow();
  for (let counter = 1; counter <= windowSize; counter += 1) window.take(counter);
  const far = 10 * windowSize + 5;

  t.true(window.take(far));
  t.false(window.take(far));
  t.true(window.take(far - windowSize + 1));
  t.false(window.take(windowSize));
});

test("each stream has a window of its own", (t) => {
  const streams = new Streams();

  t.true(streams.take("a", 1));
  t.true(streams.take("b", 1));
  t.false(streams.take("a", 1));
});

test("of more streams than are kept the one that was silent longest is forgotten", (t) => {
  const streams = new Streams(2);
  streams.take("a", 1);
  streams.take("b", 1);
  streams.take("a", 2);

  streams.take("c", 1);

  t.false(streams.take("a", 1));
  t.true(streams.take("b", 1));
});
