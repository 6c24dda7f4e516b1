import test from "ava";

import { localTimes } from "../../src/model/local-time.js";

/** Times of Parsl's tables, which say nothing of their zone. */

const inBerlin = localTimes("Europe/Berlin");

test("a naive time is read in the zone that was told, with its fraction", (t) => {
  t.is(inBerlin("2026-03-01 12:00:00.500000"), Date.parse("2026-03-01T11:00:00.500Z"));
  t.is(inBerlin("2026-07-01 12:00:00"), Date.parse("2026-07-01T10:00:00Z"));
  t.is(localTimes("Asia/Kolkata")("2026-07-01 12:00:00.000001"), Date.parse("2026-07-01T06:30:00Z") + 0.001);
});

test("an hour that a zone has twice is its first, and one that it has not at all is near", (t) => {
  // Clocks went back at 03:00 on October 25, and forward at 02:00 on March 29.
  t.is(inBerlin("2026-10-25 01:59:59.000000"), Date.parse("2026-10-24T23:59:59Z"));
  t.is(inBerlin("2026-10-25 02:30:00.000000"), Date.parse("2026-10-25T00:30:00Z"));
  t.is(inBerlin("2026-10-25 03:00:00.000000"), Date.parse("2026-10-25T02:00:00Z"));
  t.is(inBerlin("2026-03-29 01:59:59.000000"), Date.parse("2026-03-29T00:59:59Z"));
  t.is(inBerlin("2026-03-29 02:30:00.000000"), Date.parse("2026-03-29T01:30:00Z"));
  t.is(inBerlin("2026-03-29 03:00:00.000000"), Date.parse("2026-03-29T01:00:00Z"));
});

test("what is no time is null, and a zone that nobody knows is refused", (t) => {
  for (const text of [
    null,
    undefined,
    7,
    "",
    "soon",
    "2026-03-01 12:xx:00.000000",
    "2026-03-01 12:00:00.5x",
  ]) {
    t.is(inBerlin(text), null, String(text));
  }
  t.throws(() => localTimes("Nowhere/Town"), { instanceOf: RangeError });
});
