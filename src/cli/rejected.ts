import { InvalidArgumentError, type Command } from "commander";

import { counted, digits } from "../base/counted.js";
import { CollectorError } from "../base/errors.js";
import { readMessage } from "../server/envelope-reader.js";
import { openForReading } from "../server/sinks/sqlite/reading.js";
import { readRejected, type KeptRejected } from "../server/sinks/sqlite/rejected.js";
import { blockThread, SqliteWriter } from "../server/sinks/sqlite/writer.js";
import { fileOf } from "./database-option.js";
import { jsonOf, printing, table } from "./data.js";
import { exitCodes } from "./exit-codes.js";

interface RejectedOptions {
  readonly run?: string;
  readonly json: boolean;
}

const exitCodesText = "\nExit codes: 0 done, 1 failed, 2 bad options, 3 some are refused still.";

export function addRejected(program: Command): void {
  const rejected = program
    .command("rejected")
    .summary("messages that no table took: list, show, retry")
    .description("List, show and try again the messages that no table took; each is kept with the reason.");
  add(rejected, "list", "List them.", (path, { run, json }) => list(path, run ?? "", json));
  add(rejected, "show", "Print one of them, all that it says.", (path, { json }, [id = ""]) =>
    show(path, id, json),
  ).argument("<number>", "its number in the list", parseNumber);
  add(
    rejected,
    "retry",
    "Make rows of those that a table takes now: after a column was added, say, or a trigger removed. The file may be " +
      "in use.",
    (path, { run, json }, ids) => retry(path, run ?? "", ids.map(Number), json),
  ).argument("[number...]", "their numbers in the list; all when there is none");
  rejected.addHelpText(
    "after",
    `${exitCodesText}\n` + "\nExample:\n  parsl-collector rejected retry --database runinfo/monitoring.db",
  );
}

function add(
  parent: Command,
  name: string,
  description: string,
  act: (path: string, options: RejectedOptions, args: readonly string[]) => number,
): Command {
  return parent
    .command(name)
    .description(description)
    .option("--database <file>", "the file that the collector writes (required)")
    .option("--run <id>", "those of this run only")
    .option("--json", "print JSON", false)
    .addHelpText("after", exitCodesText)
    .action(async (...given: unknown[]) => {
      const command: Command = given.at(-1) as Command;
      const options = command.opts<RejectedOptions>();
      const database = fileOf(command);
      await printing(`rejected ${name}`, () => act(database, options, command.args));
    });
}

function list(path: string, runId: string, json: boolean): number {
  const kept = read(path, runId);
  if (json) {
    process.stdout.write(`${jsonOf(kept)}\n`);
    return exitCodes.done;
  }
  if (kept.length > 0) {
    const rows = kept.map((one) => [
      String(one.id),
      one.receivedAt.slice(0, 19),
      one.runId ?? "",
      one.kind,
      `${one.senderId.slice(0, 12)} ${digits(one.sequence)}`,
      one.reason,
    ]);
    process.stdout.write(
      `${table(["number", "received (UTC)", "run", "kind", "sender, sequence", "reason"], rows)}\n`,
    );
  }
  process.stdout.write(`${counted(kept.length, "rejected message")}\n`);
  return exitCodes.done;
}

function show(path: string, id: string, json: boolean): number {
  const found = read(path, "").find((one) => one.id === Number(id));
  if (found === undefined) {
    throw new CollectorError(
      "invalid-argument",
      `show rejected message ${id} of ${path}: there is none of this number; see \`rejected list\``,
    );
  }
  const message = readMessage(found.message);
  const said = "unreadable" in message ? { ...found, unreadable: message.unreadable } : { ...found, message };
  if (json) process.stdout.write(`${jsonOf(said)}\n`);
  else process.stdout.write(`${found.kind}, refused: ${found.reason}\n${jsonOf(said)}\n`);
  return exitCodes.done;
}

function retry(path: string, runId: string, ids: readonly number[], json: boolean): number {
  const wanted = ids.length > 0 ? ids : read(path, runId).map(({ id }) => id);
  const outcomes = retryIn(path, wanted);
  const stored = wanted.filter((id) => outcomes.get(id) === undefined);
  const refused = wanted.flatMap((id) => {
    const reason = outcomes.get(id);
    return reason === undefined ? [] : [{ id, reason }];
  });
  if (json) process.stdout.write(`${jsonOf({ stored, refused })}\n`);
  else {
    for (const { id, reason } of refused) process.stdout.write(`${String(id)} is refused still: ${reason}\n`);
    process.stdout.write(
      `${digits(stored.length)} of ${counted(wanted.length, "rejected message")} stored\n`,
    );
  }
  return refused.length === 0 ? exitCodes.done : exitCodes.notComplete;
}

function read(path: string, runId: string): KeptRejected[] {
  const db = openForReading(path);
  try {
    return readRejected(db, runId);
  } finally {
    db.close();
  }
}

function retryIn(path: string, ids: readonly number[]): ReadonlyMap<number, string | undefined> {
  if (ids.length === 0) return new Map();
  openForReading(path).close(); // a file that is no collector's is not made one by this
  const tell = (reason: string | undefined): void => {
    if (reason !== undefined) process.stderr.write(`${reason}: waiting\n`);
  };
  const writer = new SqliteWriter({ path, journalMode: "auto", durability: "full" }, tell, blockThread);
  try {
    return writer.retryRejected(ids);
  } finally {
    writer.close();
  }
}

function parseNumber(text: string): string {
  if (/^\d+$/.test(text)) return text;
  throw new InvalidArgumentError(`expected a number of the list, got "${text}".`);
}
