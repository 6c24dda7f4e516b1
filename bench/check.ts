import type { PartResult, Results, Table } from "./report.js";

/** A ratio below this part of the recorded one has lost a quarter. */
const leastKept = 0.75;

export interface Check {
  readonly part: string;
  readonly name: string;
  readonly recorded: number;
  /** Undefined where the part has not measured it. */
  readonly found: number | undefined;
  readonly isKept: boolean;
}

/** Each recorded ratio of the parts that were measured, beside the one that they found. */
export function checkRatios(record: Results, { parts }: Results): Check[] {
  return record.parts.flatMap((recorded) => {
    const measured = parts.find(({ part }) => part === recorded.part);
    return measured === undefined ? [] : checksOf(recorded, measured);
  });
}

function checksOf({ part, ratios = {} }: PartResult, measured: PartResult): Check[] {
  return Object.entries(ratios).map(([name, recorded]) => {
    const found = measured.ratios?.[name];
    return { part, name, recorded, found, isKept: found !== undefined && found >= leastKept * recorded };
  });
}

export function checksTable(checks: readonly Check[]): Table {
  return {
    title: `Ratios beside the recorded ones; ${String(leastKept * 100)} % of each must be left`,
    rows: [
      ["part", "ratio", "recorded", "found", "left", ""],
      ...checks.map(({ part, name, recorded, found, isKept }) => [
        part,
        name,
        recorded.toPrecision(3),
        found?.toPrecision(3) ?? "–",
        found === undefined ? "–" : `${((found / recorded) * 100).toFixed(0)} %`,
        isKept ? "kept" : "LOST",
      ]),
    ],
  };
}
