import test from "ava";
import fc from "fast-check";

import { Sampler, type WatchedTry } from "../../src/agent/sampler.js";
import { CollectorError } from "../../src/base/errors.js";
import type { ResourceInfo } from "../../src/model/messages.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeProc } from "../support/fake-proc.js";

const pid = 100;
const one: WatchedTry = {
  runId: "run",
  taskId: 1,
  tryId: 0,
  hostname: "node-1",
  pid,
  intervalSeconds: 1,
};

/** A sampler of a fake host with a worker, and what it has said. */
function watching(watched: Partial<WatchedTry> = {}, proc = new FakeProc()) {
  const clock = new FakeClock();
  const samples: Partial<ResourceInfo>[] = [];
  const warnings: string[] = [];
  const sampler = new Sampler({
    clock,
    proc,
    onWarning: ({ message }) => warnings.push(message),
    onSample: (message) => {
      if ("resourceInfo" in message) samples.push(message.resourceInfo);
    },
  });
  const worker = proc.add({ pid });
  sampler.watch({ ...one, ...watched });
  /** Lets `ms` pass in steps that no look is longer than, and each step's timers do their work. */
  const pass = async (ms: number, stepMs = 100) => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(stepMs);
      await new Promise(setImmediate);
    }
  };
  return { clock, proc, sampler, samples, warnings, worker, pass };
}

/** Microseconds of a sample's time. */
function microsOf({ timestamp }: Partial<ResourceInfo>): bigint {
  return (timestamp?.seconds ?? 0n) * 1_000_000n + BigInt((timestamp?.nanos ?? 0) / 1000);
}

test("a try is sampled at its begin, at every interval, and at its end", async (t) => {
  const { sampler, samples, pass } = watching();

  await pass(3200);
  sampler.end(one);
  await pass(2000);

  t.deepEqual(samples.map(microsOf), [100_000n, 1_100_000n, 2_100_000n, 3_100_000n, 3_200_000n]);
  t.is(sampler.watched, 0);
});

test("a sample has the fields of Parsl's monitor, in its units", (t) => {
  const { proc, sampler, samples } = watching();
  proc.add({
    ...{ pid, userTicks: 150, systemTicks: 50, voluntary: 7, involuntary: 2 },
    ...{ residentBytes: 100, readBytes: 10, writtenBytes: 20 },
  });
  proc.add({
    ...{ pid: 101, parentPid: pid, userTicks: 25, systemTicks: 5, voluntary: 1, involuntary: 1 },
    ...{ residentBytes: 50, readBytes: 1, writtenBytes: 2 },
  });

  sampler.end(one);

  t.deepEqual(samples, [
    {
      runId: "run",
      taskId: 1,
      tryId: 0,
      hostname: "node-1",
      timestamp: { seconds: 0n, nanos: 1000 },
      resourceMonitoringInterval: 1,
      psutilProcessPid: pid,
      psutilProcessMemoryPercent: 15,
      psutilProcessChildrenCount: 1,
      psutilProcessTimeUser: 1.75,
      psutilProcessTimeSystem: 0.55,
      psutilProcessMemoryVirtual: 300,
      psutilProcessMemoryResident: 150,
      psutilProcessDiskRead: 11,
      psutilProcessDiskWrite: 22,
      psutilProcessStatus: "sleeping",
      psutilCpuNum: 3,
      psutilProcessNumCtxSwitchesVoluntary: 8,
      psutilProcessNumCtxSwitchesInvoluntary: 3,
      psutilCpuCount: 4,
      psutilProcessCpuNum: 3,
      psutilProcessCreateTime: 1,
      psutilProcessNice: 0,
      psutilProcessName: "python",
      psutilProcessNumThreads: 2,
      psutilProcessPpid: 1,
    },
  ]);
});

test("an interval of 0 gives the final sample alone, and starts no timer", async (t) => {
  const { clock, sampler, samples, pass } = watching({ intervalSeconds: 0 });

  await pass(10_000, 1000);
  t.deepEqual(clock.sleeps, []);
  t.is(samples.length, 0);
  sampler.end(one);

  t.is(samples.length, 1);
});

test("a second end of a try gives no second final sample", (t) => {
  const { sampler, samples } = watching();

  sampler.end(one);
  sampler.end(one);

  t.is(samples.length, 1);
});

