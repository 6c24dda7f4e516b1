import { Command } from "commander";

import { exitCodes } from "./exit-codes.js";

type AddCommand = (program: Command) => void;

/** What adds each command: loaded with all that it needs only when it is named, so that an agent, of which each node
 *  starts one, takes half the time to start. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  serve: async () => (await import("./serve.js")).addServe,
  agent: async () => (await import("./agent.js")).addAgent,
  status: async () => (await import("./status.js")).addStatus,
  rejected: async () => (await import("./rejected.js")).addRejected,
  spool: async () => (await import("./spool.js")).addSpool,
};

/** Parses the command line and runs the command. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command("parsl-collector")
    .description(
      "Monitoring for Parsl that loses nothing: takes messages over gRPC and commits them to SQLite.",
    )
    .showHelpAfterError("(add --help for the options)")
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? exitCodes.done : exitCodes.badOptions);
    });
  const named = commands[argv[2] ?? ""];
  const loading = named === undefined ? Object.values(commands) : [named];
  for (const add of await Promise.all(loading.map((load) => load()))) add(program);
  await program.parseAsync(argv);
}
