import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";

import type { Command } from "commander";

import { counted } from "../base/counted.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import { readLine, type ReadLine } from "../server/json-lines.js";
import { blockThread, SqliteWriter } from "../server/sinks/sqlite/writer.js";
import { jsonOf, printing } from "./data.js";
import { databaseOf } from "./database-option.js";
import { exitCodes } from "./exit-codes.js";
import { parseTimezone } from "./timezone-option.js";

interface ReplayOptions {
  readonly timezone?: string;
  readonly json: boolean;
}

/** Lines that are stored at once. */
const groupLines = 5_000;

/** Lines that could not be read, of which each is told; of the others the number. */
const toldFaults = 10;

export function addReplay(program: Command): void {
  program
    .command("replay")
    .summary("make a database of what the sink jsonl wrote")
    .description(
      "Store what `serve --sink jsonl=FILE` wrote in a database, a new one or one that has some of it: what it has is not " +
        "stored again. Its tables and its ledger are then those of the collector.",
    )
    .argument("<file...>", "files of JSON lines, the older first; those that end with .gz are unpacked")
    .option("--database <file>", "the SQLite file (required); made when it is missing")
    .option(
      "--timezone <name>",
      "zone of the times in Parsl's tables, as the collector was told (default: this machine's)",
      parseTimezone,
    )
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nExit codes: 0 all lines are stored, 1 failed, 2 bad options, 3 some lines are none, and are passed over.\n" +
        "\nExample:\n  parsl-collector replay messages.jsonl.1.gz messages.jsonl --database monitoring.db",
    )
    .action((files: readonly string[], options: ReplayOptions, command: Command) => {
      const database = databaseOf(command);
      return printing("replay", () => replay(files, database, options));
    });
}

async function replay(files: readonly string[], path: string, { json }: ReplayOptions): Promise<number> {
  const tell = (reason: string | undefined): void => {
    if (reason !== undefined) process.stderr.write(`parsl-collector replay: ${reason}; waiting\n`);
  };
  const writer = new SqliteWriter({ path, journalMode: "auto", durability: "normal" }, tell, blockThread);
  const replayed = { lines: 0, faults: 0 };
  try {
    for (const file of files) await replayFile(file, writer, replayed);
  } finally {
    writer.close();
  }
  const { lines, faults } = replayed;
  const passed = faults === 0 ? "" : `; ${counted(faults, "line")} passed over`;
  process.stdout.write(
    json
      ? `${jsonOf({ ...replayed, database: path })}\n`
      : `${counted(lines, "line")} stored in ${path}${passed}\n`,
  );
  return faults === 0 ? exitCodes.done : exitCodes.notComplete;
}

async function replayFile(
  file: string,
  writer: SqliteWriter,
  replayed: { lines: number; faults: number },
): Promise<void> {
  let group: ReadLine[] = [];
  // What was committed at one time was one commit, and is told of its senders as received then.
  const store = (): void => {
    const [first] = group;
    if (first === undefined) return;
    writer.store(group, first.committedAt);
    replayed.lines += group.length;
    group = [];
  };
  let number = 0;
  for await (const text of createInterface({ input: openText(file), crlfDelay: Infinity })) {
    number += 1;
    if (text === "") continue;
    try {
      const line = readLine(text);
      if (group.length >= groupLines || group[0]?.committedAt !== line.committedAt) store();
      group.push(line);
    } catch (cause) {
      replayed.faults += 1;
      if (replayed.faults > toldFaults) continue;
      process.stderr.write(
        `parsl-collector replay: ${file}:${String(number)} is no line of the sink: ${reasonOf(cause)}\n`,
      );
    }
  }
  store();
}

function openText(file: string): Readable {
  const bytes = createReadStream(file);
  const text = file.endsWith(".gz") ? bytes.pipe(createGunzip()) : bytes;
  // Whoever reads the lines is not told by readline.
  bytes.on("error", (cause) =>
    text.destroy(new CollectorError("invalid-argument", `read ${file}: ${reasonOf(cause)}`, { cause })),
  );
  return text;
}
