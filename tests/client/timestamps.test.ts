import test from "ava";
import fc from "fast-check";

import { timestampFromDate, timestampFromMicros } from "../../src/client/timestamps.js";

test("microseconds are kept exactly, before 1970 too", (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n }), (micros) => {
      const { seconds, nanos } = timestampFromMicros(micros);
      return nanos >= 0 && nanos < 1_000_000_000 && seconds * 1_000_000n + BigInt(nanos) / 1000n === micros;
    }),
  );
  t.deepEqual(timestampFromMicros(-1n), { seconds: -1n, nanos: 999_999_000 });
});

test("a Date gives its milliseconds", (t) => {
  t.deepEqual(timestampFromDate(new Date("2026-03-01T12:00:00.042Z")), {
    seconds: 1_772_366_400n,
    nanos: 42_000_000,
  });
});
