import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Option, type Command } from "commander";

import { counted, digits } from "../base/counted.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import { connect } from "../client/connect.js";
import type { Message } from "../client/message.js";
import { nowMicros, timestampOf } from "../model/time.js";
import { parseCount } from "./count.js";
import { jsonOf, printing, table } from "./data.js";
import { exitCodes } from "./exit-codes.js";
import { parseSeconds } from "./seconds.js";
import { withoutSettings } from "./settings.js";

interface BenchOptions {
  readonly directory: string;
  readonly seconds: number;
  readonly senders: number;
  readonly durability: string;
  readonly json: boolean;
}

/** How often the one who is timed sends, in ms: a busy sender, and a collector that has time. */
const pauseMs = 20;

/** Messages of one sender that are sent before the loop gives way to its answers. */
const burst = 500;

export function addBench(program: Command): void {
  program
    .command("bench")
    .summary("measure what a collector stores here, and how soon")
    .description(
      "Start a collector on a new file in a directory, send to it as much as it takes, and say how many messages a second " +
        "were durable, and how long one by one takes to be. The file is removed.",
    )
    .option("--directory <directory>", "where the file is to be: the disk decides", tmpdir())
    .option("--seconds <seconds>", "how long each part sends", parseSeconds, 5)
    .option("--senders <count>", "senders at one time", parseCount, 4)
    .addOption(new Option("--durability <mode>", "as of serve").choices(["full", "normal"]).default("full"))
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nThe senders run beside the collector, on the same cores. What the figures are compared with Parsl's own monitoring\n" +
        "is in docs/PERFORMANCE.md.\n" +
        "Exit codes: 0 done, 1 failed, 2 bad options.\n" +
        "\nExample:\n  parsl-collector bench --directory /scratch",
    )
    .action((options: BenchOptions) => printing("bench", () => measure(options)));
}

/** Messages that were on the disk at the end, and the time from the first to the last acknowledgement. */
interface Rate {
  readonly messages: number;
  readonly seconds: number;
  readonly perSecond: number;
}

async function measure(options: BenchOptions): Promise<number> {
  const directory = makeDirectory(resolve(options.directory));
  try {
    const collector = await startCollector(join(directory, "monitoring.db"), options.durability);
    try {
      const { address } = collector;
      const samples = await rateOf(address, options, sampleOf);
      const tasks = await rateOf(address, options, stateOf);
      const acknowledged = await latenciesOf(address, options.seconds);
      const figures = { ...options, samples, tasks, acknowledgedMs: acknowledged };
      process.stdout.write(options.json ? `${jsonOf(figures)}\n` : `${asText(figures)}\n`);
    } finally {
      await collector.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return exitCodes.done;
}

function makeDirectory(parent: string): string {
  try {
    return mkdtempSync(join(parent, "parsl-collector-bench-"));
  } catch (cause) {
    const reason = `${reasonOf(cause)}; name one that is there and that you may write to, by --directory`;
    throw new CollectorError("invalid-argument", `make a directory in ${parent}: ${reason}`, { cause });
  }
}

async function rateOf(
  address: string,
  { seconds, senders }: BenchOptions,
  messageOf: (index: number) => Message,
): Promise<Rate> {
  const runId = `bench-${String(nowMicros())}`;
  let sent = 0;
  const beganMs = performance.now();
  await Promise.all(
    Array.from({ length: senders }, async () => {
      await using client = connect({ address, runId });
      await client.send({ workflowStart: startNow() });
      while (performance.now() - beganMs < seconds * 1_000) {
        for (let one = 0; one < burst; one += 1) {
          const index = sent;
          sent += 1;
          await client.send(messageOf(index));
        }
      }
      await client.flush();
    }),
  );
  const took = (performance.now() - beganMs) / 1_000;
  return { messages: sent, seconds: took, perSecond: sent / took };
}

/** How long one message took to be on the disk, when nothing else was sent: in ms. */
async function latenciesOf(address: string, seconds: number): Promise<Record<"p50" | "p99", number>> {
  await using client = connect({ address, runId: `bench-${String(nowMicros())}` });
  await client.send({ workflowStart: startNow() });
  await client.flush();
  const took: number[] = [];
  const beganMs = performance.now();
  while (performance.now() - beganMs < seconds * 1_000) {
    const sentMs = performance.now();
    await client.send(sampleOf(took.length));
    await client.flush();
    took.push(performance.now() - sentMs);
    await sleep(pauseMs);
  }
  took.sort((a, b) => a - b);
  const at = (share: number): number => took[Math.floor(took.length * share)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

function sampleOf(index: number): Message {
  return {
    resourceInfo: {
      taskId: index % 1_000,
      tryId: 0,
      timestamp: timestampOf(nowMicros() + index),
      psutilProcessMemoryResident: 70_000_000,
      psutilProcessTimeUser: index / 100,
      psutilProcessTimeSystem: 0.5,
      psutilProcessStatus: "sleeping",
    },
  };
}

/** Four states of each task. */
function stateOf(index: number): Message {
  const states = ["pending", "launched", "running", "exec_done"];
  return {
    taskInfo: {
      taskId: Math.floor(index / states.length),
      tryId: 0,
      timestamp: timestampOf(nowMicros() + index),
      taskStatusName: states[index % states.length],
      taskFuncName: "simulate",
      taskMemoize: false,
      taskFailCount: 0,
      taskFailCost: 0,
      taskTimeInvoked: timestampOf(nowMicros()),
      taskExecutor: "htex",
      tasksFailedCount: 0,
      tasksCompletedCount: 0,
      taskInputs: "None",
      taskOutputs: "None",
      taskStdout: "",
      taskStderr: "",
      taskFailHistory: "",
      taskDepends: "",
    },
  };
}

function startNow() {
  return {
    timeBegan: timestampOf(nowMicros()),
    workflowName: "bench",
    rundir: "",
    tasksCompletedCount: 0,
    tasksFailedCount: 0,
    user: "",
    host: "",
  };
}

interface Started {
  readonly address: string;
  stop(): Promise<void>;
}

async function startCollector(database: string, durability: string): Promise<Started> {
  const main = fileURLToPath(new URL("./main.js", import.meta.url));
  const options = ["--database", database, "--durability", durability, "--log-level", "error"];
  const child = spawn(process.execPath, [main, "serve", ...options, "--exit-with-parent"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: withoutSettings(process.env), // of `serve`, which are for a collector of the user's
  });
  const ended = once(child, "close");
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { address } = JSON.parse(line) as { readonly address: string };
      return {
        address,
        stop: async () => {
          child.kill();
          await ended;
        },
      };
    }
  } catch (cause) {
    throw new CollectorError("internal", `start a collector: ${reasonOf(cause)}`, { cause });
  }
  throw new CollectorError(
    "internal",
    "start a collector: it ended before it was ready; its reason is above",
  );
}

function asText({
  directory,
  durability,
  senders,
  samples,
  tasks,
  acknowledgedMs: { p50, p99 },
}: BenchOptions & {
  readonly samples: Rate;
  readonly tasks: Rate;
  readonly acknowledgedMs: Record<"p50" | "p99", number>;
}): string {
  const line = (name: string, { messages, perSecond }: Rate): string[] => [
    name,
    digits(messages),
    digits(Math.round(perSecond)),
  ];
  return [
    `${counted(senders, "sender")} to a file in ${directory}, durability ${durability}`,
    table(["messages of", "stored", "a second"], [line("resource use", samples), line("task states", tasks)]),
    `one by one: on the disk after ${p50.toFixed(1)} ms (median), ${p99.toFixed(1)} ms (99 of 100)`,
  ].join("\n");
}
