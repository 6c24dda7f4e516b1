import { resolve } from "node:path";

import type { Command } from "commander";

/** The file that --database names, as an absolute path; ends the program when it is not given. Not commander's
 *  requiredOption, which reports a misspelt --database as a missing one. */
export function databaseOf(command: Command): string {
  const { database } = command.opts<{ readonly database?: string }>();
  if (database === undefined) command.error("error: name the SQLite file: --database <file>");
  return resolve(database);
}
