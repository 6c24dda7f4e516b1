import { resolve } from "node:path";

import type { Command } from "commander";

import { isPostgresUrl } from "../server/sinks/postgresql/url.js";

/** What --database names: a file, as an absolute path, or a URL of PostgreSQL; ends the program when it is not given. Not
 *  commander's requiredOption, which reports a misspelt --database as a missing one. */
export function databaseOf(command: Command): string {
  const { database } = command.opts<{ readonly database?: string }>();
  if (database === undefined) command.error("error: name the SQLite file: --database <file>");
  return databaseNamed(database);
}

/** The same for a command that works on files only. */
export function fileOf(command: Command): string {
  const database = databaseOf(command);
  if (isPostgresUrl(database)) {
    command.error(`error: --database: ${command.name()} works on SQLite files; ask PostgreSQL by SQL`);
  }
  return database;
}

/** A database as somebody wrote it. */
export function databaseNamed(text: string): string {
  return isPostgresUrl(text) ? text : resolve(text);
}
