import { Command } from "commander";

import { addRejected } from "./rejected.js";
import { addServe } from "./serve.js";
import { addStatus } from "./status.js";

/** Exit code for options that cannot be used. */
const badOptions = 2;

/** Parses the command line and runs the command. */
export async function run(argv: readonly string[]): Promise<void> {
  const program = new Command("parsl-collector")
    .description(
      "Monitoring for Parsl that loses nothing: takes messages over gRPC and commits them to SQLite.",
    )
    .showHelpAfterError("(add --help for the options)")
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : badOptions);
    });
  addServe(program);
  addStatus(program);
  addRejected(program);
  await program.parseAsync(argv);
}
