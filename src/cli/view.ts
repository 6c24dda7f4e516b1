import { spawn } from "node:child_process";
import { resolve } from "node:path";

import { Option, type Command } from "commander";

import { CollectorError, reasonOf } from "../base/errors.js";
import { logLevels, openLogger, type LogLevel } from "../base/logger.js";
import { isPostgresUrl, withoutSecrets } from "../server/sinks/postgresql/url.js";
import {
  addServerAccess,
  readServerAccess,
  requireSafe,
  type ServerAccessOptions,
} from "./access-options.js";
import { exitCodes } from "./exit-codes.js";
import { parseListen } from "./listen-option.js";
import { parseTimezone } from "./timezone-option.js";

interface ViewOptions extends ServerAccessOptions {
  readonly listen: string;
  readonly timezone?: string;
  readonly cache?: string;
  readonly open: boolean;
  readonly logLevel: LogLevel;
}

export function addView(program: Command): void {
  addServerAccess(program.command("view"))
    .summary("show a file in a browser")
    .description(
      "Serve a page that shows the runs of a database, while they run and later. It only reads, and needs nothing from " +
        "elsewhere.",
    )
    .argument("<file>", "the SQLite file of a collector, or of Parsl's own hub")
    .option(
      "--listen <host:port>",
      "address for browsers; port 0 lets the system choose",
      parseListen,
      "127.0.0.1:0",
    )
    .option(
      "--timezone <name>",
      "zone of the times in the file, as Europe/Berlin (default: this machine's)",
      parseTimezone,
    )
    .option(
      "--cache <directory>",
      "where the index of the page is until this ends, of about a third of the file's size (default: the system's " +
        "directory for temporary files)",
    )
    .option("--open", "open the page in this machine's browser", false)
    .addOption(
      new Option("--log-level <level>", "least level that is logged, on stderr")
        .choices(logLevels)
        .default("info"),
    )
    .addHelpText(
      "after",
      "\nOn ready one line of JSON on stdout: url, database, pid; on a terminal a sentence. SIGTERM or SIGINT ends it.\n" +
        "Exit codes: 0 ended as told, 1 failed, 2 bad options.\n" +
        "\nExample:\n  parsl-collector view runinfo/monitoring.db",
    )
    .action(view);
}

async function view(file: string, options: ViewOptions): Promise<void> {
  try {
    if (isPostgresUrl(file)) {
      throw new CollectorError(
        "invalid-argument",
        `show ${withoutSecrets(file)}: the page reads SQLite files only; ask PostgreSQL by SQL (docs/OPERATIONS.md)`,
      );
    }
    const database = resolve(file);
    const access = await readServerAccess(options);
    requireSafe(options.listen, options.insecure, access);
    // Late, so that a misspelt option is told at once.
    const { View } = await import("../view/view.js");
    const page = await View.open(
      {
        ...{ database, listen: options.listen, cache: options.cache, tls: access.tls },
        timezone: options.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
        tokens: access.tokens?.map(({ token }) => token),
      },
      openLogger(options.logLevel),
    );
    const ended = toldToEnd();
    const ready = { url: page.url, database, pid: process.pid };
    process.stdout.write(
      process.stdout.isTTY ? `The page is at ${page.url} until Ctrl-C.\n` : `${JSON.stringify(ready)}\n`,
    );
    if (options.open) openBrowser(page.url);
    await ended;
    await page[Symbol.asyncDispose]();
    process.exit(exitCodes.done);
  } catch (cause) {
    process.stderr.write(`parsl-collector view: ${reasonOf(cause)}\n`);
    process.exitCode = exitCodes.failed;
  }
}

/** By a signal, or by the end of a collector that started it. */
function toldToEnd(): Promise<void> {
  return new Promise((end) => {
    if (process.send !== undefined && !process.connected)
      end(); // it ended while this started
    else process.once("disconnect", () => end());
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => end());
  });
}

function openBrowser(url: string): void {
  const program = process.platform === "darwin" ? "open" : "xdg-open";
  const child = spawn(program, [url], { stdio: "ignore", detached: true });
  child.on("error", (cause) => {
    process.stderr.write(
      `parsl-collector view: open a browser by ${program}: ${cause.message}; open ${url} yourself\n`,
    );
  });
  child.unref();
}
