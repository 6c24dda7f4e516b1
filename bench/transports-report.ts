import type { Panel } from "./chart.js";
import { inTurn, scaled, type Setting } from "./part.js";
import { median, rounded, type Findings, type Table, type Target } from "./report.js";
import { measureTransport, transports, type Blast, type Figures, type Transport } from "./transports.js";

/** A radio and what each round found. */
interface Measured extends Transport {
  readonly rounds: Figures[];
}

/** All radios in turn. */
export async function measureTransports(setting: Setting): Promise<Findings> {
  const found = transports.map((transport) => ({ ...transport, rounds: [] as Figures[] }));
  const amount = {
    senders: setting.scale < 1 ? [1, middleSenders] : [1, middleSenders, 16],
    messages: scaled(12_000, setting, 2_000),
  };
  await inTurn(setting, "our radios and Parsl's", async () => {
    for (const one of found) {
      setting.say(nameOf(one));
      one.rounds.push(await measureTransport(one, setting, amount));
    }
  });
  return { tables: tablesOf(found), targets: targetsOf(found), panels: panelsOf(found) };
}

function nameOf({ whose, radio }: Transport): string {
  return `${whose} ${radio}`;
}

function medianOf({ rounds }: Measured, figure: (round: Figures) => number | null | undefined): number {
  return median(rounds.map((round) => figure(round) ?? NaN));
}

/** Of all rounds together: a round has too few for a p99. */
function latencyOf({ rounds }: Measured, share: number): number {
  const all = rounds.flatMap(({ latencies_ms }) => latencies_ms).sort((a, b) => a - b);
  return all[Math.min(all.length - 1, Math.floor(all.length * share))] ?? NaN;
}

function lossPercent({ sent, arrived }: Blast): number {
  return (1 - arrived / sent) * 100;
}

function blastOf(round: Figures, senders: number): Blast | undefined {
  return round.blasts.find((blast) => blast.senders === senders);
}

/** The size of which CPU and the chart's rate are. */
const middleSenders = 4;

function worstLoss(measured: Measured): number {
  return Math.max(...measured.rounds.flatMap(({ blasts }) => blasts.map((blast) => lossPercent(blast))));
}

function rateOf(measured: Measured, senders = middleSenders): number {
  return medianOf(measured, (round) => blastOf(round, senders)?.per_second);
}

function drainOf(measured: Measured): number {
  return medianOf(measured, (round) => blastOf(round, middleSenders)?.drained_per_second);
}

function pacedLoss(measured: Measured): number {
  return Math.max(...measured.rounds.map(({ paced }) => (paced === undefined ? NaN : lossPercent(paced))));
}

function uncountedOf({ rounds }: Measured): number {
  return rounds.reduce((sum, { uncounted }) => sum + Math.abs(uncounted ?? NaN), 0);
}

function tablesOf(transports: readonly Measured[]): Table[] {
  const senders = transports[0]?.rounds[0]?.blasts.map((blast) => blast.senders) ?? [];
  return [
    {
      title: "Sending and arriving",
      rows: [
        ["radio", "a send", "p50", "p99", ...senders.map(sendersOf), "sender CPU", "receiver CPU"],
        ...transports.map((one) => [
          nameOf(one),
          `${medianOf(one, ({ cost_us }) => cost_us).toFixed(1)} us`,
          `${latencyOf(one, 0.5).toFixed(1)} ms`,
          `${latencyOf(one, 0.99).toFixed(1)} ms`,
          ...senders.map((count) => perSecond(rateOf(one, count))),
          `${medianOf(one, (round) => blastOf(round, middleSenders)?.sender_us).toFixed(0)} us`,
          micros(medianOf(one, (round) => blastOf(round, middleSenders)?.receiver_us)),
        ]),
      ],
    },
    {
      title: "Lost, in the worst of the rounds",
      rows: [
        ["radio", ...senders.map(sendersOf), "paced, 10,000/s of 4", "lost and not counted"],
        ...transports.map((one) => [
          nameOf(one),
          ...senders.map((count) =>
            percent(
              Math.max(
                ...one.rounds.map((round) => {
                  const blast = blastOf(round, count);
                  return blast === undefined ? NaN : lossPercent(blast);
                }),
              ),
            ),
          ),
          percent(pacedLoss(one)),
          one.whose === "ours" ? String(uncountedOf(one)) : worstLoss(one) > 0 ? "all" : "–",
        ]),
      ],
    },
  ];
}

