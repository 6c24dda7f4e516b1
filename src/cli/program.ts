import { Command } from "commander";

import { version } from "../base/version.js";
import { exitCodes } from "./exit-codes.js";
import { takeSettings } from "./settings.js";

type AddCommand = (program: Command) => void;

/** What adds each command: loaded with all that it needs only when it is named, so that an agent, of which each node
 *  starts one, takes half the time to start. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  serve: async () => (await import("./serve.js")).addServe,
  view: async () => (await import("./view.js")).addView,
  agent: async () => (await import("./agent.js")).addAgent,
  status: async () => (await import("./status.js")).addStatus,
  why: async () => (await import("./why.js")).addWhy,
  prune: async () => (await import("./prune.js")).addPrune,
  tail: async () => (await import("./tail.js")).addTail,
  rejected: async () => (await import("./rejected.js")).addRejected,
  replay: async () => (await import("./replay.js")).addReplay,
  spool: async () => (await import("./spool.js")).addSpool,
  bench: async () => (await import("./bench.js")).addBench,
  doctor: async () => (await import("./doctor.js")).addDoctor,
};

/** Parses the command line and runs the command. */
export async function run(argv: readonly string[]): Promise<void> {
  const named = commands[argv[2] ?? ""];
  const program = named === undefined ? await wholeProgram() : await programOf([named]);
  takeSettings(program, process.env, wholeProgram);
  await program.parseAsync(argv);
}

/** The program with all its commands. */
export function wholeProgram(): Promise<Command> {
  return programOf(Object.values(commands));
}

async function programOf(loading: readonly (() => Promise<AddCommand>)[]): Promise<Command> {
  const program = new Command("parsl-collector")
    .description(
      "Monitoring for Parsl that loses nothing: takes messages over gRPC and commits them to SQLite.",
    )
    .version(version(), "--version", "print the version")
    .showHelpAfterError("(add --help for the options)")
    .addHelpText(
      "after",
      "\nData goes to stdout, all else to stderr. Exit codes: 0 done, 1 failed, 2 bad options, 3 done, but something is\n" +
        "missing, lost or refused.\n" +
        "\nExample:\n  parsl-collector serve --database runinfo/monitoring.db",
    )
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? exitCodes.done : exitCodes.badOptions);
    });
  for (const add of await Promise.all(loading.map((load) => load()))) add(program);
  return program;
}
