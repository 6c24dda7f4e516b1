import { bareRowsPerSecond } from "./bare.js";
import { paced, saturate, type Load, type LoadFigures } from "./load.js";
import { messagesOfUnit, mixes, type Mix } from "./messages.js";
import { inDirectory, inTurn, runPython, scaled, withCollector, type Setting } from "./part.js";
import {
  inMs,
  median,
  percent,
  rounded,
  times,
  type Findings,
  type Quantiles,
  type Target,
} from "./report.js";

const nameOfMix: Readonly<Record<Mix, string>> = {
  resource: "ResourceInfo",
  tasks: "whole task lives",
  workflow: "a workflow's, mixed",
};

/** Ours by Parsl's that is wanted. */
const leastTimes: Readonly<Partial<Record<Mix, number>>> = { resource: 12, tasks: 8 };

/** Of what SQLite alone does, for samples. */
const leastOfBare = 0.7;

/** Rounds of ours and of SQLite alone for each with Parsl's. What a disk takes changes from second to second: single rounds
 *  have 50 to 90 %, and the median of three of them 64 to 77. */
const bareRounds = 3;

/** Stored before the clock starts: until then a collector's code is not compiled, which it is for all of a run. */
const warmMessages = 45_000;

/** Parsl's latency by ours that is wanted. */
const leastLatencyTimes = 30;

/** The collector, Parsl's own and SQLite alone, in turn. */
export async function measureIngest(setting: Setting): Promise<Findings> {
  const rows = [
    ["messages", "ours/s", "Parsl's/s", "ratio", "of the rounds", "SQLite alone, rows/s", "ours of that"],
  ];
  const targets: Target[] = [];
  const ratios: Record<string, number> = {};
  const panels = [];
  for (const mix of mixes) {
    const load = {
      ...{ mix, streams: 10, envelopeMessages: 450 },
      messages: wholeUnits(mix, scaled(270_000, setting)),
    };
    const parslMessages = wholeUnits(mix, scaled(27_000, setting, 900));
    const ours: number[] = [];
    const parsl: number[] = [];
    const bare: number[] = [];
    const byBare: number[] = [];
    await inTurn(setting, `${nameOfMix[mix]}, beside Parsl`, async () => {
      const rates: number[] = [];
      while (rates.length < (mix === "resource" ? bareRounds : 1)) {
        const { messagesPerSecond } = await once(load);
        rates.push(messagesPerSecond);
        if (mix !== "resource") continue;
        const alone = await inDirectory((path) =>
          Promise.resolve(bareRowsPerSecond(path, load.messages, warmMessages)),
        );
        bare.push(alone);
        byBare.push(messagesPerSecond / alone);
      }
      ours.push(median(rates));
      parsl.push(
        (await runPython<ParslRate>(setting, "dbmanager.py", String(parslMessages), mix)).messages_per_second,
      );
    });
    const byParsl = quotients(ours, parsl);
    ratios[`${mix} by Parsl's`] = median(byParsl);
    if (bare.length > 0) ratios[`${mix} by SQLite alone`] = median(byBare);
    rows.push([
      nameOfMix[mix],
      rounded(median(ours)),
      rounded(median(parsl)),
      times(median(byParsl)),
      `${Math.min(...byParsl).toFixed(1)} to ${Math.max(...byParsl).toFixed(1)}`,
      bare.length === 0 ? "–" : rounded(median(bare)),
      bare.length === 0 ? "–" : percent(median(byBare)),
    ]);
    const least = leastTimes[mix];
    if (least !== undefined) {
      targets.push({
        figure: `${nameOfMix[mix]} committed, messages/s`,
        wanted: `≥ ${String(least)} times Parsl's`,
        found: times(median(byParsl)),
        isMet: median(byParsl) >= least,
      });
    }
    if (bare.length > 0) {
      targets.push({
        figure: `${nameOfMix[mix]}, beside SQLite alone`,
        wanted: `≥ ${percent(leastOfBare)} of its rows/s`,
        found: percent(median(byBare)),
        isMet: median(byBare) >= leastOfBare,
      });
    }
    panels.push({
      title: `${nameOfMix[mix]}, durable a second (more is better)`,
      bars: [
        { label: "ours", value: median(ours), text: rounded(median(ours)), isOurs: true },
        { label: "Parsl's", value: median(parsl), text: rounded(median(parsl)), isOurs: false },
        ...(bare.length === 0
          ? []
          : [{ label: "SQLite alone", value: median(bare), text: rounded(median(bare)), isOurs: false }]),
      ],
    });
  }
  return { tables: [{ title: "Beside Parsl's own monitoring", rows }], targets, ratios, panels };
}