test("tries of one process that are told of together have one reading of it, and a sample each", (t) => {
  const { sampler, samples, proc } = watching();
  const tries = Array.from({ length: 50 }, (_, n) => ({ ...one, taskId: 100 + n }));
  const before = proc.stats;

  sampler.together(() => {
    for (const each of tries) {
      sampler.watch(each);
      sampler.end(each);
    }
  });
  t.is(proc.stats - before, 1);
  t.is(samples.length, 50);

  sampler.end(one);
  t.is(proc.stats - before, 2, "the next moment has a reading of its own");
});

test("samples stay on the try's own seconds however late the passes are", async (t) => {
  const { samples, pass } = watching();

  await pass(70_000, 700);

  const lateMs = samples.map((sample, n) => Number(microsOf(sample)) / 1000 - n * 1000);
  t.is(samples.length, 70);
  t.true(Math.max(...lateMs) <= 800, String(Math.max(...lateMs)));
});

test("after a stop of the host one sample is taken, not one for each interval that it slept", async (t) => {
  const { clock, samples, pass } = watching();
  await pass(200);

  clock.advance(3_600_000);
  await pass(700);

  t.is(samples.length, 2);
});

test("a clock that is set back an hour stops no samples, and their times still grow", async (t) => {
  const { clock, samples, pass } = watching();
  clock.advance(7_200_000);
  await pass(1000);
  const before = samples.length;

  clock.set(clock.nowMs() - 3_600_000);
  await pass(3000);

  t.true(samples.length >= before + 2, String(samples.length - before));
  t.deepEqual(samples.map(microsOf), [...new Set(samples.map(microsOf))].sort(ascending));
});

test("one pass serves all tries that are due about the same time", async (t) => {
  const { proc, sampler, samples, pass } = watching();
  for (let n = 1; n < 128; n += 1) {
    proc.add({ pid: pid + n });
    sampler.watch({ ...one, taskId: 1 + n, pid: pid + n });
  }

  await pass(1000);

  t.is(samples.length, 128);
  t.is(proc.listings, 1);
});

test("no two samples of a try have the same time, also within one ms", (t) => {
  const { sampler, samples } = watching();

  for (let n = 0; n < 5; n += 1) {
    sampler.end(one);
    sampler.watch(one);
  }

  t.is(new Set(samples.map(microsOf)).size, 5);
});

for (const tellsChildren of [true, false]) {
  const kernel = tellsChildren ? "" : ", on a kernel that tells no children";

  test(`times and context switches keep what a child had when it ended${kernel}`, async (t) => {
    const { proc, sampler, samples, pass } = watching({}, new FakeProc({ tellsChildren }));
    proc.add({
      ...{ pid: 101, parentPid: pid, userTicks: 300 },
      systemTicks: 200,
      voluntary: 9,
      involuntary: 4,
    });
    await pass(200);

    proc.processes.delete(101);
    sampler.end(one);

    const last = samples.at(-1);
    t.is(last?.psutilProcessChildrenCount, 0);
    t.is(last?.psutilProcessTimeUser, 3);
    t.is(last?.psutilProcessTimeSystem, 2);
    t.is(last?.psutilProcessNumCtxSwitchesVoluntary, 9);
    t.is(last?.psutilProcessNumCtxSwitchesInvoluntary, 4);
  });

  test(`grandchildren count, and processes of others do not${kernel}`, (t) => {
    const { proc, sampler, samples } = watching({}, new FakeProc({ tellsChildren }));
    proc.add({ pid: 101, parentPid: pid, userTicks: 100 });
    proc.add({ pid: 102, parentPid: 101, userTicks: 100 });
    proc.add({ pid: 103, parentPid: 1, userTicks: 100 });

    sampler.end(one);

    t.is(samples[0]?.psutilProcessChildrenCount, 2);
    t.is(samples[0]?.psutilProcessTimeUser, 2);
  });
}

test("at an interval of 30 s the children are looked at every 5 s, and sampled every 30 s", async (t) => {
  const { proc, samples, pass } = watching({ intervalSeconds: 30 });
  await pass(6000, 500);
  proc.add({ pid: 101, parentPid: pid, userTicks: 700 });
  await pass(6000, 500);
  proc.processes.delete(101);

  await pass(20_000, 500);

  t.is(samples.length, 2);
  t.is(samples[1]?.psutilProcessTimeUser, 7);
});

test("a pid that comes again is another child: both count", async (t) => {
  const { proc, sampler, samples, pass } = watching();
  proc.add({ pid: 101, parentPid: pid, started: 200, userTicks: 500 });
  await pass(200);

  proc.add({ pid: 101, parentPid: pid, started: 300, userTicks: 100 });
  sampler.end(one);

  t.is(samples.at(-1)?.psutilProcessTimeUser, 6);
});

