import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { startCollector, type RunningCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import type { Dice } from "../support/dice.js";
import type { Scope } from "../support/scope.js";
import { runToEnd } from "../support/run.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { within } from "../support/wait.js";
import { SenderProcess, type Kind } from "./senders.js";
import { faultsOf } from "./verdict.js";

export interface ChaosOptions {
  /** How long the trouble lasts. */
  readonly seconds: number;
  /** The same dice make the same trouble in the same order; what it hits depends on the machine. */
  readonly dice: Dice;
  /** Where the database and the senders' logs are. */
  readonly directory: string;
}

export interface ChaosReport {
  /** One line each; none when nothing was lost and nothing is twice. */
  readonly faults: readonly string[];
  readonly rows: number;
  /** Most messages that one sender was seen to have in its spool. */
  readonly spooled: number;
  /** How often each trouble was made. */
  readonly troubles: Readonly<Record<string, number>>;
}

/** Of each language one that keeps all in memory and one with a spool. A directory is shared by a sender and those
 *  that come after it, of the other language too. */
const kinds = (spool: string): readonly Kind[] => [
  { language: "python", spool: undefined },
  { language: "typescript", spool: undefined },
  { language: "python", spool },
  { language: "typescript", spool },
];

/** Longest that senders may take, after the trouble, to send what they have, in ms. */
const closeDeadlineMs = 120_000;

/** Runs senders and a collector as processes of their own behind a network that fails, kills them, and then
 *  compares what the senders saw acknowledged with what is in the file. */
export async function runChaos(t: Scope, { seconds, dice, directory }: ChaosOptions): Promise<ChaosReport> {
  const below = (most: number): number => Math.floor(dice() * most);
  const database = join(directory, "monitoring.db");
  const faults: string[] = [];
  let collector: RunningCollector = await startCollector(t, { database });
  const { address } = collector;
  const proxy = await TcpProxy.start(t, address);
  const all: SenderProcess[] = [];
  const start = (kind: Kind): SenderProcess => {
    const sender = new SenderProcess(t, kind, proxy.address, directory, all.length);
    all.push(sender);
    return sender;
  };
  const spool = join(directory, "spool");
  const running = kinds(spool).map(start);

  const acts: Readonly<Record<string, () => unknown>> = {
    cut: () => proxy.cut(),
    "half-close": () => proxy.halfClose(),
    "lose a reply": () => void proxy.loseNextReply(),
    delay: () => (proxy.delayMs = below(2) * below(100)),
    "black hole": async () => {
      proxy.blackHole();
      await sleep(below(2_000));
      proxy.restore();
    },
    "kill the collector": async () => {
      await collector.kill();
      const integrity = openDatabase(t, database).value("PRAGMA integrity_check");
      if (integrity !== "ok") faults.push(`after a kill of the collector: ${String(integrity)}`);
      collector = await startCollector(t, { database, listen: address });
    },
    "kill a sender": async () => {
      const place = below(running.length);
      const killed = running[place];
      if (killed === undefined) return;
      await killed.kill();
      running[place] = start(killed);
    },
  };
  const names = Object.keys(acts);
  const troubles = Object.fromEntries(names.map((name) => [name, 0]));
  const end = performance.now() + seconds * 1_000;
  while (performance.now() < end) {
    await sleep(below(1_500));
    const name = names[below(names.length)] ?? "";
    troubles[name] = (troubles[name] ?? 0) + 1;
    await acts[name]?.();
  }

  proxy.delayMs = 0;
  const closed = Promise.all(running.map((sender) => sender.close()));
  await within("the senders' end", closed, closeDeadlineMs);
  // What senders left that were killed when no other came after them.
  const { exit, stdout, stderr } = await runToEnd(t, ["spool", spool, "--to", address]);
  if (exit !== 0) faults.push(`the spool cannot be emptied: ${stdout}${stderr}`);
  await collector.stop();
  const db = openDatabase(t, database);
  const spooled = Math.max(...all.map(({ log }) => log.spooled));
  return { faults: [...faults, ...faultsOf(db, all)], rows: db.count("resource"), spooled, troubles };
}
