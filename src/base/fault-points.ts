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
  | "batcher: before acknowledgement"
  | "prune: rows removed";

type Handler = (point: FaultPoint, where: string) => void;

let handler: Handler | undefined;

/** Tells a test that this moment has come, and in which object of its kind. Nothing outside a test sets a
 *  handler. */
export function faultPoint(point: FaultPoint, where = ""): void {
  handler?.(point, where);
}

/** Calls `told` at each moment from now on, in this process; undefined ends that. What it throws comes out
 *  of the code at that place. For tests. */
export function atFaultPoints(told: Handler | undefined): void {
  handler = told;
}
