import { setTimeout as delay } from "node:timers/promises";

import test from "ava";

import { sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { envelopeOf } from "../support/encoded.js";
import { cpuSeconds } from "../support/process.js";
import { Service } from "../support/service.js";

test("case 52: a collector with 50 open silent streams, and metrics, uses less than 1 % of a core", async (t) => {
  const collector = await startCollector(t, { args: ["--metrics", "127.0.0.1:0"] });
  const streams = Array.from({ length: 50 }, () => Service.connect(t, collector.address).stream());
  await Promise.all(
    streams.map(async (stream) => {
      await stream.write(envelopeOf([sample(1)]));
      await stream.acknowledged(1);
    }),
  );
  const idleSeconds = 15;

  const before = cpuSeconds(collector.pid);
  await delay(idleSeconds * 1_000); // the measurement itself
  const used = cpuSeconds(collector.pid) - before;

  t.log(`${String(used)} s of CPU in ${String(idleSeconds)} s`);
  t.true(used <= idleSeconds / 100, `${String(used)} s of CPU in ${String(idleSeconds)} s`);
});
