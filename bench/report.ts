import type { Load, LoadFigures, Quantiles } from "./load.js";
import type { Mix } from "./messages.js";

export interface Comparison {
  readonly mix: Mix;
  /** Medians, in messages a second. */
  readonly ours: number;
  readonly parsl: number;
  /** Ours by Parsl's in each round: how far they lie apart says what the medians are worth. */
  readonly ratios: readonly number[];
  /** SQLite alone, in rows a second; for samples only, which are a row each. */
  readonly bare: number | undefined;
}

/** When and where figures were taken. */
export interface Circumstances {
  readonly date: string;
  readonly machine: string;
  readonly seconds: number;
  /** Share of the machine's CPU that programs took that have nothing to do with this run. */
  readonly othersShare: number;
}

export interface Table {
  readonly title: string;
  readonly rows: string[][];
}

export interface Report extends Circumstances {
  readonly shapes: (Load & LoadFigures & { readonly peakMebibytes: number })[];
  readonly latency: { readonly ackMs: Quantiles; readonly visibleMs: Quantiles };
  readonly parslVisibleMs: Quantiles | undefined;
  readonly comparisons: readonly Comparison[];
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** Parsl's rate times this is the least that the collector should do. */
const goalTimes = 6;

const nameOfMix: Readonly<Record<Mix, string>> = { resource: "ResourceInfo", tasks: "whole task lives" };

function tables(report: Report): Table[] {
  const made = [
    {
      title: "At saturation",
      rows: [
        [
          "messages",
          "streams",
          "in an envelope",
          "durable/s",
          "ack p50",
          "ack p99",
          "CPU a message",
          "peak memory",
        ],
        ...report.shapes.map((shape) => [
          nameOfMix[shape.mix],
          String(shape.streams),
          String(shape.envelopeMessages),
          rounded(shape.messagesPerSecond),
          `${shape.ackMs.p50.toFixed(1)} ms`,
          `${shape.ackMs.p99.toFixed(1)} ms`,
          `${shape.cpuMicrosPerMessage.toFixed(1)} us`,
          `${String(shape.peakMebibytes)} MiB`,
        ]),
      ],
    },
    {
      title: "50 single messages a second",
      rows: [
        ["from sending to", "p50", "p99"],
        ["the acknowledgement", ...inMs(report.latency.ackMs)],
        ["a reader sees the row", ...inMs(report.latency.visibleMs)],
        ...(report.parslVisibleMs === undefined
          ? []
          : [
              ["the same with Parsl's own monitoring", ...inMs(report.parslVisibleMs)],
              ["Parsl's by ours", ...timesAt(report.parslVisibleMs, report.latency.visibleMs)],
            ]),
      ],
    },
  ];
  if (report.comparisons.length > 0) {
    made.push({
      title: "Beside Parsl's own monitoring (medians of three, in turn)",
      rows: [
        ["messages", "ours/s", "Parsl's/s", "ratio", "of the rounds", "SQLite alone, rows/s", "ours of that"],
        ...report.comparisons.map(({ mix, ours, parsl, ratios, bare }) => [
          nameOfMix[mix],
          rounded(ours),
          rounded(parsl),
          `${(ours / parsl).toFixed(1)} times`,
          `${Math.min(...ratios).toFixed(1)} to ${Math.max(...ratios).toFixed(1)}`,
          bare === undefined ? "–" : rounded(bare),
          bare === undefined ? "–" : `${((ours / bare) * 100).toFixed(0)} %`,
        ]),
      ],
    });
  }
  return made;
}

function inMs({ p50, p99 }: Quantiles): string[] {
  return [`${p50.toFixed(1)} ms`, `${p99.toFixed(1)} ms`];
}

function timesAt(slow: Quantiles, fast: Quantiles): string[] {
  return [slow.p50 / fast.p50, slow.p99 / fast.p99].map((times) => `${times.toFixed(0)} times`);
}

/** Whether the goal is reached, for each kind of load; nothing where Parsl was not measured. */
function verdict({ comparisons }: Report): string[] {
  if (comparisons.length === 0) return [];
  const each = comparisons.map(({ mix, ours, parsl, ratios }) => {
    const rounds = ratios.filter((ratio) => ratio >= goalTimes).length;
    const median = ours / parsl >= goalTimes ? "reached" : "missed";
    return `${nameOfMix[mix]} ${median} by the medians, reached in ${String(rounds)} of ${String(ratios.length)} rounds`;
  });
  return [
    `Goal: at least ${String(goalTimes)} times Parsl's messages a second for each kind of load. ${each.join("; ")}.`,
  ];
}

/** Three figures: the rest is noise. */
export function rounded(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en");
}

export function circumstances(report: Circumstances): string {
  return (
    `${report.date}, ${report.machine}, synchronous FULL. The run took ${report.seconds.toFixed(0)} s; other programs ` +
    `took ${(report.othersShare * 100).toFixed(0)} % of the CPU meanwhile.`
  );
}

export function asTable(report: Report): string {
  return [circumstances(report), tablesAsText(tables(report)), ...verdict(report)].join("\n\n");
}

export function tablesAsText(parts: readonly Table[]): string {
  const each = parts.map(({ title, rows }) => {
    const widths = widthsOf(rows);
    const lines = rows.map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    );
    return `${title}\n${lines.map((line) => `  ${line}`).join("\n")}`;
  });
  return each.join("\n\n");
}

function widthsOf(rows: readonly string[][]): number[] {
  return (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
}

/** Laid out as the formatter does, which checks the file with the others. */
export function tablesAsMarkdown(parts: readonly Table[]): string {
  const each = parts.map(({ title, rows }) => {
    const widths = widthsOf(rows);
    const [head = [], ...body] = rows;
    const line = (cells: readonly string[]): string =>
      `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
    const rule = widths.map((width) => "-".repeat(width));
    return [`## ${title}`, "", line(head), line(rule), ...body.map(line)].join("\n");
  });
  return each.join("\n\n");
}

export function asMarkdown(report: Report): string {
  return `# Performance

Made by \`npm run bench -- --write docs/PERFORMANCE.md\`; not by hand. Absolute figures move by a factor of two from
run to run on a shared machine: compare ratios within a run.

${circumstances(report)}

${[tablesAsMarkdown(tables(report)), ...verdict(report)].join("\n\n")}

A whole task life is nine messages: 5 TASK_INFO, 2 WORKER_TASK_INFO, 2 RESOURCE_INFO. At saturation each stream has
8 envelopes on the way, so an acknowledgement waits for all that is before it. "SQLite alone" is better-sqlite3 writing
the same rows in transactions of 5,000 with the same settings, and nothing else. All of a line runs on the same cores:
senders, collector and disk.
`;
}
