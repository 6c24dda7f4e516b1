import { InvalidArgumentError, Option, type Command } from "commander";

import { CollectorError, reasonOf } from "../base/errors.js";
import { isLoopback } from "../base/address.js";
import { logLevels, openLogger, toggleDebugBy, type Logger, type LogLevel } from "../base/logger.js";
import { radios } from "../radios/built-in.js";
import { defaultInFlight, defaultStreamsPerPeer } from "../radios/grpc/limits.js";
import { Collector } from "../server/collector.js";
import { defaultUnhealthyAfterSeconds } from "../server/health.js";
import { isPostgresUrl, withoutSecrets } from "../server/sinks/postgresql/url.js";
import { damageOf, moveAside } from "../server/sinks/sqlite/damage.js";
import { defaultLogBytes } from "../server/sinks/sqlite/log-writer.js";
import { defaultSendersPerRun } from "../server/sinks/sqlite/senders.js";
import type { Durability, JournalMode } from "../server/sinks/sqlite/file.js";
import {
  addServerAccess,
  readServerAccess,
  requireSafe,
  type ServerAccessOptions,
} from "./access-options.js";
import { databaseOf } from "./database-option.js";
import { readKey } from "./key-file.js";
import { compileWhenWorthwhile } from "./late-compilation.js";
import { parseListen } from "./listen-option.js";
import { parseCount } from "./count.js";
import { requireLoopback } from "./metrics-option.js";
import { parseSeconds } from "./seconds.js";
import { parseTimezone } from "./timezone-option.js";
import { WebProcess } from "./web-process.js";

interface ServeOptions extends ServerAccessOptions {
  readonly listen: string;
  readonly radio: readonly NamedAddress[];
  readonly sink: readonly NamedAddress[];
  readonly keyFile?: string;
  readonly durability: Durability;
  readonly journalMode: JournalMode;
  readonly moveDamagedAside: boolean;
  readonly timezone?: string;
  readonly exitWithParent: boolean;
  readonly metrics?: string;
  readonly web?: string;
  readonly unhealthyAfter: number;
  readonly maxConnectionsPerPeer?: number;
  readonly maxStreamsPerPeer: number;
  readonly maxInFlight: number;
  readonly maxSendersPerRun: number;
  readonly logBytes: number;
  readonly logLevel: LogLevel;
}

/** How often --exit-with-parent looks whether the parent is there, in ms. */
const parentCheckMs = 500;

