import { spawn } from "node:child_process";
import { once } from "node:events";

import { SystemProc } from "../src/agent/proc.js";
import { Sampler } from "../src/agent/sampler.js";
import type { Clock } from "../src/base/clock.js";

/** Prints what the agent's sampler costs: CPU of one pass over the tries that are due, and of one try's end.
 *  `node build/bench/sampler.js` */

const rounds = 50;

/** A clock whose time comes when the bench says so. */
class StepClock implements Clock {
  #nowMs = 0;
  #wake: (() => void) | undefined;

  nowMs(): number {
    return this.#nowMs;
  }

  sleep(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  async step(ms: number): Promise<void> {
    this.#nowMs += ms;
    this.#wake?.();
    await new Promise(setImmediate);
  }
}

/** CPU of this process in us while `act` ran. */
async function cpuOf(act: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** Idle Python workers of three threads, as the HighThroughputExecutor has. */
async function startWorkers(count: number): Promise<{ pids: number[]; stop: () => Promise<unknown> }> {
  const program = [
    "import os, sys, threading, time",
    `for _ in range(${String(count)}):`,
    "    pid = os.fork()",
    "    if pid == 0:",
    "        for _ in range(2): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "        sys.stdin.buffer.raw.read(1)",
    "        os._exit(0)",
    "    print(pid)",
    "print('end', flush=True)",
    "sys.stdin.buffer.raw.read(1)",
  ].join("\n");
  const python = spawn("python3", ["-c", program], { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  while (!text.includes("end")) text += String(((await once(python.stdout, "data")) as [Buffer])[0]);
  return {
    pids: text.split("\n").slice(0, count).map(Number),
    stop: () => {
      python.stdin.end();
      return once(python.stdout, "close"); // every worker holds it open
    },
  };
}

for (const [processes, tries] of [
  [128, 1],
  [128, 16],
  [128, 128],
  [1000, 16],
  [1000, 128],
] as const) {
  const workers = await startWorkers(processes);
  const clock = new StepClock();
  const proc = new SystemProc();
  let samples = 0;
  await using sampler = new Sampler({ clock, proc, onSample: () => (samples += 1) });
  const watched = workers.pids
    .slice(0, tries)
    .map((pid, taskId) => ({ runId: "run", taskId, tryId: 0, hostname: "node", pid, intervalSeconds: 1 }));
  for (const one of watched) sampler.watch(one);
  await clock.step(200); // the first pass is slower: nothing is compiled yet
  samples = 0;

  const passUs = await cpuOf(async () => {
    for (let round = 0; round < rounds; round += 1) await clock.step(1000);
  });
  const passSamples = samples;
  const endUs = await cpuOf(() => {
    for (const one of watched) sampler.end(one);
  });

  const all = proc.pids().length;
  await workers.stop();

  console.log(
    `${String(tries)} tries, ${String(all)} processes: ` +
      `${(passUs / rounds).toFixed(0)} us a pass (${(passSamples / rounds).toFixed(0)} samples), ` +
      `${(endUs / tries).toFixed(0)} us an end`,
  );
}
