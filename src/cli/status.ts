import type { Command } from "commander";

import { counted, digits } from "../base/counted.js";
import { CollectorError } from "../base/errors.js";
import type { RunStatus, SenderStatus } from "../model/status.js";
import { nowMicros } from "../model/time.js";
import type { SinkStatus } from "../server/sinks/sink.js";
import { isPostgresUrl, withoutSecrets } from "../server/sinks/postgresql/url.js";
import { whatLacks } from "../server/sinks/sqlite/completeness.js";
import { readPruned, type PrunedBefore } from "../server/sinks/sqlite/prune.js";
import { openForReading } from "../server/sinks/sqlite/reading.js";
import { readStatus } from "../server/sinks/sqlite/status.js";
import { databaseOf } from "./database-option.js";
import { jsonOf, printing, table } from "./data.js";
import { exitCodes } from "./exit-codes.js";
import { heardAt, stateNames } from "./run-text.js";

interface StatusOptions {
  readonly run?: string;
  readonly json: boolean;
}

export function addStatus(program: Command): void {
  program
    .command("status")
    .summary("what became of each run's messages")
    .description(
      "Print the ledger of a database: what came of each run and sender, and whether it is complete.",
    )
    .option("--database <file or URL>", "what the collector writes (required)")
    .option("--run <id>", "this run only")
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nComplete: the run has ended, each of its senders has said how many messages it sent, and all of them are\n" +
        "stored, or kept as rejected. A run without an end is lost once its senders have ended or were silent for 90 s.\n" +
        "Exit codes: 0 complete, 1 the file cannot be read, 2 bad options, 3 not complete.\n" +
        "\nExample:\n  parsl-collector status --database runinfo/monitoring.db",
    )
    .action((options: StatusOptions, command: Command) => {
      const database = databaseOf(command);
      return printing("status", () => printStatus(database, options));
    });
}

async function printStatus(database: string, { run = "", json }: StatusOptions): Promise<number> {
  const isPostgres = isPostgresUrl(database);
  const path = isPostgres ? withoutSecrets(database) : database;
  // Loaded only where it is used.
  const db = isPostgres
    ? await (await import("../server/sinks/postgresql/reading.js")).openLedger(database)
    : openForReading(path);
  let status: SinkStatus;
  let pruned: readonly PrunedBefore[];
  try {
    status = readStatus(db, run, nowMicros() / 1000);
    pruned = readPruned(db, run);
    if (run !== "" && status.runs.length === 0) {
      const [gone] = pruned;
      const what = gone === undefined ? `it has no run ${run}` : `run ${run} was pruned, ${prunedAs(gone)}`;
      const known = readStatus(db, "", 0).runs.map(({ runId }) => runId);
      const cure = known.length === 0 ? "it has no run" : `it has ${known.slice(-5).join(", ")}`;
      throw new CollectorError("invalid-argument", `read database ${path}: ${what}; ${cure}`);
    }
  } finally {
    db.close();
  }
  const lacks = whatLacks(status, pruned.length > 0);
  const complete = lacks.length === 0;
  process.stdout.write(
    json ? `${jsonOf(asJson(status, lacks, pruned))}\n` : `${asText(status, lacks, pruned)}\n`,
  );
  return complete ? exitCodes.done : exitCodes.notComplete;
}