export function addServe(program: Command): void {
  addServerAccess(program.command("serve"))
    .summary("run a collector")
    .description("Take messages over gRPC and commit them to SQLite or PostgreSQL in Parsl's schema.")
    .option(
      "--database <file or URL>",
      "SQLite file (required), or postgresql://USER@HOST/DATABASE; made when it is missing, continued when Parsl made it",
    )
    .option(
      "--listen <host:port>",
      "address for gRPC; port 0 lets the system choose",
      parseListen,
      "127.0.0.1:0",
    )
    .option(
      "--radio <name=address>",
      "one more way for senders to come, may be repeated: filesystem=DIRECTORY, udp=HOST:PORT, or a module of your " +
        "own, as ./my-radio.js=ADDRESS",
      parseRadio,
      [],
    )
    .option(
      "--sink <name=address>",
      "one more place for what is committed, which follows the database at its own pace; may be repeated: " +
        "jsonl=FILE, nats=nats://HOST:PORT, or a module of your own, as ./my-sink.js=ADDRESS",
      parseSink,
      [],
    )
    .option(
      "--key-file <file>",
      "file with the run's secret, which udp needs; keep it from others (mode 0600)",
    )
    .addOption(
      new Option(
        "--durability <mode>",
        "full: acknowledged survives a power cut; normal: a crash of this program only, at up to 1.2 times the rate",
      )
        .choices(["full", "normal"])
        .default("full"),
    )
    .addOption(
      new Option(
        "--journal-mode <mode>",
        "auto: WAL, or a rollback journal on a network filesystem, where WAL does not work",
      )
        .choices(["auto", "wal", "delete"])
        .default("auto"),
    )
    .option(
      "--move-damaged-aside",
      "keep a file that is damaged, or no database, as <file>.damaged-<UTC time> and begin a new one",
      false,
    )
    .option(
      "--timezone <name>",
      "zone of the times in Parsl's tables, as Europe/Berlin (default: this machine's)",
      parseTimezone,
    )
    .option("--exit-with-parent", "drain and exit when the program that started this one is gone", false)
    .option(
      "--metrics <host:port>",
      "address for /metrics (Prometheus), /healthz and /readyz by HTTP; port 0 lets the system choose (default: none)",
      parseListen,
    )
    .option(
      "--web <host:port>",
      "address for the page that shows the runs in a browser, as `view` does, by a process of its own (default: none)",
      parseListen,
    )
    .option(
      "--unhealthy-after <seconds>",
      "how long the database may be unwritable (a lock, a full disk) before health checks say NOT_SERVING",
      parseSeconds,
      defaultUnhealthyAfterSeconds,
    )
    .option(
      "--max-connections-per-peer <count>",
      "gRPC connections of one address at one time " +
        "(default: 16384, or three quarters of the files that a process may open)",
      parseCount,
    )
    .option(
      "--max-streams-per-peer <count>",
      "gRPC calls of one address at one time",
      parseCount,
      defaultStreamsPerPeer,
    )
    .option(
      "--max-in-flight <count>",
      "envelopes of one gRPC stream, or of the single calls of a connection, that wait for their acknowledgement; a " +
        "stream is read no further then",
      parseCount,
      defaultInFlight,
    )
    .option(
      "--max-senders-per-run <count>",
      "senders of one run; a new one beyond them is refused, and tries again",
      parseCount,
      defaultSendersPerRun,
    )
    .option(
      "--log-bytes <bytes>",
      "how much of what was committed is kept for those who subscribe, once somebody has",
      parseCount,
      defaultLogBytes,
    )
    .addOption(
      new Option("--log-level <level>", "least level that is logged, on stderr")
        .choices(logLevels)
        .default("info"),
    )
    .addHelpText(
      "after",
      "\nOn ready one line of JSON on stdout: address, radios (where the others listen), metrics, web, database, pid.\n" +
        "SIGTERM or SIGINT drains: what was accepted is committed and acknowledged. A second signal stops at once. SIGHUP\n" +
        "reads the files of tokens and certificates again. SIGUSR2 turns lines of level debug in the log on, and off again.\n" +
        "Exit codes: 0 drained, 1 failed, 2 bad options.\n" +
        "\nExample:\n  parsl-collector serve --database runinfo/monitoring.db --listen 127.0.0.1:7000",
    )
    .action(serve);
}

async function serve(options: ServeOptions, command: Command): Promise<void> {
  compileWhenWorthwhile();
  const database = databaseOf(command);
  const logger = openLogger(options.logLevel);
  toggleDebugBy("SIGUSR2", logger);
  // Before anything slow: the parent may be gone before the first look.
  const parent = process.ppid;
  let collector: Collector;
  try {
    const access = await readServerAccess(options);
    requireSafe(options.listen, options.insecure, access);
    if (options.metrics !== undefined) requireLoopback(options.metrics, options.insecure);
    if (options.web !== undefined) {
      requireFile(database);
      requireSafe(options.web, options.insecure, access);
    }
    if (options.moveDamagedAside && !isPostgresUrl(database)) moveDamaged(database, logger);
    collector = await Collector.open(
      {
        database: {
          path: database,
          journalMode: options.journalMode,
          durability: options.durability,
          sendersPerRun: options.maxSendersPerRun,
          logBytes: options.logBytes,
        },
        listen: options.listen,
        introspection: options.insecure || isLoopback(options.listen),
        metrics: options.metrics,
        unhealthyAfterSeconds: options.unhealthyAfter,
        limits: {
          connectionsPerPeer: options.maxConnectionsPerPeer,
          streamsPerPeer: options.maxStreamsPerPeer,
          inFlight: options.maxInFlight,
        },
        radios: await Promise.all(
          options.radio.map(async ({ name, address }) => ({ name, address, radio: await radios.load(name) })),
        ),
        key: options.keyFile === undefined ? undefined : readKey(options.keyFile),
        access,
        sinks: options.sink.map(({ name, address }) => ({ kind: name, address })),
      },
      logger,
    );
  } catch (cause) {
    process.stderr.write(`parsl-collector serve: ${reasonOf(cause)}\n`);
    process.exitCode = 1;
    return;
  }
  // Before the ready line: whoever reads it may send a signal at once.
  const reasons = reasonsToStop(options.exitWithParent ? parent : undefined);
  process.on("SIGHUP", () => void reload(collector, options, logger));
  const { address, radios: others, metricsAddress: metrics } = collector;
  const shown = isPostgresUrl(database) ? withoutSecrets(database) : database;
  const page = await openPage(database, options, logger);
  const ready = {
    ...{ address, radios: others },
    ...(metrics !== undefined && { metrics }),
    ...(page?.url !== undefined && { web: page.url }),
  };
  process.stdout.write(`${JSON.stringify({ ...ready, database: shown, pid: process.pid })}\n`);
  logger.info(ready, "ready");
  void reasons.first.then(() => page?.web.close());
  process.exit(await runUntilTold(collector, reasons, logger));
}

