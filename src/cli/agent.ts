import { setTimeout as sleep } from "node:timers/promises";

import { Option, type Command } from "commander";

import { Agent } from "../agent/agent.js";
import { systemClock } from "../base/clock.js";
import { reasonOf } from "../base/errors.js";
import { HttpEndpoint } from "../base/http-endpoint.js";
import { logLevels, openLogger, toggleDebugBy, type LogLevel } from "../base/logger.js";
import { radios } from "../radios/built-in.js";
import { defaultFallbackAfterMs } from "../radios/fallback.js";
import { openRoads } from "../radios/roads.js";
import { addClientAccess, readClientAccess, type ClientAccessOptions } from "./access-options.js";
import { removeHome, socketIn, spoolIn } from "./agent-home.js";
import { exitCodes } from "./exit-codes.js";
import { readKey } from "./key-file.js";
import { compileWhenWorthwhile } from "./late-compilation.js";
import { parseListen } from "./listen-option.js";
import { requireLoopback } from "./metrics-option.js";
import { parseSeconds } from "./seconds.js";

interface AgentCommandOptions extends ClientAccessOptions {
  readonly upstream: readonly Upstream[];
  readonly fallbackAfter: number;
  readonly keyFile?: string;
  readonly socket?: string;
  readonly spool?: string;
  readonly home?: string;
  readonly nodeInterval?: number;
  readonly exitWhenIdle?: number;
  readonly abandonedAfter: number;
  readonly metrics?: string;
  readonly insecure: boolean;
  readonly logLevel: LogLevel;
}

/** Bytes that the messages of one sender may take in the agent's spool. */
const spoolBytes = 64 * 1024 * 1024;

/** Longest that the agent waits, when it is told to end, for what it has forwarded to be acknowledged, in ms. */
const patienceMs = 10_000;

/** How often --exit-when-idle looks, in ms. */
const idleCheckMs = 100;

export function addAgent(program: Command): void {
  addClientAccess(program.command("agent"))
    .summary("forward the messages of a node's workers")
    .description(
      "One process a node: take messages from its workers over a unix socket, forward them to a collector over one " +
        "stream, and sample the processes of the tasks that they name.",
    )
    .option(
      "--upstream <[radio=]address>",
      "the collector, or another agent (required): host:port for grpc, or unix=SOCKET, filesystem=DIRECTORY, …; may " +
        "be repeated, from the best to the last resort",
      parseUpstream,
      [],
    )
    .option(
      "--fallback-after <seconds>",
      "how long an upstream fails before the next takes over",
      parseSeconds,
      defaultFallbackAfterMs / 1_000,
    )
    .option(
      "--key-file <file>",
      "file with the run's secret, which udp needs; keep it from others (mode 0600)",
    )
    .option("--socket <path>", "the socket that it makes for the workers (required without --home)")
    .option("--spool <directory>", "on a local disk, for what nobody upstream takes (default: memory alone)")
    .option(
      "--home <directory>",
      "one of its own, for the socket and the spool where they are not named; what a worker that starts it leaves " +
        "there (a key, a log, a lock) goes with it at the end",
    )
    .option(
      "--node-interval <seconds>",
      "sample the node as a whole so often, for the table collector_node_usage (default: not at all)",
      parseSeconds,
    )
    .option(
      "--exit-when-idle <seconds>",
      "end by itself after so long without workers, when all is acknowledged",
      parseSeconds,
    )
    .option(
      "--abandoned-after <seconds>",
      "with --exit-when-idle: the same when nobody upstream takes what is left, which stays in the spool",
      parseSeconds,
      60,
    )
    .option(
      "--metrics <host:port>",
      "address for /metrics (Prometheus), /healthz and /readyz by HTTP; port 0 lets the system choose (default: none)",
      parseListen,
    )
    .option("--insecure", "allow --metrics on other addresses than loopback", false)
    .addOption(
      new Option("--log-level <level>", "least level that is logged, on stderr")
        .choices(logLevels)
        .default("info"),
    )
    .addHelpText(
      "after",
      "\nOn ready one line of JSON on stdout: socket, upstream, metrics, pid. Workers reach it with the radio unix. SIGTERM or\n" +
        "SIGINT: what was taken is forwarded, for 10 s at most; the rest is in the spool, and its senders still have it.\n" +
        "SIGUSR2 turns lines of level debug in the log on, and off again.\n" +
        "Exit codes: 0 done, 1 failed, 2 bad options.\n" +
        "\nExample:\n  parsl-collector agent --upstream head:7000 --socket /tmp/parsl-collector.sock --spool /var/tmp/spool",
    )
    .action(runAgent);
}

