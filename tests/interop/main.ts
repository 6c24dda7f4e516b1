import { parseArgs } from "node:util";

import PQueue from "p-queue";

import type { Scope } from "../support/scope.js";
import { allClients, missingTool, run, type Client } from "./clients.js";
import { deliver, rateOf, runExample } from "./trial.js";

/** Every client against one collector, by the same script. The last line is the count. */

/** Longest for one command of a language's build or tests, in s, unless it says that it takes longer. */
const buildBoundSeconds = 10 * 60;

/** Messages of which the rate is taken, and how often, all languages in turn. */
const rateMessages = 100_000;
const rounds = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rate: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
});
const clients = allClients();
const names = clients.map(({ language }) => language);
const unknown = positionals.filter((name) => !names.some((one) => isSame(one, name)));
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`interop: no client is written in ${unknown.join(", ")}`);
  console.log(`usage: npm run interop -- [--rate] [LANGUAGE…]

Builds each client (${names.join(", ")}), runs its own tests, lets it send 10,000 messages while its connection is cut
ten times and the collector killed once, compares the ledger and the rows with what was sent, and runs its example.

  --rate   instead, messages a second of each against the same collector, medians of ${String(rounds)} rounds`);
  process.exit(values.help ? 0 : 2);
}

let [passed, failed, skipped] = [0, 0, 0];
const chosen = clients.filter(
  ({ language }) => positionals.length === 0 || positionals.some((name) => isSame(language, name)),
);
const ready: Client[] = [];
// They mostly wait, for connections to come back; the next is built meanwhile.
const trials = new PQueue({ concurrency: 3 });
for (const client of chosen) {
  if (!(await isReady(client))) continue;
  ready.push(client);
  if (!values.rate) void trials.add(() => tryOut(client));
}
await trials.onIdle();
if (values.rate) await tellRates();
process.exitCode = failed === 0 && (passed > 0 || values.rate) ? 0 : 1;
console.log(
  `\n${String(passed)} passed, ${String(failed)} failed${skipped > 0 ? `, ${String(skipped)} skipped` : ""}`,
);

/** Whether a client's tools are there and it could be built. */
async function isReady(client: Client): Promise<boolean> {
  const missing = missingTool(client);
  if (missing !== undefined) {
    skipped += 1;
    console.log(`  - ${client.language}: skipped, since \`${missing}\` does not run here`);
    return false;
  }
  return client.build.length === 0 || (await step(client, "builds", () => commands(client, client.build)));
}

async function tryOut(client: Client): Promise<void> {
  if (client.test.length > 0) await step(client, "passes its own tests", () => commands(client, client.test));
  await step(client, "delivers through cuts and a kill", (t) => deliver(t, client));
  await step(client, "runs its example", (t) => runExample(t, client));
}

async function commands(client: Client, all: readonly (readonly string[])[]): Promise<string[]> {
  for (const command of all) {
    const { code, output } = await run(client, command, client.timeoutSeconds ?? buildBoundSeconds);
    if (code !== 0) return [`${command.join(" ")}: exit code ${String(code)}\n${output}`];
  }
  return [];
}

/** Does one thing that counts as a test. Whether it passed. */
async function step(
  { language }: Client,
  what: string,
  act: (t: Scope) => Promise<readonly string[]>,
): Promise<boolean> {
  const began = performance.now();
  const told: unknown[] = [];
  const faults = await inScope(told, act).catch((cause: unknown) => [String(cause)]);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  const isGood = faults.length === 0;
  if (isGood) passed += 1;
  else failed += 1;
  console.log(`  ${isGood ? "✔" : "✖"} ${language} ${what} (${seconds} s)`);
  for (const line of isGood ? [] : [...faults, ...told]) console.log(indented(String(line)));
  return isGood;
}

/** Calls `act` and then ends what it started. */
async function inScope<T>(told: unknown[], act: (t: Scope) => Promise<T>): Promise<T> {
  const ends: (() => unknown)[] = [];
  const scope = {
    passed: false, // so that what it started says what it logged
    teardown: (end: () => unknown) => void ends.unshift(end),
    log: (...values: unknown[]) => void told.push(...values),
  };
  try {
    return await act(scope);
  } finally {
    for (const end of ends) await end();
  }
}

async function tellRates(): Promise<void> {
  const rates = new Map<string, number[]>(ready.map(({ language }) => [language, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const client of ready) {
      const rate = await inScope([], (t) => rateOf(t, client, rateMessages));
      rates.get(client.language)?.push(rate);
      console.log(`${client.language}: ${rate.toFixed(0)} messages/s`);
    }
  }
  console.log("\n| language | messages/s |\n| --- | --- |");
  for (const [language, all] of rates) {
    const median = all.sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? NaN;
    console.log(`| ${language} | ${(Math.round(median / 100) * 100).toLocaleString("en")} |`);
  }
}

function isSame(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

function indented(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "    ");
}
