import test from "ava";

import type { Scope } from "./scope.js";

/** A scope that ends with the last test of the calling file. */
export function fileScope(): Scope {
  const undo: (() => unknown)[] = [];
  test.after.always(async () => {
    for (const fn of undo.reverse()) await fn();
  });
  return { teardown: (fn) => undo.push(fn), passed: true, log: () => undefined };
}
