import { saturate, type Load } from "./load.js";
import { messagesOfUnit } from "./messages.js";
import { scaled, withCollector, type Setting } from "./part.js";
import type { BenchCollector } from "./processes.js";
import { rounded, times, type Findings, type Table, type Target } from "./report.js";

/** A message of the most costs this much more CPU than one of a tenth of it, where the line is straight. */
const mostTimes = 1.5;

/** Encoded at a time, in tasks: more would only fill this process's memory. */
const chunkTasks = 20_000;

/** Each sender says this much, in one envelope. */
const messagesOfSender = 20;

interface Point {
  readonly messagesPerSecond: number;
  readonly cpuMicros: number;
  readonly peakMebibytes: number;
}

/** What grows, up to what, and how a load of that size is sent. */
interface Axis {
  readonly name: string;
  readonly counts: readonly number[];
  readonly send: (collector: BenchCollector, count: number) => Promise<Omit<Point, "peakMebibytes">>;
}

/** Rate, CPU and memory as tasks, senders and runs grow; once, since CPU is compared and not time. */
export async function measureScaling(setting: Setting): Promise<Findings> {
  const once = async (
    collector: BenchCollector,
    load: Omit<Load, "longestMs">,
  ): Promise<Omit<Point, "peakMebibytes">> => {
    const found = await saturate(collector, { ...load, longestMs: Infinity });
    return { messagesPerSecond: found.messagesPerSecond, cpuMicros: found.cpuMicrosPerMessage };
  };
  const axes: readonly Axis[] = [
    {
      name: "tasks in one run",
      counts: [1_000, 10_000, 100_000, 1_000_000],
      send: (collector, tasks) => sendTasks(collector, tasks),
    },
    {
      name: "senders at one time",
      counts: [1, 10, 100, 1_000, 10_000],
      send: (collector, streams) =>
        once(collector, {
          mix: "resource",
          streams,
          envelopeMessages: messagesOfSender,
          messages: Math.max(scaled(20_000, setting), streams * messagesOfSender),
        }),
    },
    {
      name: "runs in one file",
      counts: [1, 10, 100, 1_000],
      send: (collector, runs) =>
        once(collector, {
          ...{ mix: "resource", streams: 10, envelopeMessages: 50, runs },
          messages: scaled(200_000, setting, 20_000),
        }),
    },
  ];
  const tables: Table[] = [];
  const targets: Target[] = [];
  const panels = [];
  for (const axis of axes) {
    const counts = new Set(axis.counts.map((count) => scaled(count, setting))); // a look makes some alike
    const line: (Point & { readonly count: number })[] = [];
    for (const count of counts) {
      setting.say(`${rounded(count)} ${axis.name}`);
      line.push(
        await withCollector(async (collector) => ({
          count,
          ...(await axis.send(collector, count)),
          peakMebibytes: collector.peakMebibytes(),
        })),
      );
    }
    tables.push({
      title: `As ${axis.name} grow`,
      rows: [
        [axis.name, "durable/s", "CPU a message", "memory at most"],
        ...line.map((one) => [
          rounded(one.count),
          rounded(one.messagesPerSecond),
          `${one.cpuMicros.toFixed(1)} us`,
          `${String(one.peakMebibytes)} MiB`,
        ]),
      ],
    });
    const [tenth, most] = line.slice(-2);
    const grown = (most?.cpuMicros ?? NaN) / (tenth?.cpuMicros ?? NaN);
    targets.push({
      figure: `${rounded(most?.count ?? NaN)} ${axis.name}: CPU of a message`,
      wanted: `≤ ${times(mostTimes)} that of ${rounded(tenth?.count ?? NaN)}`,
      found: times(grown),
      isMet: grown <= mostTimes,
    });
    panels.push({
      title: `CPU of a message, us, by ${axis.name} (a straight line has bars alike)`,
      bars: line.map(({ count, cpuMicros }) => ({
        label: rounded(count),
        value: cpuMicros,
        text: cpuMicros.toFixed(1),
        isOurs: true,
      })),
    });
  }
  return { tables, targets, panels };
}

/** Whole lives, in chunks that are encoded while the clock stands still. */
async function sendTasks(collector: BenchCollector, tasks: number): Promise<Omit<Point, "peakMebibytes">> {
  let sent = 0;
  let seconds = 0;
  let cpuMicros = 0;
  for (let first = 0; first < tasks; first += chunkTasks) {
    const messages = Math.min(chunkTasks, tasks - first) * messagesOfUnit.tasks;
    const load = { mix: "tasks", streams: 10, envelopeMessages: 450, messages, first } as const;
    const found = await saturate(collector, { ...load, longestMs: Infinity });
    sent += found.messages;
    seconds += found.messages / found.messagesPerSecond;
    cpuMicros += found.messages * found.cpuMicrosPerMessage;
  }
  return { messagesPerSecond: sent / seconds, cpuMicros: cpuMicros / sent };
}
