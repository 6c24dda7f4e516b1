import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import type Database from "better-sqlite3";
import { createLogUpdate } from "log-update";
import { Option, type Command } from "commander";

import { nowMicros } from "../model/time.js";
import { isTemporary } from "../server/sinks/sqlite/file.js";
import {
  NewRows,
  storedKinds,
  type StoredKind,
  type StoredMessage,
} from "../server/sinks/sqlite/new-rows.js";
import { OverviewReader } from "../server/sinks/sqlite/overview.js";
import { openForReading } from "../server/sinks/sqlite/reading.js";
import { subscribe } from "../radios/grpc/subscriber.js";
import { addClientAccess, readClientAccess, type ClientAccessOptions } from "./access-options.js";
import { committedMessage } from "./committed-message.js";
import { printing } from "./data.js";
import { fileOf } from "./database-option.js";
import { exitCodes } from "./exit-codes.js";
import { parseSeconds } from "./seconds.js";
import { View } from "./tail-view.js";
import { parseTimezone } from "./timezone-option.js";

interface TailOptions extends ClientAccessOptions {
  readonly collector?: string;
  readonly position?: string;
  readonly run?: string;
  readonly kind: readonly StoredKind[];
  readonly view: boolean;
  readonly fromStart: boolean;
  readonly once: boolean;
  readonly interval: number;
  readonly json: boolean;
}

/** Characters of lines that are written at once. */
const chunkLength = 64 * 1024;

export function addTail(program: Command): void {
  addClientAccess(program.command("tail"))
    .summary("messages as they are committed, or a view of what goes on")
    .description(
      "Read the file that a collector writes, or ask a collector, and print messages as they are committed, a line each; " +
        "or, with --view, one screen that is kept up to date: runs, tasks by state, rate, lag, losses.",
    )
    .option("--database <file>", "the file that the collector writes")
    .option(
      "--collector <host:port>",
      "the collector itself, from wherever it can be reached; not with --view",
    )
    .option(
      "--position <position>",
      "with --collector: go on behind the last line that had this position (--json tells it)",
    )
    .option("--run <id>", "this run only")
    .addOption(
      new Option("--kind <kind...>", "messages of these kinds only").choices(storedKinds).default([], "all"),
    )
    .option("--from-start", "also what is in the file already, or what the collector keeps", false)
    .option("--view", "the screen in place of the lines", false)
    .option("--once", "print what is in the file, or the screen, and end", false)
    .option("--interval <seconds>", "how often to look whether something was committed", parseSeconds, 1)
    .option(
      "--timezone <name>",
      "zone of the times in Parsl's tables, as the collector was told; for the lag (default: this machine's)",
      parseTimezone,
    )
    .option("--json", "print one JSON object a line", false)
    .addHelpText(
      "after",
      "\nA line: time, kind, run, task.try, state, host, more. Ends with Ctrl-C.\n" +
        "Exit codes: 0 done, 1 the file cannot be read, 2 bad options.\n" +
        "\nExamples:\n  parsl-collector tail --database runinfo/monitoring.db --view\n" +
        "  parsl-collector tail --database runinfo/monitoring.db --kind TASK_INFO --json | jq .state\n" +
        "  parsl-collector tail --collector head:7000 --token-file token --kind TASK_INFO",
    )
    .action((options: TailOptions, command: Command) => {
      const { collector } = options;
      if (collector !== undefined) {
        if (options.view || options.once) {
          command.error("error: --view and --once read a file: give --database in place of --collector");
        }
        return printing("tail", () => tailCollector(collector, options));
      }
      const database = fileOf(command);
      return printing("tail", () => tail(database, options));
    });
}

