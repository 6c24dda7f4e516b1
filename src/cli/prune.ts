import { Option, type Command } from "commander";

import { counted, digits } from "../base/counted.js";
import { compact, type Compacted } from "../server/sinks/sqlite/compact.js";
import { defaultKeepLedgerMs, openForPruning, prune, type Pruned } from "../server/sinks/sqlite/prune.js";
import { parseAge } from "./age.js";
import { jsonOf, printing, table } from "./data.js";
import { fileOf } from "./database-option.js";
import { exitCodes } from "./exit-codes.js";
import { parseSeconds } from "./seconds.js";
import { parseTimezone } from "./timezone-option.js";

interface PruneCommandOptions {
  readonly olderThan?: number;
  readonly run: readonly string[];
  readonly thinSamples?: number;
  readonly keepRejected: boolean;
  readonly keepLedger: number;
  readonly dryRun: boolean;
  readonly compact: boolean;
  readonly json: boolean;
}

export function addPrune(program: Command): void {
  program
    .command("prune")
    .summary("remove old runs, or thin their samples")
    .description(
      "Remove runs that ended, or that were lost, some time ago, or thin their samples; then give the space back. A run " +
        "that is still running is never touched. A collector may be writing to the file meanwhile.",
    )
    .option("--database <file>", "the file that the collector writes (required)")
    .option(
      "--older-than <age>",
      "how long ago a run must have ended, or been heard of last: 12h, 30d, 2w (required)",
      parseAge,
    )
    .addOption(
      new Option("--run <id...>", "these runs only, and nothing that belongs to no run").default([], "all"),
    )
    .option(
      "--thin-samples <seconds>",
      "remove samples only: of each try and node the first and the last stay, and one each so many seconds",
      parseSeconds,
    )
    .option("--keep-rejected", "keep the rejected messages of the runs that go", false)
    .addOption(
      new Option(
        "--keep-ledger <age>",
        "how long after its last message a sender is remembered; so long, what it sends again is not taken for new",
      )
        .argParser(parseAge)
        .default(defaultKeepLedgerMs, "90d"),
    )
    .option("--dry-run", "print what would go, and change nothing", false)
    .option("--no-compact", "leave the file as large as it is; what is free in it is used again")
    .option(
      "--timezone <name>",
      "zone of the times in Parsl's tables, as the collector has it",
      parseTimezone,
    )
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed, 2 bad options, 3 done but for runs of which something came meanwhile.\n" +
        "\nExamples:\n  parsl-collector prune --database runinfo/monitoring.db --older-than 90d --dry-run\n" +
        "  parsl-collector prune --database runinfo/monitoring.db --older-than 1w --thin-samples 60",
    )
    .action((options: PruneCommandOptions, command: Command) => {
      const database = fileOf(command);
      const { olderThan } = options;
      if (olderThan === undefined) command.error("error: say how old: --older-than <age>, as 30d");
      return printing("prune", () => pruneFile(database, { ...options, olderThan }));
    });
}

async function pruneFile(
  path: string,
  options: PruneCommandOptions & { readonly olderThan: number },
): Promise<number> {
  const { olderThan, run, thinSamples, keepRejected, keepLedger, dryRun } = options;
  const db = openForPruning(path, dryRun);
  try {
    const pruned = await prune(db, {
      olderThanMs: olderThan,
      runs: run,
      thinToMs: thinSamples === undefined ? undefined : thinSamples * 1000,
      keepRejected,
      keepLedgerMs: keepLedger,
      dryRun,
    });
    const compacted = dryRun || !options.compact ? undefined : compact(db);
    process.stdout.write(
      options.json
        ? `${jsonOf(asJson(pruned, compacted, dryRun))}\n`
        : `${asText(path, pruned, compacted, options)}\n`,
    );
    return pruned.heardMeanwhile.length === 0 ? exitCodes.done : exitCodes.notComplete;
  } finally {
    db.close();
  }
}

function asText(
  path: string,
  { runs, heardMeanwhile, rows }: Pruned,
  compacted: Compacted | undefined,
  { dryRun, thinSamples }: PruneCommandOptions,
): string {
  const lines = runs.map(({ runId, state }) => `run ${runId}: ${state}`);
  for (const runId of heardMeanwhile) {
    lines.push(`run ${runId}: stays, for something of it came meanwhile; run prune again later`);
  }
  if (rows.size > 0) {
    const heading = ["table", "rows"];
    lines.push(
      "",
      table(
        heading,
        [...rows].map(([name, count]) => [name, digits(count)]),
      ),
      "",
    );
  }
  const what = [...rows.values()].reduce((sum, count) => sum + count, 0);
  const verb = thinSamples === undefined ? "removed" : "thinned";
  lines.push(
    `${counted(runs.length, "run")} ${dryRun ? `would be ${verb}` : verb}, ${counted(what, "row")} ${dryRun ? "would go" : "gone"}`,
  );
  if (compacted !== undefined) lines.push(spaceLine(path, compacted));
  return lines.join("\n");
}

function spaceLine(path: string, compacted: Compacted): string {
  if ("freedBytes" in compacted) return `${megabytes(compacted.freedBytes)} given back to the filesystem`;
  const { freeBytes, because } = compacted;
  return (
    `${megabytes(freeBytes)} are free inside the file, and used again; not given back to the filesystem: ${because}. ` +
    `Later: sqlite3 ${path} VACUUM, or this command again`
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function asJson(
  { runs, heardMeanwhile, rows }: Pruned,
  compacted: Compacted | undefined,
  dryRun: boolean,
): unknown {
  return {
    dryRun,
    runs: runs.map(({ runId, state, lastReceivedAt }) => ({ runId, state, lastReceivedAt })),
    heardMeanwhile,
    rows: Object.fromEntries(rows),
    compacted: compacted ?? null,
  };
}
