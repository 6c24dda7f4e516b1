import { asChart } from "./chart.js";
import { circumstances, median, rounded, type Circumstances, type Table } from "./report.js";
import type { Blast, Figures, Transport } from "./transports.js";

/** A radio and what each round found. */
export interface Measured extends Transport {
  readonly rounds: readonly Figures[];
}

export interface TransportsReport extends Circumstances {
  readonly transports: readonly Measured[];
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

export function transportTables({ transports }: TransportsReport): Table[] {
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

/** Each goal, whether it is reached, and by how much. */
export function transportVerdicts({ transports }: TransportsReport): string[] {
  const find = (whose: Transport["whose"], radio: string): Measured | undefined =>
    transports.find((one) => one.whose === whose && one.radio === radio);
  const files = find("ours", "filesystem");
  const theirFiles = find("Parsl's", "filesystem");
  const udp = find("ours", "udp");
  const ours = transports.filter(({ whose }) => whose === "ours");
  const dearest = Math.max(...ours.map((one) => medianOf(one, ({ cost_us }) => cost_us)));
  const lines = [
    goal(
      dearest <= 10,
      "a send holds up its task 10 us at most",
      `${dearest.toFixed(1)} us by the dearest radio`,
    ),
  ];
  if (files !== undefined) {
    const slowest = latencyOf(files, 0.99);
    lines.push(goal(slowest <= 1000, "by files a row is seen within 1 s", `p99 ${slowest.toFixed(0)} ms`));
  }
  if (files !== undefined && theirFiles !== undefined) {
    const times = rateOf(files) / drainOf(theirFiles);
    const waiting = rateOf(files) / rateOf(theirFiles);
    lines.push(
      goal(
        times >= 20,
        "by files 20 times Parsl's messages a second",
        `${times.toFixed(1)} times with 4 senders, its wait of up to 10 s left out; ${waiting.toFixed(0)} times with it`,
      ),
    );
  }
  if (udp !== undefined) {
    const paced = pacedLoss(udp);
    lines.push(goal(paced === 0, "by UDP nothing lost of 10,000 a second from 4 processes", percent(paced)));
    const uncounted = uncountedOf(udp);
    lines.push(
      goal(uncounted === 0, "what UDP loses is counted exactly", `${String(uncounted)} not counted`),
    );
  }
  return lines;
}

function goal(isReached: boolean, what: string, by: string): string {
  return `- ${isReached ? "reached" : "missed"}: ${what} (${by})`;
}

export function transportNotes(report: TransportsReport): string {
  return `Goals:

${transportVerdicts(report).join("\n")}

Samples of 29 fields, from Python processes that send as a worker does: our senders with the connection of their
process; Parsl's made anew for each message, but for zmq, whose sender the interchange keeps, and which is not a way
from a worker but on from the interchange. Medians of ${String(report.transports[0]?.rounds.length)} rounds, all radios in turn; latencies are of all rounds together.

"A send" is what the task waits, in bursts of 50 with rests, the first message of a process aside. p50 and p99 are from
the send to the end of the way, at 20 messages a second. The ends differ, in Parsl's favour: ours is a row that another
process reads from the database, committed with synchronous FULL; Parsl's is the queue to its database process, which
takes 0.7 s more in the median and takes some 5,000 messages a second (docs/PERFORMANCE.md). So does CPU: our receiver is the collector with its
database, Parsl's the process of its radio alone. CPU is for a message, with 4 senders, start of the processes aside.
Rates are of what arrived, from the first send to the last arrival; Parsl's filesystem radio, whose receiver looks every
10 s, delivers ${parslsDrain(report)} a second while it looks.
`;
}

function parslsDrain({ transports }: TransportsReport): string {
  const files = transports.find(({ whose, radio }) => whose === "Parsl's" && radio === "filesystem");
  return files === undefined ? "–" : rounded(drainOf(files));
}

export function transportChart(report: TransportsReport): string {
  const panel = (title: string, value: (one: Measured) => number, text: (value: number) => string) => ({
    title,
    bars: report.transports.map((one) => ({
      label: nameOf(one),
      value: value(one),
      text: text(value(one)),
      isOurs: one.whose === "ours",
    })),
  });
  return asChart(`${report.date}, ${report.machine}; logarithmic scales`, [
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
  ]);
}

export function transportsAsMarkdown(report: TransportsReport, tables: string): string {
  return `# The radios side by side

Made by \`npm run bench -- transports --write docs/TRANSPORTS.md --svg docs/transports.svg\`; not by hand. Absolute
figures move by a factor of two from run to run on a shared machine: compare ratios within a run.

${circumstances(report)}

![The figures below as bars](transports.svg)

${tables}

${transportNotes(report)}`;
}