/** Throws a CollectorError for a database that the page cannot read. */
function requireFile(database: string): void {
  if (!isPostgresUrl(database)) return;
  throw new CollectorError(
    "invalid-argument",
    `serve the page of ${withoutSecrets(database)}: it reads SQLite files only; leave --web out, and ask PostgreSQL by SQL`,
  );
}

async function openPage(database: string, options: ServeOptions, logger: Logger) {
  if (options.web === undefined) return undefined;
  const timezone = options.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  return WebProcess.start({ database, listen: options.web, timezone, access: options }, logger);
}

async function reload(collector: Collector, options: ServeOptions, logger: Logger): Promise<void> {
  try {
    const access = await readServerAccess(options);
    collector.reload(access);
    logger.info({ tokens: access.tokens?.map(({ name }) => name) }, "tokens and certificate read again");
  } catch (cause) {
    logger.error({ reason: reasonOf(cause) }, "tokens and certificate stay as they were");
  }
}

function moveDamaged(database: string, logger: Logger): void {
  const reason = damageOf(database);
  if (reason === undefined) return;
  logger.warn({ reason, database, kept: moveAside(database, new Date()) }, "damaged database moved aside");
}

/** Why to stop, for each time that it is said: by a signal, or by the end of `parent`. */
interface Reasons {
  readonly first: Promise<string>;
  readonly second: Promise<string>;
}

function reasonsToStop(parent: number | undefined): Reasons {
  const first = Promise.withResolvers<string>();
  const second = Promise.withResolvers<string>();
  let times = 0;
  const onSignal = (signal: string): void => {
    times += 1;
    (times === 1 ? first : second).resolve(signal);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  if (parent !== undefined) {
    setInterval(() => {
      if (process.ppid !== parent) first.resolve("parent gone");
    }, parentCheckMs).unref();
  }
  return { first: first.promise, second: second.promise };
}

/** Returns the exit code. */
async function runUntilTold(collector: Collector, reasons: Reasons, logger: Logger): Promise<number> {
  void collector.failed.then((error) => {
    const hint = "start it again: what was not acknowledged is still with its senders";
    logger.fatal({ reason: error.message, hint }, "collector failed");
    process.exit(1);
  });
  logger.info({ reason: await reasons.first }, "draining");
  const drained = collector[Symbol.asyncDispose]();
  const again = await Promise.race([drained, reasons.second]);
  if (again === undefined) {
    logger.info("drained");
    return 0;
  }
  const leftBytes = await collector.abort();
  logger.error(
    { reason: again, leftBytes },
    "stopped at once; what was not acknowledged is still with its senders",
  );
  return 1;
}

interface NamedAddress {
  readonly name: string;
  readonly address: string;
}

function parseRadio(text: string, before: readonly NamedAddress[]): NamedAddress[] {
  const radio = parseNamed(text, "filesystem=/shared/messages or udp=127.0.0.1:0");
  if (radio.name === "grpc") throw new InvalidArgumentError("gRPC listens at --listen.");
  if (before.some(({ name }) => name === radio.name)) {
    throw new InvalidArgumentError(`radio ${radio.name} is given twice.`);
  }
  return [...before, radio];
}

function parseSink(text: string, before: readonly NamedAddress[]): NamedAddress[] {
  const sink = parseNamed(text, "jsonl=messages.jsonl or nats=nats://127.0.0.1:4222");
  if (before.some(({ name, address }) => name === sink.name && address === sink.address)) {
    throw new InvalidArgumentError(`sink ${text} is given twice.`);
  }
  return [...before, sink];
}

function parseNamed(text: string, examples: string): NamedAddress {
  const [, name, address] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || address === undefined) {
    throw new InvalidArgumentError(`expected name=address, as ${examples}, got "${text}".`);
  }
  return { name, address };
}
