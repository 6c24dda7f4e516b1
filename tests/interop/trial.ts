import { randomUUID } from "node:crypto";
import { join } from "node:path";

import Database from "better-sqlite3";

import { startCollector, type RunningCollector } from "../support/collector.js";
import type { Scope } from "../support/scope.js";
import { runToEnd } from "../support/run.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { run, type Client } from "./clients.js";
import { faultsOf, type Told } from "./script.js";

/** Messages that a client sends while its connections are cut. */
const messages = 10_000;

/** Connections that are cut under it, each after so many bytes: some of its envelopes have gone by then. */
const cuts = 10;
const bytesOfCut = 40_000;

/** The cut that the collector is killed at. */
const killedAt = 5;

/** Longest that a client's program may take, in s: an end for what hangs. */
const boundSeconds = 120;

/** What a client's program prints at its end. */
interface Said {
  readonly sent: number;
  readonly acknowledged: number;
  readonly rejected: number;
  /** From the first send until all was acknowledged. */
  readonly seconds: number;
}

/** Sends the script through a proxy that cuts the connection ten times, the collector killed once, and compares the
 *  ledger and the rows with the script. One line for each fault. */
export async function deliver(t: Scope, client: Client): Promise<string[]> {
  const database = join(temporaryDirectory(t), "monitoring.db");
  let collector = await startWith(t, database);
  const proxy = await TcpProxy.start(t, collector.address);
  const told = { runId: randomUUID(), count: messages, language: client.language };
  let made = 0;
  const trouble = async (): Promise<void> => {
    while (made < cuts) {
      await proxy.cutAfter(bytesOfCut);
      made += 1;
      if (made !== killedAt) continue;
      await collector.kill();
      collector = await startWith(t, database, collector.address);
    }
  };

  const program = send(client, proxy.address, told);
  await Promise.race([program, trouble()]);
  const { faults } = await program;
  if (made < cuts) faults.push(`it ended after ${String(made)} of ${String(cuts)} cuts`);
  await collector.stop();
  faults.push(...(await faultsOfFile(t, database, told)));
  return faults;
}

/** Runs the example, which compares what it reads with what it sent. One line for each fault. */
export async function runExample(t: Scope, client: Client): Promise<string[]> {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const collector = await startWith(t, database);
  const { code, output } = await run(client, [...client.example, collector.address, database], boundSeconds);
  if (code === 0) t.log(output.trimEnd());
  return code === 0 ? [] : [`exit code ${String(code)}: ${output}`];
}

/** Messages a second that a client had stored of `count`, by a connection that nothing disturbs. */
export async function rateOf(t: Scope, client: Client, count: number): Promise<number> {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const collector = await startWith(t, database);
  const told = { runId: randomUUID(), count, language: client.language };
  const { faults, seconds } = await send(client, collector.address, told);
  await collector.stop();
  if (faults.length > 0) throw new Error(`${client.language}: ${faults.join("; ")}`);
  return count / seconds;
}

function startWith(t: Scope, database: string, listen = "127.0.0.1:0"): Promise<RunningCollector> {
  return startCollector(t, { database, listen, args: ["--timezone", "UTC"] });
}

async function send(
  client: Client,
  address: string,
  { runId, count, language }: Told,
): Promise<{ faults: string[]; seconds: number }> {
  const command = [...client.interop, address, runId, String(count), language];
  const { code, stdout, output } = await run(client, command, boundSeconds);
  if (code !== 0) return { faults: [`exit code ${String(code)}: ${output}`], seconds: NaN };
  const said = JSON.parse(stdout) as Said;
  const faults: string[] = [];
  if (said.sent !== count || said.acknowledged !== count || said.rejected !== 0) {
    faults.push(`it says ${stdout.trim()}`);
  }
  return { faults, seconds: said.seconds };
}

async function faultsOfFile(t: Scope, database: string, told: Told): Promise<string[]> {
  const faults: string[] = [];
  const status = await runToEnd(t, ["status", "--database", database, "--json"]);
  if (status.exit !== 0) faults.push(`the ledger is not complete: ${status.stdout}${status.stderr}`);
  const db = new Database(database, { readonly: true });
  try {
    faults.push(...faultsOf(db, told));
    const senders = db.prepare("SELECT count(*) FROM collector_sender").pluck().get();
    if (senders !== 1) faults.push(`${String(senders)} senders instead of 1`);
  } finally {
    db.close();
  }
  return faults;
}
