/** Moments at which a process may die and something could be half done: what came before them has
 *  happened, what comes after has not. */
export type FaultPoint =
  | "writer: transaction begun"
  | "writer: rows written"
  | "writer: ledger written"
  | "writer: committed"
  | "spool: written"
  | "spool: segment rewritten"
  | "spool: segment acknowledged"
  | "batcher: before acknowledgement";

let handler: ((point: FaultPoint) => void) | undefined;

/** Tells a test that this moment has come. Nothing outside a test sets a handler. */
export function faultPoint(point: FaultPoint): void {
  handler?.(point);
}

/** Calls `told` at each moment from now on, in this process; undefined ends that. What it throws comes out
 *  of the code at that place. For tests. */
export function atFaultPoints(told: ((point: FaultPoint) => void) | undefined): void {
  handler = told;
}
