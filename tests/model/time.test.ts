import { execFileSync } from "node:child_process";

import test from "ava";
import fc from "fast-check";

import { localText, microsOf, nextMicrosecond, timestampOf, utcText } from "../../src/model/time.js";

const timeModule = new URL("../../src/model/time.js", import.meta.url).href;

/** The texts that a process in another zone makes of some seconds since 1970. */
function localTextsIn(zone: string, seconds: readonly number[]): string[] {
  const program = `
    import { localText } from ${JSON.stringify(timeModule)};
    console.log(JSON.stringify(${JSON.stringify(seconds)}.map((second) => localText(second * 1e6))));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    env: { ...process.env, TZ: zone },
    encoding: "utf8",
  });
  return JSON.parse(output) as string[];
}

function secondsAt(utc: string): number {
  return Date.parse(utc) / 1000;
}

test("a timestamp keeps its microseconds there and back", (t) => {
  const seconds = fc.bigInt({ min: -9_000_000_000n, max: 9_000_000_000n }); // the years 1684 to 2255
  const micro = fc.integer({ min: 0, max: 999_999 });

  fc.assert(
    fc.property(seconds, micro, (second, of) => {
      const timestamp = { seconds: second, nanos: of * 1000 };

      const micros = microsOf(timestamp);

      t.is(BigInt(micros ?? NaN), second * 1_000_000n + BigInt(of));
      t.deepEqual(timestampOf(micros ?? NaN), timestamp);
    }),
  );
});

test("anything finer than a microsecond is cut off, before 1970 too", (t) => {
  t.is(microsOf({ seconds: 1n, nanos: 999 }), 1_000_000);
  t.is(microsOf({ seconds: -1n, nanos: 1_999 }), -999_999);
});

test("a text has the form of Parsl's tables, with all six digits", (t) => {
  t.is(utcText(1_772_366_400_000_000), "2026-03-01 12:00:00.000000");
  t.is(utcText(1_772_366_400_000_300), "2026-03-01 12:00:00.000300");
  t.is(utcText(-1), "1969-12-31 23:59:59.999999");
});

test("a text agrees with Date on every millisecond between 1684 and 2255", (t) => {
  fc.assert(
    fc.property(fc.integer({ min: -9e12, max: 9e12 }), (millis) => {
      const expected = new Date(millis).toISOString().replace("T", " ").replace("Z", "000");

      t.is(utcText(millis * 1000), expected);
    }),
  );
});

test("the years 1 and 9999 have texts, and no time outside of them has", (t) => {
  const first = microsOf({ seconds: BigInt(secondsAt("0001-01-02T00:00:00Z")), nanos: 0 });
  const last = microsOf({ seconds: BigInt(secondsAt("9999-12-30T23:59:59Z")), nanos: 0 });

  t.is(utcText(first ?? NaN), "0001-01-02 00:00:00.000000");
  t.is(utcText(last ?? NaN), "9999-12-30 23:59:59.000000");
  t.is(microsOf({ seconds: BigInt(secondsAt("0000-12-31T23:59:59Z")), nanos: 0 }), undefined);
  t.is(microsOf({ seconds: BigInt(secondsAt("9999-12-31T23:59:59Z")) + 1n, nanos: 0 }), undefined);
  t.is(microsOf({ seconds: 2n ** 63n - 1n, nanos: 0 }), undefined);
});

test("no text has a year that Python's datetime does not have, whatever the zone and the fraction", (t) => {
  const latest = secondsAt("9999-12-31T23:59:59Z");
  const earliest = secondsAt("0001-01-01T00:00:00Z");
  const ends: number[] = [];
  for (let hours = 0; hours <= 48; hours += 1) ends.push(latest - hours * 3600, earliest + hours * 3600);
  const taken = ends.filter((second) => microsOf({ seconds: BigInt(second), nanos: 0 }) !== undefined);

  t.true(taken.length > 0);
  for (const zone of ["Pacific/Kiritimati", "Etc/GMT+12"]) {
    for (const text of localTextsIn(zone, taken)) t.regex(text, /^(0001|9999)-/, zone);
  }
  for (const second of taken) {
    t.regex(utcText(microsOf({ seconds: BigInt(second), nanos: 999_999_999 }) ?? NaN), /^(0001|9999)-/);
  }
});

test("nanoseconds that are no part of a second are no time", (t) => {
  t.is(microsOf({ seconds: 0n, nanos: -1 }), undefined);
  t.is(microsOf({ seconds: 0n, nanos: 1_000_000_000 }), undefined);
});

test("local text follows the zone across both changes of the clock", (t) => {
  const instants = [
    "2026-03-29T00:59:59Z", // Berlin goes from +1 to +2 one second later
    "2026-03-29T01:00:00Z",
    "2026-10-25T00:59:59Z", // and from +2 to +1 one second later
    "2026-10-25T01:00:00Z",
  ];

  t.deepEqual(localTextsIn("Europe/Berlin", instants.map(secondsAt)), [
    "2026-03-29 01:59:59.000000",
    "2026-03-29 03:00:00.000000",
    "2026-10-25 02:59:59.000000",
    "2026-10-25 02:00:00.000000",
  ]);
});

test("local text knows zones that are no whole hours from UTC", (t) => {
  const noon = [secondsAt("2026-01-01T12:00:00Z")];

  t.deepEqual(localTextsIn("Asia/Kathmandu", noon), ["2026-01-01 17:45:00.000000"]);
  t.deepEqual(localTextsIn("America/St_Johns", noon), ["2026-01-01 08:30:00.000000"]);
  t.deepEqual(localTextsIn("Pacific/Kiritimati", noon), ["2026-01-02 02:00:00.000000"]);
});

test("local text is this process's own zone's", (t) => {
  const millis = Date.parse("2026-07-01T12:34:56.789Z");
  const local = new Date(millis - new Date(millis).getTimezoneOffset() * 60_000);

  t.is(localText(millis * 1000), local.toISOString().replace("T", " ").replace("Z", "000"));
});

test("the next microsecond carries over into seconds, days and years, in every year", (t) => {
  t.is(nextMicrosecond("2026-03-01 12:00:00.000000"), "2026-03-01 12:00:00.000001");
  t.is(nextMicrosecond("2026-03-01 12:00:00.999999"), "2026-03-01 12:00:01.000000");
  t.is(nextMicrosecond("2023-12-31 23:59:59.999999"), "2024-01-01 00:00:00.000000");
  t.is(nextMicrosecond("9999-06-01 00:00:00.000000"), "9999-06-01 00:00:00.000001");
  t.is(nextMicrosecond("0001-06-01 00:00:00.000008"), "0001-06-01 00:00:00.000009");
});