function micros(value: number): string {
  return Number.isNaN(value) ? "–" : `${value.toFixed(0)} us`;
}

function sendersOf(count: number): string {
  return count === 1 ? "1 sender" : `${String(count)} senders`;
}

function perSecond(value: number): string {
  return Number.isNaN(value) ? "–" : `${rounded(value)}/s`;
}

function percent(value: number): string {
  return Number.isNaN(value) ? "–" : `${value.toFixed(value === 0 || value >= 1 ? 0 : 2)} %`;
}

function targetsOf(transports: readonly Measured[]): Target[] {
  const find = (whose: Transport["whose"], radio: string): Measured | undefined =>
    transports.find((one) => one.whose === whose && one.radio === radio);
  const files = find("ours", "filesystem");
  const theirFiles = find("Parsl's", "filesystem");
  const udp = find("ours", "udp");
  const ours = transports.filter(({ whose }) => whose === "ours");
  const dearest = Math.max(...ours.map((one) => medianOf(one, ({ cost_us }) => cost_us)));
  const targets: Target[] = [
    {
      figure: "a send in the task's process, first message aside",
      wanted: "≤ 10 us",
      found: `${dearest.toFixed(1)} us by the dearest radio`,
      isMet: dearest <= 10,
    },
  ];
  if (files !== undefined && theirFiles !== undefined) {
    const slowest = latencyOf(files, 0.99);
    const times = rateOf(files) / rateOf(theirFiles);
    const drained = rateOf(files) / drainOf(theirFiles);
    targets.push(
      {
        figure: "by files: latency",
        wanted: "≤ 1 s",
        found: `p99 ${slowest.toFixed(0)} ms`,
        isMet: slowest <= 1000,
      },
      {
        figure: "by files: delivered/s",
        wanted: "≥ 20 times Parsl's",
        found: `${times.toFixed(1)} times; ${drained.toFixed(1)} times what it reads, its wait of up to 10 s left out`,
        isMet: times >= 20,
      },
    );
  }
  if (udp !== undefined) {
    const paced = pacedLoss(udp);
    const uncounted = uncountedOf(udp);
    targets.push(
      {
        figure: "by UDP: lost of 10,000/s from 4 processes",
        wanted: "0",
        found: percent(paced),
        isMet: paced === 0,
      },
      {
        figure: "by UDP: lost in a blast and not counted",
        wanted: "0",
        found: String(uncounted),
        isMet: uncounted === 0,
      },
    );
  }
  return targets;
}

function panelsOf(transports: readonly Measured[]): Panel[] {
  const panel = (title: string, value: (one: Measured) => number, text: (value: number) => string) => ({
    title,
    bars: transports.map((one) => ({
      label: nameOf(one),
      value: value(one),
      text: text(value(one)),
      isOurs: one.whose === "ours",
    })),
  });
  return [
    panel(
      "A send in the task's process, us (less is better)",
      (one) => medianOf(one, ({ cost_us }) => cost_us),
      (us) => us.toFixed(1),
    ),
    panel("Arrived a second, 4 senders (more is better)", rateOf, rounded),
    panel(
      "Latency, median, ms (less is better): ours to the row, Parsl's to the queue before its database",
      (one) => latencyOf(one, 0.5),
      (ms) => ms.toFixed(1),
    ),
  ];
}
