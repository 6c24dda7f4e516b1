import type Database from "better-sqlite3";
import type { Command } from "commander";

import { digits } from "../base/counted.js";
import { CollectorError } from "../base/errors.js";
import { openParslFile } from "../server/sinks/sqlite/reading.js";
import type { Finding, Why } from "../view/api.js";
import { why } from "../why/why.js";
import { inColour, jsonOf, printing } from "./data.js";
import { fileOf } from "./database-option.js";
import { exitCodes } from "./exit-codes.js";

interface WhyOptions {
  readonly run?: string;
  readonly json: boolean;
}

export function addWhy(program: Command): void {
  program
    .command("why")
    .summary("why tasks of a run failed or never ended")
    .description(
      "Say in sentences why tasks of a run failed or never ended, each with the SQL that shows it. Also for files that\n" +
        "Parsl's own hub wrote.",
    )
    .option("--database <file>", "what the collector or Parsl's hub wrote (required)")
    .option("--run <id>", "this run (default: the one that began last)")
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nTimes are as the file has them. Paste a query into `sqlite3 FILE`.\n" +
        "Exit codes: 0 the file was read, 1 it cannot be, or has no such run, 2 bad options.\n" +
        "\nExample:\n  parsl-collector why --database runinfo/monitoring.db",
    )
    .action((options: WhyOptions, command: Command) => {
      const path = fileOf(command);
      return printing("why", () => printWhy(path, options));
    });
}

function printWhy(path: string, { run, json }: WhyOptions): number {
  const db = openParslFile(path);
  try {
    const { runId, others } = chosenRun(db, path, run);
    const said = why(db, runId);
    process.stdout.write(json ? `${jsonOf(said)}\n` : asText(said, others));
  } finally {
    db.close();
  }
  return exitCodes.done;
}

/** The run that is asked for, and how many began before it. */
function chosenRun(db: Database.Database, path: string, asked?: string): { runId: string; others: number } {
  const runs = db
    .prepare<[], string>("SELECT run_id FROM workflow ORDER BY time_began DESC, rowid DESC")
    .pluck()
    .all();
  const runId = asked ?? runs[0];
  if (runId !== undefined && runs.includes(runId)) {
    return { runId, others: asked === undefined ? runs.length - 1 : 0 };
  }
  const what = runId === undefined ? "it has no run yet" : `it has no run ${runId}`;
  const cure =
    runs.length === 0 ? "try again once a workflow has begun" : `it has ${runs.slice(0, 5).join(", ")}`;
  throw new CollectorError("invalid-argument", `read database ${path}: ${what}; ${cure}`);
}

function asText({ runId, summary, findings }: Why, others: number): string {
  const more = others === 0 ? "" : ` (the last of ${digits(others + 1)} runs; --run names another)`;
  return [`Run ${runId}${more}`, "", wrapped(summary, ""), "", ...findings.flatMap(findingText)].join("\n");
}

const colours = { failure: "red", warning: "yellow", note: "green" } as const;

function findingText({ kind, severity, title, detail, count, tasks, query }: Finding): string[] {
  const label = inColour(colours[severity], `${severity}: ${kind}`);
  const more = count > tasks.length ? `, … (${digits(count)} in all)` : "";
  const named = tasks.length === 0 ? [] : [wrapped(`Tasks: ${tasks.join(", ")}${more}`, "  ")];
  return [
    label,
    wrapped(title, "  "),
    ...detail.map((sentence) => wrapped(sentence, "  - ", "    ")),
    ...named,
    "",
    ...query.split("\n").map((line) => `      ${line}`),
    "",
  ];
}

/** Longest line, in characters, where the terminal is not narrower. */
const longestLine = 100;

/** A sentence on as many lines as it takes; a word longer than a line gets one of its own. */
function wrapped(text: string, first: string, rest = first): string {
  const width = process.stdout.isTTY ? Math.min(longestLine, process.stdout.columns) : longestLine;
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(" ")) {
    const isFresh = line === first || line === rest;
    if (!isFresh && line.length + 1 + word.length > width) {
      lines.push(line);
      line = rest + word;
    } else {
      line += isFresh ? word : ` ${word}`;
    }
  }
  return [...lines, line].join("\n");
}
