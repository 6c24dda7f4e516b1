import type { Panel } from "./chart.js";

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
  readonly rows: readonly (readonly string[])[];
}

/** What a figure shall be, and what it is. */
export interface Target {
  readonly figure: string;
  readonly wanted: string;
  readonly found: string;
  readonly isMet: boolean;
}

/** What a part of the bench found. */
export interface Findings {
  readonly tables: readonly Table[];
  readonly targets?: readonly Target[];
  /** Ours by another's, both measured in one run: the greater the better, on whatever machine. */
  readonly ratios?: Readonly<Record<string, number>>;
  readonly panels?: readonly Panel[];
}

export interface PartResult extends Findings, Circumstances {
  readonly part: string;
  /** Of its full size: below 1 it is a look, and no record. */
  readonly scale: number;
  readonly rounds: number;
}

/** The figures of one run, or those that are on record. */
export interface Results {
  readonly parts: readonly PartResult[];
}

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

export function quantiles(values: readonly number[]): Quantiles {
  const inOrder = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    inOrder[Math.min(inOrder.length - 1, Math.floor(share * inOrder.length))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

export function median(values: readonly number[]): number {
  return quantiles(values).p50;
}

/** Three figures: the rest is noise. */
export function rounded(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en");
}

export function times(ratio: number): string {
  return `${ratio.toFixed(ratio < 100 ? 1 : 0)} times`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 0.01 ? 1 : 0)} %`;
}

export function inMs({ p50, p99 }: Quantiles): string[] {
  return [`${p50.toFixed(1)} ms`, `${p99.toFixed(1)} ms`];
}

export function circumstances(result: Circumstances): string {
  return (
    `${result.date}, ${result.machine}, synchronous FULL. The run took ${result.seconds.toFixed(0)} s; other programs ` +
    `took ${percent(result.othersShare)} of the CPU meanwhile.`
  );
}

/** All targets of all parts; nothing where no part has one. */
export function targetsTable(parts: readonly PartResult[]): Table[] {
  const rows = parts.flatMap(({ part, targets = [] }) =>
    targets.map(({ figure, wanted, found, isMet }) => [
      figure,
      wanted,
      found,
      isMet ? "met" : "missed",
      part,
    ]),
  );
  return rows.length === 0
    ? []
    : [{ title: "Targets", rows: [["figure", "target", "found", "", "part"], ...rows] }];
}

/** For the terminal. */
export function asText({ parts }: Results): string {
  return [
    ...parts.flatMap((result) => [
      `${result.part}: ${circumstances(result)}${isRecord(result) ? "" : " A look, at a part of the size."}`,
      ...tablesAsText(result.tables),
    ]),
    ...tablesAsText(targetsTable(parts)),
  ].join("\n\n");
}

/** A part that was measured in full, as often as a median needs. */
export function isRecord({ scale, rounds }: Pick<PartResult, "scale" | "rounds">): boolean {
  return scale >= 1 && rounds >= 3;
}

export function tablesAsText(tables: readonly Table[]): string[] {
  return tables.map(({ title, rows }) => {
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
}

function widthsOf(rows: Table["rows"]): number[] {
  return (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
}

/** Laid out as the formatter does, which checks the page with the others. */
export function tableAsMarkdown({ rows }: Pick<Table, "rows">): string {
  const widths = widthsOf(rows);
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}
