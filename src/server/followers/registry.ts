import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { CollectorError, reasonOf } from "../../base/errors.js";
import { nearestName } from "../../base/names.js";
import type { FollowingSinkKind } from "./sink.js";

/** The kinds that come with this package. Loaded when they are named: most collectors have none. */
const builtIn: Readonly<Record<string, () => Promise<FollowingSinkKind>>> = {
  jsonl: async () => (await import("./jsonl.js")).jsonLines,
  nats: async () => (await import("./nats.js")).nats,
};

/** The kind of this name, or else the one that the module exports as `sink`. Rejects with a CollectorError. */
export async function loadSinkKind(name: string): Promise<FollowingSinkKind> {
  const known = builtIn[name];
  if (known !== undefined) return known();
  // From the user's place, not from this file's.
  const specifier = /^\.{0,2}\//.test(name) ? pathToFileURL(resolve(name)).href : name;
  let exported: { readonly sink?: unknown };
  try {
    exported = (await import(specifier)) as typeof exported;
  } catch (cause) {
    throw unknown(name, `no sink has this name, and no module: ${reasonOf(cause)}`, cause);
  }
  if (!isSinkKind(exported.sink)) throw unknown(name, "the module exports no `sink` with a function open");
  return exported.sink;
}

function unknown(name: string, reason: string, cause?: unknown): CollectorError {
  const names = Object.keys(builtIn);
  const near = nearestName(name, names);
  const cure = near === undefined ? `known are ${names.join(", ")}` : `did you mean "${near}"?`;
  return new CollectorError("invalid-argument", `load sink "${name}": ${reason}; ${cure}`, { cause });
}

function isSinkKind(value: unknown): value is FollowingSinkKind {
  return typeof value === "object" && value !== null && "open" in value && typeof value.open === "function";
}
