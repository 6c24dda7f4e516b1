import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import test from "ava";

import { parseStat, SystemProc } from "../../src/agent/proc.js";
import { Sampler } from "../../src/agent/sampler.js";
import { systemClock } from "../../src/base/clock.js";
import type { ResourceInfo } from "../../src/model/messages.js";
import type { Scope } from "../support/scope.js";
import { waitUntil } from "../support/wait.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

type Figures = Partial<Record<keyof ResourceInfo, number | string>>;

/** Python with processes to measure; the figures that psutil has of them come line by line. */
function startBurner(t: Scope) {
  const python = spawn(join(root, ".venv", "bin", "python"), [join(root, "tests", "agent", "burner.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => python.stdin.end());
  const lines = createInterface(python.stdout)[Symbol.asyncIterator]();
  return {
    figures: async () => JSON.parse((await lines.next()).value ?? "{}") as Figures,
    goOn: () => python.stdin.write("\n"),
  };
}

/** The figures that are not psutil's, with both. Figures of use may differ by 5 %. */
function differences(psutil: Figures, ours: Partial<ResourceInfo>): string[] {
  return Object.entries(psutil).flatMap(([name, theirs]) => {
    const value = ours[name as keyof ResourceInfo];
    const isSame = typeof theirs === "string" ? value === theirs : isNear(Number(value), theirs);
    return isSame ? [] : [`${name}: psutil ${String(theirs)}, here ${JSON.stringify(value)}`];
  });
}

function isNear(one: number, other: number): boolean {
  return Math.abs(one - other) <= Math.abs(other) * 0.05;
}

class ProcWithoutChildren extends SystemProc {
  override readonly tellsChildren = false;
}

for (const [kernel, proc] of [
  ["", new SystemProc()],
  [", on a kernel that tells no children", new ProcWithoutChildren()],
] as const) {
  test.serial(`a sample is what psutil says of the same processes at the same moment${kernel}`, async (t) => {
    const samples: Partial<ResourceInfo>[] = [];
    await using sampler = new Sampler({
      clock: systemClock,
      proc,
      onSample: (message) => {
        if ("resourceInfo" in message) samples.push(message.resourceInfo);
      },
    });
    const burner = startBurner(t);
    const one = { runId: "run", taskId: 0, tryId: 0, hostname: "node-1", intervalSeconds: 60 };

    const withTwo = await burner.figures();
    sampler.watch({ ...one, pid: Number(withTwo.psutilProcessPid) });
    const first = await waitUntil("a sample is there", () => samples[0]);
    burner.goOn();
    const withOne = await burner.figures();
    sampler.end(one);
    const last = samples.at(-1) ?? {};

    t.deepEqual(differences(withTwo, first), []);
    t.deepEqual(differences(withOne, last), []);
    t.is(first.psutilProcessChildrenCount, 2);
    t.is(last.psutilProcessChildrenCount, 1);
    t.true((last.psutilProcessTimeUser ?? 0) + (last.psutilProcessTimeSystem ?? 0) >= 0.9);
    t.true(
      (last.psutilProcessDiskWrite ?? 0) >= 80 * 1024 * 1024,
      "what an ended child wrote is its parent's",
    );
    t.log(withTwo, first);
  });
}

test("a program's name may hold blanks, brackets and what looks like fields", (t) => {
  const fields = ["S", ...Array.from({ length: 49 }, (_, n) => String(n + 4))].join(" ");

  const stat = parseStat(`42 (a) R 1 (b c) ${fields}\n`);

  t.is(stat?.name, "a) R 1 (b c");
  t.is(stat?.status, "sleeping");
  t.is(stat?.parentPid, 4);
  t.is(stat?.started, 22);
  t.is(stat?.cpu, 39);
});

test("a process that is not there is undefined in every file, and without children", (t) => {
  const proc = new SystemProc();
  const gone = 2 ** 22 + 1; // above the kernel's highest pid

  t.is(proc.stat(gone), undefined);
  t.is(proc.memory(gone), undefined);
  t.is(proc.switches(gone), undefined);
  t.is(proc.io(gone), undefined);
  t.deepEqual(proc.childPids(gone), []);
});
