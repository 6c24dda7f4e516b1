import { asChart } from "./chart.js";
import {
  circumstances,
  isRecord,
  tableAsMarkdown,
  targetsTable,
  type PartResult,
  type Results,
} from "./report.js";

/** The parts of `newer` in the place of the same ones on record. Throws for what must not go on record. */
export function mergeResults(record: Results, newer: Results): Results {
  const looks = newer.parts.filter((part) => !isRecord(part)).map(({ part }) => part);
  if (looks.length > 0) {
    throw new Error(
      `put ${looks.join(", ")} on record: measured at a part of the size, or less than three times; ` +
        "measure it without --quick and --scale",
    );
  }
  const parts = new Map([...record.parts, ...newer.parts].map((part) => [part.part, part]));
  return { parts: [...parts.values()] };
}

/** A template with the figures in it: the line `<!-- bench: PART -->` stands for all that a part found, and
 *  `<!-- bench: targets -->` for the targets of all. A part that is not on record is named with its command. */
export function pageOf(template: string, { parts }: Results): string {
  return template.replace(/^<!-- bench: (\S+) -->$/gm, (_, name: string) => {
    if (name === "targets") return targetsTable(parts).map(tableAsMarkdown).join("\n\n") || noTargets;
    const found = parts.find(({ part }) => part === name);
    return found === undefined ? notMeasured(name) : sectionOf(found);
  });
}

const noTargets = "No part with a target is on record yet.";

function notMeasured(part: string): string {
  return `Not on record yet: \`npm run bench -- ${part}\` measures it.`;
}

function sectionOf(result: PartResult): string {
  return [
    circumstances(result),
    ...(hasChart(result) ? [`![The figures of ${result.part} as bars](${chartName(result.part)})`] : []),
    ...result.tables.flatMap((table) => [`**${table.title}**`, tableAsMarkdown(table)]),
  ].join("\n\n");
}

export function chartName(part: string): string {
  return `${part}.svg`;
}

export function hasChart({ panels = [] }: PartResult): boolean {
  return panels.length > 0;
}

export function chartOf({ date, machine, panels = [] }: PartResult): string {
  return asChart(`${date}, ${machine}; logarithmic scales`, panels);
}
