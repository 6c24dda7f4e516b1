import { Command } from "commander";

import { addAgent } from "./agent.js";
import { exitCodes } from "./exit-codes.js";
import { addRejected } from "./rejected.js";
import { addServe } from "./serve.js";
import { addSpool } from "./spool.js";
import { addStatus } from "./status.js";

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
  addServe(program);
  addAgent(program);
  addStatus(program);
  addRejected(program);
  addSpool(program);
  await program.parseAsync(argv);
}
