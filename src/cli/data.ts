import { styleText } from "node:util";

import { CollectorError, hasCode } from "../base/errors.js";
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
 *  line on stderr. Whoever reads stdout may stop, as `head` does. */
export async function printing(command: string, act: () => number | Promise<number>): Promise<void> {
  process.stdout.on("error", (cause) => {
    if (!hasCode(cause, "EPIPE")) throw cause;
  });
  try {
    process.exitCode = await act();
  } catch (cause) {
    process.stderr.write(`parsl-collector ${command}: ${reasonFor(cause)}\n`);
    process.exitCode = exitCodes.failed;
  }
}

/** Throws what is a fault of ours. */
function reasonFor(cause: unknown): string {
  if (cause instanceof CollectorError) return cause.message;
  // By its name: its class would load SQLite for commands that do without.
  if (cause instanceof Error && cause.name === "SqliteError") {
    return `use the database: ${cause.message}; see what \`parsl-collector doctor --database FILE\` says of it`;
  }
  throw cause;
}
