import { resolve } from "node:path";

import { InvalidArgumentError, type Command } from "commander";

import { counted } from "../base/counted.js";
import { addClientAccess, readClientAccess, type ClientAccessOptions } from "./access-options.js";
import { inColour, jsonOf, printing } from "./data.js";
import type { Check } from "./doctor/check.js";
import { checkAgentHome, checkClock, checkListen, checkNode, checkSqlite } from "./doctor/machine.js";
import { checkCollector, checkRadio } from "./doctor/reach.js";
import { checkFile, checkPlace } from "./doctor/storage.js";
import { exitCodes } from "./exit-codes.js";
import { parseListen } from "./listen-option.js";

interface DoctorOptions extends ClientAccessOptions {
  readonly database?: string;
  readonly listen?: string;
  readonly address?: string;
  readonly radio: readonly RadioAddress[];
  readonly json: boolean;
}

interface RadioAddress {
  readonly name: string;
  readonly address: string;
}

export function addDoctor(program: Command): void {
  addClientAccess(program.command("doctor"))
    .summary("look for what would keep a collector or a sender from working")
    .description(
      "Look at this machine, and at the way to a collector, for what would keep them from working, and say what to do.",
    )
    .option("--database <file>", "could a collector keep its file there?")
    .option("--listen <host:port>", "could one listen there?", parseListen)
    .option("--address <host:port>", "does one answer there by gRPC, and how soon?")
    .option(
      "--radio <name=address>",
      "could messages go there, by unix=SOCKET, filesystem=DIRECTORY, udp=HOST:PORT, …? May be repeated",
      parseRadio,
      [],
    )
    .option("--json", "print one JSON object", false)
    .addHelpText(
      "after",
      "\nWithout options: Node, SQLite, the clock, and whether an agent has a place here.\n" +
        "Exit codes: 0 nothing failed, though there may be warnings, 1 something failed, 2 bad options.\n" +
        "\nExample, on a compute node:\n  parsl-collector doctor --address head:7000 --radio filesystem=/shared/messages",
    )
    .action((options: DoctorOptions) => printing("doctor", () => examine(options)));
}

async function examine(options: DoctorOptions): Promise<number> {
  const checks = await checksOf(options);
  const count = (state: Check["state"]): number => checks.filter((check) => check.state === state).length;
  const failures = count("failed");
  if (options.json) process.stdout.write(`${jsonOf({ ok: failures === 0, checks })}\n`);
  else {
    const verdict = `${String(failures)} failed, ${counted(count("warning"), "warning")}, ${String(count("ok"))} ok`;
    process.stdout.write(`${checks.map(asText).join("\n")}\n${verdict}\n`);
  }
  return failures === 0 ? exitCodes.done : exitCodes.failed;
}

async function checksOf(options: DoctorOptions): Promise<Check[]> {
  const { database, listen, address, radio } = options;
  const access = readClientAccess(options);
  const sqlite = await checkSqlite();
  const checks = [checkNode(), sqlite, checkClock(Date.now()), checkAgentHome()];
  if (listen !== undefined) checks.push(await checkListen(listen));
  if (database !== undefined) {
    const path = resolve(database);
    checks.push(...checkPlace(path));
    if (sqlite.state === "ok") checks.push(await checkFile(path));
  }
  if (address !== undefined) checks.push(...(await checkCollector(address, access)));
  for (const one of radio) checks.push(...(await checkRadio(one.name, one.address, access)));
  return checks;
}

const colours = { ok: "green", warning: "yellow", failed: "red" } as const;

function asText({ name, state, found, cure }: Check): string {
  const line = `${inColour(colours[state], state.padEnd(7))}  ${name}: ${found}`;
  return cure === undefined ? line : `${line}\n${" ".repeat(9)}→ ${cure}`;
}

function parseRadio(text: string, before: readonly RadioAddress[]): RadioAddress[] {
  const [, name = "", address = ""] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name !== "") return [...before, { name, address }];
  throw new InvalidArgumentError(`expected name=address, as unix=/tmp/collector.sock, got "${text}".`);
}
