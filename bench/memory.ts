import { setTimeout as delay } from "node:timers/promises";

import Database from "better-sqlite3";

import { openSilent, saturate } from "./load.js";
import { scaled, withCollector, type Setting } from "./part.js";
import { median, percent, rounded, type Findings } from "./report.js";

const senders = 100;

/** Of all senders together; they write as fast as the connection takes it, whatever is acknowledged. */
const messages = 1_000_000;

/** How long the database is locked, in seconds. */
const lockSeconds = 10;

/** Most memory of the collector, in MiB. */
const mostMebibytes = 200;

const silentStreams = 50;

/** How long an idle collector is watched, in seconds. */
const idleSeconds = 20;

/** Most CPU of an idle collector, as a share of a core. */
const mostIdle = 0.01;

/** The collector's memory while it may not write, and its CPU while there is nothing to do. */
export async function measureMemory(setting: Setting): Promise<Findings> {
  const count = scaled(messages, setting, 20_000);
  const locked: { readonly whileLocked: number; readonly peak: number; readonly rate: number }[] = [];
  const idle: { readonly cpu: number; readonly mebibytes: number }[] = [];
  const seconds = scaled(lockSeconds, setting, 2);
  for (let round = 1; round <= setting.rounds; round += 1) {
    setting.say(
      `${String(senders)} senders, database locked for ${String(seconds)} s, round ${String(round)}`,
    );
    locked.push(
      await withCollector(async (collector, database) => {
        const other = new Database(database);
        other.exec("BEGIN IMMEDIATE");
        const unlocked = delay(seconds * 1000).then(() => {
          const whileLocked = collector.peakMebibytes();
          other.exec("ROLLBACK");
          other.close();
          return whileLocked;
        });
        const load = { mix: "resource", messages: count, streams: senders, envelopeMessages: 100 } as const;
        const everything = { longestMs: Infinity, window: Infinity };
        const [whileLocked, sent] = await Promise.all([
          unlocked,
          saturate(collector, { ...load, ...everything }),
        ]);
        return { whileLocked, peak: collector.peakMebibytes(), rate: sent.messagesPerSecond };
      }),
    );
    setting.say(`${String(silentStreams)} silent streams, round ${String(round)}`);
    idle.push(
      await withCollector(async (collector) => {
        const close = openSilent(collector.address, silentStreams);
        await delay(2_000); // what starting and opening cost is over
        const began = { ms: performance.now(), cpu: collector.cpuSeconds() };
        await delay(scaled(idleSeconds, setting, 5) * 1000);
        const took = (performance.now() - began.ms) / 1000;
        const found = {
          cpu: (collector.cpuSeconds() - began.cpu) / took,
          mebibytes: collector.residentMebibytes(),
        };
        await close();
        return found;
      }),
    );
  }
  const peak = Math.max(...locked.map((one) => one.peak));
  const cpu = median(idle.map((one) => one.cpu));
  return {
    tables: [
      {
        title: `${String(senders)} senders at full speed, ${rounded(count)} messages, database locked for ${String(seconds)} s`,
        rows: [
          ["round", "at most while locked", "at most", "stored/s, the lock included"],
          ...locked.map((one, round) => [
            String(round + 1),
            `${String(one.whileLocked)} MiB`,
            `${String(one.peak)} MiB`,
            rounded(one.rate),
          ]),
        ],
      },
      {
        title: `Idle with ${String(silentStreams)} silent streams`,
        rows: [
          ["CPU of a core", "memory"],
          [percent(cpu), `${String(median(idle.map((one) => one.mebibytes)))} MiB`],
        ],
      },
    ],
    targets: [
      {
        figure: `memory at most, ${String(senders)} senders at full speed, database locked`,
        wanted: `≤ ${String(mostMebibytes)} MiB`,
        found: `${String(peak)} MiB`,
        isMet: peak <= mostMebibytes,
      },
      {
        figure: `collector idle with ${String(silentStreams)} silent streams`,
        wanted: `≤ ${percent(mostIdle)} of a core`,
        found: percent(cpu),
        isMet: cpu <= mostIdle,
      },
    ],
  };
}
