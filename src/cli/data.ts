import { styleText } from "node:util";

import { CollectorError, reasonOf } from "../base/errors.js";
import { exitCodes } from "./exit-codes.js";

/** JSON of what may hold bigints (counts, which are exact below 2^53) and bytes (as hexadecimal digits). */
export function jsonOf(value: unknown): string {
  return JSON.stringify(
    value,
    (_, field: unknown) => {
      if (typeof field === "bigint") return Number(field);
      return field instanceof Uint8Array ? Buffer.from(field).toString("hex") : field;
    },
    2,
  );
}

/** 1604211 as "1,604,211". */
export function digits(count: bigint | number): string {
  return count.toLocaleString("en-US");
}

/** "1 message", "2 messages". */
export function counted(count: bigint | number, noun: string): string {
  return `${digits(count)} ${noun}${Number(count) === 1 ? "" : "s"}`;
}

/** Lines of columns: numbers to the right, all else to the left. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const isNumber = head.map((_, column) => rows.every((row) => /^[\d,]+$/.test(row[column] ?? "")));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return isNumber[column] === true ? cell.padStart(width) : cell.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A text for stdout, in this colour where it has colours: on a terminal that can, unless NO_COLOR says no. */
export function inColour(colour: "green" | "yellow" | "red", text: string): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? styleText(colour, text) : text;
}

/** Runs a command that prints data on stdout and answers with its exit code. What it cannot do it says in a
 *  line on stderr. */
export async function printing(command: string, act: () => number | Promise<number>): Promise<void> {
  try {
    process.exitCode = await act();
  } catch (cause) {
    if (!(cause instanceof CollectorError)) throw cause;
    process.stderr.write(`parsl-collector ${command}: ${reasonOf(cause)}\n`);
    process.exitCode = exitCodes.failed;
  }
}