test("a process that leaves the tree and comes back counts once", async (t) => {
  const { proc, sampler, samples, pass } = watching();
  const child = proc.add({ pid: 101, parentPid: pid, userTicks: 500 });
  await pass(200);
  child.parentPid = 1;
  await pass(1000);
  t.is(samples.at(-1)?.psutilProcessTimeUser, 5);
  child.parentPid = pid;

  sampler.end(one);

  t.is(samples.at(-1)?.psutilProcessTimeUser, 5);
});

test("a pid of a worker that has become another's ends the try's samples", async (t) => {
  const { proc, sampler, samples, pass } = watching();
  await pass(200);

  proc.add({ pid, started: 5000 });
  await pass(2000);
  sampler.end(one);

  t.is(samples.length, 1);
  t.is(sampler.watched, 0);
});

test("a look between two samples that finds the process gone forgets the try", async (t) => {
  const { proc, sampler, pass } = watching({ intervalSeconds: 30 });
  await pass(1000, 500);

  proc.processes.delete(pid);
  await pass(5000, 500);

  t.is(sampler.watched, 0);
});

test("a process older than the worker is not its child, and a ring of parents ends", (t) => {
  const { proc, sampler, samples, worker } = watching();
  proc.add({ pid: 50, parentPid: pid, started: pid - 1 });
  proc.add({ pid: 101, parentPid: pid });
  worker.parentPid = 101;

  sampler.end(one);

  t.is(samples[0]?.psutilProcessChildrenCount, 1);
});

test("a try whose process is gone has no final sample", (t) => {
  const { proc, sampler, samples } = watching();

  proc.processes.delete(pid);
  sampler.end(one);

  t.deepEqual(samples, []);
});

test("a try of a process that was gone before it was told is not watched", (t) => {
  const { sampler, samples } = watching({ pid: 4711 });

  t.is(sampler.watched, 0);
  sampler.end(one);
  t.deepEqual(samples, []);
});

test("while nothing can be read samples are left out, with one warning, and no try ends by it", async (t) => {
  const { proc, sampler, samples, warnings, pass } = watching();
  await pass(200);

  proc.fault = new CollectorError("exhausted", "too many open files");
  await pass(2000);
  sampler.prune();
  sampler.watch(one);
  sampler.watch({ ...one, tryId: 1 });
  proc.fault = undefined;
  await pass(1000);

  t.deepEqual(samples.map(microsOf), [100_000n, 3_100_000n]);
  t.deepEqual(warnings, ["too many open files"]);
});

test("on a system that shows no processes that is said once, and not for a process that is gone", (t) => {
  const { proc, sampler, warnings } = watching();
  proc.add({ pid: process.pid });
  sampler.watch({ ...one, pid: 4711 });
  t.deepEqual(warnings, []);

  proc.processes.clear();
  sampler.watch(one);
  sampler.watch({ ...one, taskId: 2 });

  t.deepEqual(warnings, [
    "sample the processes of tasks: /proc does not show even this one; no task is sampled here",
  ]);
});

test("a try that is told again of the same process goes on, with what its children had", async (t) => {
  const { proc, sampler, samples, pass } = watching();
  proc.add({ pid: 101, parentPid: pid, userTicks: 300 });
  await pass(200);
  proc.processes.delete(101);

  sampler.watch(one);
  sampler.end(one);

  t.is(samples.at(-1)?.psutilProcessTimeUser, 3);
});

test("a try that is told of another process is sampled there", (t) => {
  const { proc, sampler, samples } = watching();
  proc.add({ pid: 200, started: pid });

  sampler.watch({ ...one, pid: 200 });
  sampler.end(one);

  t.deepEqual(
    samples.map((sample) => sample.psutilProcessPid),
    [200],
  );
});

test("disk fields are NULL where the worker's or a child's counters must not be read, and nothing else is", (t) => {
  for (const secret of [pid, 101]) {
    const { proc, sampler, samples } = watching();
    proc.add({ pid: 101, parentPid: pid, readBytes: 5, writtenBytes: 5 });
    const process = proc.processes.get(secret);
    if (process !== undefined) process.tellsIo = false;

    sampler.end(one);

    t.is(samples[0]?.psutilProcessDiskRead, undefined);
    t.is(samples[0]?.psutilProcessDiskWrite, undefined);
    t.is(samples[0]?.psutilProcessChildrenCount, 1);
  }
});

