import test from "ava";

import { Pace } from "../../../src/radios/udp/pace.js";

const mib = 1024 * 1024;

test("a burst of 256 KiB goes at once, and a second of sending is 8 MiB", (t) => {
  const pace = new Pace();
  let nowMs = 5_000;
  let sent = 0;
  let atOnce = 0;

  while (nowMs < 6_000) {
    nowMs += pace.waitMs(16 * 1024, nowMs);
    sent += 16 * 1024;
    if (nowMs === 5_000) atOnce = sent;
  }

  t.true(atOnce >= 0.22 * mib && atOnce <= 0.28 * mib, String(atOnce));
  t.true(sent > 7.5 * mib && sent < 8.5 * mib, String(sent));
});

test("small datagrams count with what the receiver's system adds to each", (t) => {
  const pace = new Pace();
  let nowMs = 0;
  let sent = 0;

  for (; nowMs < 1_000; sent += 1) nowMs += pace.waitMs(256, nowMs);

  t.true(sent > 8_000 && sent < 8_700, String(sent));
});

test("after a silence there is one burst again, and not all that could have been sent", (t) => {
  const pace = new Pace();
  for (let n = 0; n < 20; n += 1) pace.waitMs(16 * 1024, 0);

  const waits = Array.from({ length: 40 }, () => pace.waitMs(16 * 1024, 60_000));

  t.is(waits[0], 0);
  t.true((waits.at(-1) ?? 0) > 0);
});