/** Prints what a collector commits. */
async function tailCollector(address: string, options: TailOptions): Promise<number> {
  const { signal } = endBySignals();
  const { run, kind, position, fromStart, json } = options;
  const responses = subscribe({
    ...{ address, signal, position, fromOldest: fromStart },
    ...readClientAccess(options),
    runIds: run === undefined ? [] : [run],
    // Of which kind a rejected message is only it tells.
    kinds: kind.includes("REJECTED") ? [] : kind,
  });
  for await (const response of responses) {
    const told = response.messages
      .map(committedMessage)
      .filter((one) => kind.length === 0 || kind.includes(one.kind));
    const lineOf = (one: StoredMessage): string =>
      json ? JSON.stringify({ ...asJson(one), position: response.position }) : asLine(one);
    await print(told.map((one) => `${lineOf(one)}\n`).join(""));
  }
  return exitCodes.done;
}

function endBySignals(): AbortController {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => stop.abort());
  process.stdout.on("error", () => process.exit(exitCodes.done)); // whoever read has seen enough
  return stop;
}

async function tail(path: string, options: TailOptions): Promise<number> {
  const stop = endBySignals();
  const db = openForReading(path);
  try {
    await (options.view ? followView : followLines)(db, options, stop.signal);
  } finally {
    db.close();
  }
  return exitCodes.done;
}

async function followLines(db: Database.Database, options: TailOptions, signal: AbortSignal): Promise<void> {
  const { run: runId = "", kind, json } = options;
  const rows = new NewRows(db, {
    runId,
    kinds: kind.length > 0 ? kind : storedKinds,
    fromStart: options.fromStart || options.once,
  });
  let seen: unknown;
  await repeat(options, signal, async () => {
    const version: unknown = db.pragma("data_version", { simple: true }); // another after each commit
    if (version === seen) return;
    let text = "";
    try {
      for (const message of rows.read()) {
        text += `${json ? JSON.stringify(asJson(message)) : asLine(message)}\n`;
        if (text.length < chunkLength) continue;
        await print(text);
        text = "";
        if (signal.aborted) return;
      }
      seen = version;
    } finally {
      await print(text);
    }
  });
}

async function followView(db: Database.Database, options: TailOptions, signal: AbortSignal): Promise<void> {
  const reader = new OverviewReader(db, options.run ?? "");
  const view = new View();
  const isScreen = process.stdout.isTTY && !options.json && !options.once;
  const redraw = createLogUpdate(process.stdout);
  await repeat(options, signal, async () => {
    view.update(reader.read(nowMicros() / 1000), performance.now());
    if (options.json) await print(`${JSON.stringify(view.asJson())}\n`);
    else if (isScreen) redraw(view.asText(process.stdout.rows));
    else await print(`${view.asText()}\n`);
  });
  if (isScreen) redraw.done();
}

/** Looks again and again until it is told to end. A file that another keeps locked is looked at again later. */
async function repeat(
  { once: isOnce, interval }: TailOptions,
  signal: AbortSignal,
  look: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const isDone = await look().then(
      () => true,
      (cause: unknown) => {
        if (isTemporary(cause)) return false;
        throw cause;
      },
    );
    if (isOnce && isDone) return;
    await sleep(interval * 1_000, undefined, { signal }).catch(() => undefined); // told to end
  }
}

async function print(text: string): Promise<void> {
  if (text !== "" && !process.stdout.write(text)) await once(process.stdout, "drain");
}

function asJson({ kind, time, runId, taskId, tryId, state, hostname, row }: StoredMessage): object {
  return {
    ...{ time, kind, run: runId, task: taskId ?? null, try: tryId ?? null },
    ...{ state: state ?? null, host: hostname ?? null, row },
  };
}

function asLine({ kind, time, runId, taskId, tryId, state, hostname, detail }: StoredMessage): string {
  const task = taskId === undefined ? "" : `${String(taskId)}.${String(tryId ?? 0)}`;
  return [
    time.slice(0, 23),
    kind.padEnd(16),
    (runId ?? "").slice(0, 8).padEnd(8),
    task.padStart(8),
    (state ?? "").padEnd(13),
    (hostname ?? "").padEnd(12),
    (detail ?? "").replaceAll(/\s+/g, " "),
  ]
    .join("  ")
    .trimEnd();
}
