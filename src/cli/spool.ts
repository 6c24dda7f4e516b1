import { resolve } from "node:path";

import { Option, type Command } from "commander";

import { counted, digits } from "../base/counted.js";
import { systemDisk } from "../base/disk.js";
import type { CollectorError } from "../base/errors.js";
import { openLogger } from "../base/logger.js";
import { radios } from "../radios/built-in.js";
import { openInProcessSender } from "../radios/in-process/sender.js";
import type { RadioSender } from "../radios/radio.js";
import { Batcher } from "../server/batcher.js";
import { openSink } from "../server/sinks/open.js";
import { leftIn, sendLeft, type ForeignFile, type LeftSegment } from "../spool/left.js";
import { addClientAccess, readClientAccess, type ClientAccessOptions } from "./access-options.js";
import { databaseNamed } from "./database-option.js";
import { jsonOf, printing, table } from "./data.js";
import { exitCodes } from "./exit-codes.js";

interface SpoolCommandOptions extends ClientAccessOptions {
  readonly to?: string;
  readonly database?: string;
  readonly allHosts: boolean;
  readonly json: boolean;
}

export function addSpool(program: Command): void {
  addClientAccess(program.command("spool"))
    .summary("what senders keep on disk, and send it")
    .description(
      "Show what senders keep in a spool, and send what those that are gone have left: to a collector, or into a " +
        "database. What is sent twice is stored once.",
    )
    .argument("<directory>", "the spool's directory")
    .addOption(new Option("--to <host:port>", "send it to the collector there").conflicts("database"))
    .option("--database <file>", "store it in this file, which a collector may be writing to")
    .option(
      "--all-hosts",
      "also what senders of other hosts keep: only when none of them runs, which cannot be seen from here",
      false,
    )
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nWhat a sender that runs keeps is left to it. A file that is damaged is sent as far as it is whole, and kept as\n" +
        "<file>.bad; one that is no segment is kept so as well.\n" +
        "Exit codes: 0 nothing is left, 1 failed, 2 bad options, 3 something is left.\n" +
        "\nExample:\n  parsl-collector spool runinfo/000/spool --database runinfo/monitoring.db",
    )
    .action((directory: string, options: SpoolCommandOptions) =>
      printing("spool", () => showAndSend(resolve(directory), options)),
    );
}

async function showAndSend(directory: string, options: SpoolCommandOptions): Promise<number> {
  const isShown = options.to === undefined && options.database === undefined;
  const sent = isShown ? undefined : await send(directory, options);
  const left = leftIn(systemDisk, directory);
  if (options.json) {
    process.stdout.write(`${jsonOf({ sent: sent ?? null, left: left.map(asJson) })}\n`);
  } else {
    process.stdout.write(`${asText(left, sent, directory)}\n`);
  }
  return left.length === 0 && (sent?.bad ?? 0) === 0 ? exitCodes.done : exitCodes.notComplete;
}

type Sent = Awaited<ReturnType<typeof sendLeft>>;

async function send(directory: string, options: SpoolCommandOptions): Promise<Sent> {
  const { to, database, allHosts } = options;
  const onProblem = ({ message }: CollectorError): void => {
    process.stderr.write(`parsl-collector spool: ${message}\n`);
  };
  const sendBy = (radio: RadioSender): Promise<Sent> =>
    sendLeft({
      disk: systemDisk,
      directory,
      send: (envelope) => radio.send(envelope),
      allHosts,
      onProblem,
    });
  if (to !== undefined) {
    await using radio = radios.get("grpc").openSender(to, readClientAccess(options));
    return await sendBy(radio);
  }
  const path = databaseNamed(database ?? "");
  await using sink = await openSink({ path, journalMode: "auto", durability: "full" }, openLogger("warn"));
  await using batcher = new Batcher(sink);
  return await sendBy(openInProcessSender(batcher));
}

function asText(
  left: readonly (LeftSegment | ForeignFile)[],
  sent: Sent | undefined,
  directory: string,
): string {
  const segments = left.filter((one) => "owner" in one);
  const foreign = left.filter((one) => "foreign" in one);
  const lines: string[] = [];
  if (segments.length > 0) lines.push(segmentTable(segments), "");
  for (const { path, foreign: reason } of foreign) lines.push(`${path} is no segment: ${reason}`);
  if (sent !== undefined) {
    const bad = sent.bad === 0 ? "" : `; ${counted(sent.bad, "file")} set aside as .bad`;
    lines.push(`${counted(sent.messages, "message")} of ${counted(sent.segments, "segment")} sent${bad}`);
  }
  const messages = segments.reduce((sum, one) => sum + one.messages, 0);
  const running = segments.filter(({ isAlive }) => isAlive === true).length;
  if (left.length === 0) lines.push(`nothing is left in ${directory}`);
  else if (sent === undefined) {
    const cure = "send them with --to HOST:PORT or --database FILE";
    lines.push(`${counted(messages, "message")} in ${counted(segments.length, "segment")}: ${cure}`);
  } else {
    const others = left.length - running;
    lines.push(
      `${counted(messages, "message")} left: ${counted(running, "segment")} of senders that run` +
        (others > 0 ? `, ${digits(others)} of other hosts (--all-hosts)` : ""),
    );
  }
  return lines.join("\n");
}

function segmentTable(segments: readonly LeftSegment[]): string {
  return table(
    ["sender", "host", "pid", "owner", "run", "envelopes", "messages", "bytes", "damage"],
    segments.map(({ owner, isAlive, envelopes, messages, bytes, damage }) => [
      owner.senderId.slice(0, 12),
      owner.hostname,
      String(owner.pid),
      ownerState(isAlive),
      owner.runId,
      digits(envelopes.length),
      digits(messages),
      digits(bytes),
      damage ?? "",
    ]),
  );
}

function ownerState(isAlive: boolean | undefined): string {
  if (isAlive === undefined) return "of another host";
  return isAlive ? "runs" : "gone";
}

function asJson(left: LeftSegment | ForeignFile): unknown {
  if ("foreign" in left) return left;
  const { path, owner, isAlive, envelopes, messages, bytes, damage } = left;
  return {
    ...{ path, ...owner, owner: ownerState(isAlive) },
    ...{ envelopes: envelopes.length, messages, bytes, damage: damage ?? null },
  };
}