function asText(status: SinkStatus, lacks: readonly string[], pruned: readonly PrunedBefore[]): string {
  const { runs, senders, total } = status;
  const parts = runs.map((run) => {
    const ofRun = pruned.find(({ runId }) => runId === run.runId);
    return `${runLine(run)}${ofRun === undefined ? "" : `, ${prunedAs(ofRun)}`}\n`;
  });
  const gone = pruned.filter((one) => one.gone);
  const last = gone.at(-1);
  if (last !== undefined) {
    const rows = gone.reduce((sum, one) => sum + rowsOf(one), 0);
    parts.push(
      `${counted(gone.length, "run")} pruned, with ${counted(rows, "row")}, the last at ${timeOf(last)}\n`,
    );
  }
  if (senders.length > 0) parts.push(senderTable(senders), ...senders.flatMap(details), "");
  const sent = senders.reduce((sum, { lastSequence }) => sum + lastSequence, 0n);
  const stored = total?.stored ?? 0n;
  const rejected = total?.rejected ?? 0n;
  const kept = rejected === 0n ? "" : `, ${digits(rejected)} kept as rejected`;
  const verdict = lacks.length === 0 ? "complete" : `not complete (${lacks.join(", ")})`;
  parts.push(`${digits(stored)} of ${counted(sent, "message")} stored${kept}: ${verdict}`);
  return parts.join("\n");
}

/** What of a run is gone, for a person. */
function prunedAs(pruned: PrunedBefore): string {
  return `${counted(rowsOf(pruned), "row")} pruned, the last at ${timeOf(pruned)}`;
}

function rowsOf({ rows }: PrunedBefore): number {
  return Object.values(rows).reduce((sum, count) => sum + count, 0);
}

function timeOf({ prunedAt }: PrunedBefore): string {
  return `${prunedAt.slice(0, 19)} UTC`;
}

function runLine({ runId, workflowName, state, lastReceivedAt }: RunStatus): string {
  const name = workflowName === "" ? "" : ` (${workflowName})`;
  return `run ${runId}${name}: ${stateNames[state] ?? "unknown"}, last heard ${heardAt(lastReceivedAt)}`;
}

function senderTable(senders: readonly SenderStatus[]): string {
  return table(
    [
      "sender",
      "host",
      "by",
      "received",
      "stored",
      "rejected",
      "repeated",
      "missing",
      "lost",
      "of",
      "last heard",
    ],
    senders.map(({ senderId, hostname, radios, counts, lastSequence, closed, lastReceivedAt }) => [
      senderId.slice(0, 12),
      hostname,
      radios.map(({ radio }) => radio).join("+"),
      digits(radios.reduce((sum, { received }) => sum + received, 0n)),
      ...[counts?.stored, counts?.rejected, counts?.repeated, counts?.missing, counts?.lost].map((count) =>
        digits(count ?? 0n),
      ),
      `${digits(lastSequence)}${closed ? "" : " or more"}`,
      heardAt(lastReceivedAt),
    ]),
  );
}

function details({ senderId, missing, lost, radios }: SenderStatus): string[] {
  const lines: string[] = [];
  const head = `  ${senderId.slice(0, 12)}`;
  if (missing.length > 0) {
    const gaps = missing.map(({ first, last }) =>
      first === last ? digits(first) : `${digits(first)}–${digits(last)}`,
    );
    lines.push(`${head} missing: ${gaps.join(" ")}`);
  }
  if (lost.length > 0) {
    const kinds = lost.map(({ kind, count }) => `${digits(count)} ${kind || "of several kinds"}`);
    lines.push(`${head} lost: ${kinds.join(", ")}`);
  }
  if (radios.length > 1) {
    lines.push(
      `${head} received: ${radios.map(({ radio, received }) => `${digits(received)} by ${radio}`).join(", ")}`,
    );
  }
  return lines;
}

function asJson(
  { runs, senders, total }: SinkStatus,
  lacks: readonly string[],
  pruned: readonly PrunedBefore[],
): unknown {
  const heard = <T extends { readonly lastReceivedAt: RunStatus["lastReceivedAt"] }>(one: T) => ({
    ...one,
    lastReceivedAt: heardAt(one.lastReceivedAt),
  });
  return {
    complete: lacks.length === 0,
    lacks,
    total,
    runs: runs.map((run) => ({ ...heard(run), state: stateNames[run.state] ?? "unknown" })),
    senders: senders.map(heard),
    pruned,
  };
}
