import test from "ava";

import { NodeSampler } from "../../src/agent/node-sampler.js";
import type { NodeUsage } from "../../src/model/messages.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeNodeFiles } from "../support/fake-node-files.js";

/** A sampler of a fake node, and what it has said. */
function sampling(intervalSeconds = 10) {
  const clock = new FakeClock();
  const files = new FakeNodeFiles();
  const samples: Partial<NodeUsage>[] = [];
  const sampler = new NodeSampler({
    clock,
    intervalSeconds,
    files,
    onSample: (message) => {
      if ("nodeUsage" in message) samples.push(message.nodeUsage);
    },
  });
  /** Lets `ms` pass, and the timers that are due do their work. */
  const pass = async (ms: number) => {
    clock.advance(ms);
    await new Promise(setImmediate);
  };
  return { clock, files, sampler, samples, pass };
}

/** Milliseconds of a sample's time. */
function msOf({ timestamp }: Partial<NodeUsage>): number {
  return Number(timestamp?.seconds ?? NaN) * 1000 + (timestamp?.nanos ?? NaN) / 1e6;
}

test("a node is sampled at once and at every interval, without drift", async (t) => {
  const { samples, pass } = sampling();

  await pass(0);
  await pass(10_003);
  await pass(9_996);
  t.is(samples.length, 2);
  await pass(1);
  await pass(10_000);

  t.deepEqual(samples.map(msOf), [0, 10_003, 20_000, 30_000]);
});

test("a sample has what the node tells, the interval, and the part of the time since the one before", async (t) => {
  const { files, samples, pass } = sampling();
  files.files.set("/proc/stat", "cpu  100 0 0 100 0 0 0 0 0 0\n");
  await pass(0);
  files.files.set("/proc/stat", "cpu  400 0 0 600 0 0 0 0 0 0\n");
  files.space = Promise.resolve({ totalBytes: 1000, freeBytes: 400 });
  await pass(10_000);

  t.is(samples.length, 2);
  t.is(samples[0]?.cpuPercent, undefined);
  t.is(samples[0]?.tmpFreeBytes, undefined);
  t.like(samples[1], {
    ...{ intervalSeconds: 10, cpuCount: 4, cpuPercent: 37.5, cpuUserSeconds: 4 },
    ...{ tmpTotalBytes: 1000, tmpFreeBytes: 400 },
  });
  t.is(samples[1]?.hostname, undefined, "the envelope's");
});

test("a timer that fires a little early makes no second sample a moment later", async (t) => {
  const { clock, samples, pass } = sampling();
  await pass(0);
  clock.set(-1);

  await pass(10_000);
  await pass(10_000);
  t.deepEqual(samples.map(msOf), [0, 9_999]);
  await pass(1);

  t.deepEqual(samples.map(msOf), [0, 9_999, 20_000]);
});

for (const [way, setMs, next] of [
  ["back", -3_600_000, [-3_590_000, -3_580_000]],
  ["on", 3_600_000, [3_610_000, 3_620_000]],
] as const) {
  test(`a clock that is set ${way} neither stops the samples nor makes more of them`, async (t) => {
    const { clock, samples, pass } = sampling();
    await pass(0);
    clock.set(setMs);

    await pass(10_000);
    await pass(10_000);

    t.deepEqual(samples.map(msOf), [0, ...next]);
  });
}

test("while the filesystem does not answer no samples pile up", async (t) => {
  const { clock, files, samples, pass } = sampling();
  await pass(0);
  const answer = Promise.withResolvers<undefined>();
  files.space = answer.promise;

  await pass(35_000);
  await pass(65_000);
  t.is(clock.sleeping, 0);
  answer.resolve(undefined);
  await pass(0);
  await pass(10_000);

  t.deepEqual(samples.map(msOf), [0, 100_000, 110_000]);
});

test("an interval longer than any timer is waited for as long as a timer can", async (t) => {
  const { clock, pass } = sampling(1e9);

  await pass(0);

  t.deepEqual(clock.sleeps, [2 ** 31 - 1]);
});

test("a disposed sampler samples no more, not even what it was about to", async (t) => {
  const { clock, sampler, samples, pass } = sampling();
  await pass(0);
  await sampler[Symbol.asyncDispose]();
  t.is(clock.sleeping, 0);
  await pass(20_000);
  t.is(samples.length, 1);

  const answer = Promise.withResolvers<undefined>();
  const other = sampling();
  other.files.space = answer.promise;
  await other.sampler[Symbol.asyncDispose]();
  answer.resolve(undefined);
  await other.pass(0);

  t.deepEqual(other.samples, []);
});