/** Streams and envelopes of several sizes. */
export async function measureShapes(setting: Setting): Promise<Findings> {
  const rows = [
    [
      ...["messages", "streams", "in an envelope", "durable/s", "ack p50", "ack p99"],
      ...["CPU a message", "peak memory"],
    ],
  ];
  for (const mix of mixes) {
    for (const [streams, envelopeMessages, messages] of [
      [1, 1, 5_000],
      [10, 1, 20_000],
      [1, 50, 50_000],
      [10, 50, 100_000],
      [1, 450, 100_000],
      [10, 450, 200_000],
    ] as const) {
      const found: Awaited<ReturnType<typeof once>>[] = [];
      const load = { mix, streams, envelopeMessages, messages: wholeUnits(mix, scaled(messages, setting)) };
      const what = `${nameOfMix[mix]}, ${String(streams)} streams, envelopes of ${String(envelopeMessages)}`;
      await inTurn(setting, what, async () => void found.push(await once(load)));
      const of = (figure: (one: (typeof found)[number]) => number): number => median(found.map(figure));
      rows.push([
        nameOfMix[mix],
        String(streams),
        String(envelopeMessages),
        rounded(of((one) => one.messagesPerSecond)),
        ...inMs({ p50: of((one) => one.ackMs.p50), p99: of((one) => one.ackMs.p99) }),
        `${of((one) => one.cpuMicrosPerMessage).toFixed(1)} us`,
        `${String(of((one) => one.peakMebibytes))} MiB`,
      ]);
    }
  }
  return { tables: [{ title: "At saturation", rows }] };
}

/** What a user of a quiet workflow sees, beside Parsl's own. */
export async function measureLatency(setting: Setting): Promise<Findings> {
  const messages = scaled(250, setting, 50);
  const ours: { readonly ackMs: Quantiles; readonly visibleMs: Quantiles }[] = [];
  const parsl: Quantiles[] = [];
  await inTurn(setting, "50 single messages a second", async () => {
    ours.push(
      await withCollector((collector, database) => paced(collector, database, { messages, perSecond: 50 })),
    );
    parsl.push(
      (await runPython<{ visible_ms: Quantiles }>(setting, "dbmanager.py", String(messages), "latency"))
        .visible_ms,
    );
  });
  const ackMs = medians(ours.map((one) => one.ackMs));
  const visibleMs = medians(ours.map((one) => one.visibleMs));
  const parslMs = medians(parsl);
  // Its row is there before its acknowledgement, or a little after: both count.
  const slower = { p50: Math.max(ackMs.p50, visibleMs.p50), p99: Math.max(ackMs.p99, visibleMs.p99) };
  const byOurs = { p50: parslMs.p50 / slower.p50, p99: parslMs.p99 / slower.p99 };
  return {
    tables: [
      {
        title: "50 single messages a second",
        rows: [
          ["from sending to", "p50", "p99"],
          ["the acknowledgement", ...inMs(ackMs)],
          ["a reader sees the row", ...inMs(visibleMs)],
          ["the same with Parsl's own monitoring", ...inMs(parslMs)],
          ["Parsl's by ours, ack included", times(byOurs.p50), times(byOurs.p99)],
        ],
      },
    ],
    targets: (["p50", "p99"] as const).map((which) => ({
      figure: `sent to seen by a reader, ack included, ${which}`,
      wanted: `≤ 1/${String(leastLatencyTimes)} of Parsl's`,
      found: `1/${byOurs[which].toFixed(0)}`,
      isMet: byOurs[which] >= leastLatencyTimes,
    })),
    ratios: { "Parsl's latency by ours": byOurs.p50 },
  };
}

interface ParslRate {
  readonly messages_per_second: number;
}

function medians(all: readonly Quantiles[]): Quantiles {
  return { p50: median(all.map(({ p50 }) => p50)), p99: median(all.map(({ p99 }) => p99)) };
}

/** Of each round. */
function quotients(ours: readonly number[], others: readonly number[]): number[] {
  return others.map((other, round) => (ours[round] ?? NaN) / other);
}

function once(load: Load): Promise<LoadFigures & { readonly peakMebibytes: number }> {
  return withCollector(async (collector) => {
    const { mix, streams } = load;
    const messages = wholeUnits(mix, warmMessages);
    await saturate(collector, { mix, streams, messages, envelopeMessages: 450, runId: "warm" });
    const figures = await saturate(collector, load);
    return { ...figures, peakMebibytes: collector.peakMebibytes() };
  });
}

export function wholeUnits(mix: Mix, messages: number): number {
  return Math.max(1, Math.round(messages / messagesOfUnit[mix])) * messagesOfUnit[mix];
}