async function runAgent(options: AgentCommandOptions, command: Command): Promise<void> {
  compileWhenWorthwhile();
  const { upstream, home } = options;
  const socket = options.socket ?? (home === undefined ? undefined : socketIn(home));
  if (upstream.length === 0) command.error("error: name the collector: --upstream <[radio=]address>");
  if (socket === undefined) command.error("error: name the socket: --socket <path>, or --home <directory>");
  const logger = openLogger(options.logLevel);
  toggleDebugBy("SIGUSR2", logger);
  let agent: Agent;
  let endpoint: HttpEndpoint | undefined;
  try {
    if (options.metrics !== undefined) requireLoopback(options.metrics, options.insecure);
    const roads = upstream.map(async ({ name, address }) => ({
      ...{ name, address },
      radio: await radios.load(name),
    }));
    agent = await Agent.open({
      socket,
      upstream: openRoads(await Promise.all(roads), {
        key: options.keyFile === undefined ? undefined : readKey(options.keyFile),
        ...readClientAccess(options),
        fallbackAfterMs: options.fallbackAfter * 1_000,
        clock: systemClock,
        onWarning: ({ message }) => logger.warn(message),
      }),
      spool: options.spool ?? (home === undefined ? undefined : spoolIn(home)),
      spoolBytes,
      nodeIntervalSeconds: options.nodeInterval,
      logger,
    });
    if (options.metrics !== undefined) endpoint = await openEndpoint(options.metrics, agent);
  } catch (cause) {
    process.stderr.write(`parsl-collector agent: ${reasonOf(cause)}\n`);
    process.exitCode = exitCodes.failed;
    return;
  }
  const reasons = [signalled("SIGTERM"), signalled("SIGINT")];
  if (options.exitWhenIdle !== undefined)
    reasons.push(idle(agent, options.exitWhenIdle * 1_000, options.abandonedAfter * 1_000));
  const ready = {
    socket: agent.socket,
    upstream: upstream.map(({ name, address }) => `${name}=${address}`),
    ...(endpoint !== undefined && { metrics: endpoint.address }),
  };
  process.stdout.write(`${JSON.stringify({ ...ready, pid: process.pid })}\n`);
  logger.info(ready, "ready");
  logger.info({ reason: await Promise.race(reasons) }, "stopping");
  await agent.stop(patienceMs);
  logger.info("stopped");
  if (home !== undefined) removeHome(home);
  process.exit(exitCodes.done);
}

/** Loads what makes metrics only now: most agents do without. */
async function openEndpoint(listen: string, agent: Agent): Promise<HttpEndpoint> {
  const { AgentMetrics } = await import("../agent/metrics.js");
  const notServing = (): string | undefined =>
    agent.figures.isCutOff ? "nobody upstream takes messages" : undefined;
  try {
    return await HttpEndpoint.open(listen, { metrics: new AgentMetrics(() => agent.figures), notServing });
  } catch (cause) {
    await agent[Symbol.asyncDispose]();
    throw cause;
  }
}

function signalled(signal: NodeJS.Signals): Promise<string> {
  return new Promise((resolve) => process.on(signal, () => resolve(signal)));
}

async function idle(agent: Agent, mostMs: number, abandonedAfterMs: number): Promise<string> {
  for (;;) {
    const { aloneMs, isBusy } = agent;
    if (aloneMs >= mostMs && !isBusy) return "idle";
    if (aloneMs >= abandonedAfterMs) return "no worker, and nobody upstream";
    await sleep(idleCheckMs);
  }
}

interface Upstream {
  readonly name: string;
  readonly address: string;
}

function parseUpstream(text: string, before: readonly Upstream[]): Upstream[] {
  const [, name = "grpc", address = ""] = /^(?:([^=:]+)=)?(.+)$/.exec(text) ?? [];
  return [...before, { name, address }];
}
