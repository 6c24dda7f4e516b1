import { nextMicrosecond } from "../../model/time.js";

/** A row of a table whose key ends with a time. Rows of one group have the same key but for the time. */
export interface TimedRow {
  /** The time that its message said, as text in Parsl's form, which sorts as the times do. */
  readonly said: string;
  /** The rest of the row as text: tells an exact repeat from a different row. */
  readonly content: string;
}

/** The times under which the rows of one group are stored: each its own, moved on by the fewest
 *  microseconds that make it unique. Depends on the set of rows only. Returns the rows in the order of
 *  their times. */
export function uniqueTimes<Row extends TimedRow>(rows: readonly Row[]): { row: Row; timestamp: string }[] {
  const inOrder = [...rows].sort((a, b) => compare(a.said, b.said) || compare(a.content, b.content));
  const placed: { row: Row; timestamp: string }[] = [];
  let free = "";
  for (const row of inOrder) {
    const timestamp = row.said > free ? row.said : free;
    placed.push({ row, timestamp });
    free = nextMicrosecond(timestamp);
  }
  return placed;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
