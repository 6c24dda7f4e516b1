/** What a support needs of a test to end with it: ava's `t` is one, and so is a whole file's. */
export interface Scope {
  /** Calls `fn` at the end, before those that were given earlier. */
  teardown(fn: () => unknown): void;
  readonly passed: boolean;
  log(...values: unknown[]): void;
}