test("a child that ends between being found and being read is left out, and NULLs nothing", (t) => {
  const { proc, sampler, samples } = watching();
  proc.add({ pid: 101, parentPid: pid, userTicks: 100, isVanishing: true });
  proc.add({ pid: 102, parentPid: pid, userTicks: 100, readBytes: 3 });

  sampler.end(one);

  t.is(samples[0]?.psutilProcessChildrenCount, 1);
  t.is(samples[0]?.psutilProcessTimeUser, 1);
  t.is(samples[0]?.psutilProcessDiskRead, 3);
});

test("a worker that ends between being found and being read gives no sample", (t) => {
  const { sampler, samples, worker } = watching();
  worker.isVanishing = true;

  sampler.end(one);

  t.deepEqual(samples, []);
});

test("800 children of a task all count", async (t) => {
  const { proc, samples, pass } = watching();
  for (let n = 0; n < 800; n += 1)
    proc.add({ pid: 1000 + n, parentPid: pid, userTicks: 10, residentBytes: 1 });

  await pass(200);

  t.is(samples[0]?.psutilProcessChildrenCount, 800);
  t.is(samples[0]?.psutilProcessTimeUser, 80);
  t.is(samples[0]?.psutilProcessMemoryResident, 800);
});

test("a disposed sampler samples no more", async (t) => {
  const { clock, sampler, samples, pass } = watching();

  await sampler[Symbol.asyncDispose]();
  t.is(clock.sleeping, 0);
  await pass(2000);

  t.deepEqual(samples, []);
});

/** What may happen to the children between two samples. */
const event = fc.oneof(
  fc.record({
    kind: fc.constant("fork" as const),
    pid: fc.integer({ min: 101, max: 108 }),
    under: fc.nat(8),
  }),
  fc.record({
    kind: fc.constant("end" as const),
    pid: fc.integer({ min: 101, max: 108 }),
    isReaped: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("work" as const),
    pid: fc.integer({ min: 100, max: 108 }),
    amount: fc.nat(50),
  }),
  fc.record({ kind: fc.constant("look" as const) }),
);

test("no total ever falls, whatever children come, work, end and leave", async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 60, size: "max" }),
      fc.boolean(),
      async (events, tellsChildren) => {
        const { proc, sampler, samples, pass } = watching({}, new FakeProc({ tellsChildren }));
        let worked = 0;
        let started = 1000;
        for (const happens of [...events, { kind: "look" as const }]) {
          if (happens.kind === "look") {
            await pass(1000, 500);
            continue;
          }
          const process = proc.processes.get(happens.pid);
          if (happens.kind === "fork" && process === undefined) {
            const parentPid = proc.processes.has(pid + happens.under) ? pid + happens.under : pid;
            proc.add({ pid: happens.pid, parentPid, started: started++ });
          } else if (happens.kind === "end" && process !== undefined) {
            proc.processes.delete(happens.pid);
            for (const other of proc.processes.values())
              if (other.parentPid === happens.pid) other.parentPid = 1;
            const parent = proc.processes.get(process.parentPid);
            if (happens.isReaped && parent !== undefined) {
              parent.readBytes += process.readBytes;
              parent.writtenBytes += process.writtenBytes;
            }
          } else if (happens.kind === "work" && process !== undefined) {
            worked += happens.amount;
            for (const key of totals) process[key] += happens.amount;
          }
        }
        sampler.end(one);

        for (const field of totalFields) {
          const values = samples.map((sample) => sample[field] ?? NaN);
          t.deepEqual(values, [...values].sort(ascending), field);
          const unit = field.includes("Time") ? 0.01 : 1;
          t.true((values.at(-1) ?? NaN) <= worked * unit + 1e-9, `${field} counts something twice`);
        }
      },
    ),
  );
});

const totals = ["userTicks", "systemTicks", "voluntary", "involuntary", "readBytes", "writtenBytes"] as const;

const totalFields = [
  "psutilProcessTimeUser",
  "psutilProcessTimeSystem",
  "psutilProcessNumCtxSwitchesVoluntary",
  "psutilProcessNumCtxSwitchesInvoluntary",
  "psutilProcessDiskRead",
  "psutilProcessDiskWrite",
] as const;

function ascending(one: number | bigint, other: number | bigint): number {
  return Number(one) - Number(other);
}
