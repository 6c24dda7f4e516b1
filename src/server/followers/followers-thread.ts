import { parentPort, workerData } from "node:worker_threads";

import { systemClock } from "../../base/clock.js";
import { CollectorError, reasonOf } from "../../base/errors.js";
import { openLogger, type LogLevel } from "../../base/logger.js";
import { follow, type Followed } from "./follow.js";
import type { FollowersData, FromFollowers, ToFollowers } from "./messages.js";
import { loadSinkKind } from "./registry.js";
import type { FollowingSink } from "./sink.js";

/** The thread of the sinks that follow: what they do with a message takes nothing from those who bring the next ones. */

if (parentPort === null)
  throw new CollectorError("internal", "start the followers: this file runs in a thread only");
const port = parentPort;
const { sinks, level } = workerData as FollowersData;
const logger = openLogger(level as LogLevel);
const end = new AbortController();
/** By sink: who waits for entries. */
const waiting = new Map<string, (answer: Awaited<ReturnType<Followed["next"]>>) => void>();

function tell(what: FromFollowers): void {
  port.postMessage(what);
}

function followedBy(sink: string): Followed {
  return {
    next: (after, mostBytes) => {
      tell({ next: { sink, after, mostBytes } });
      return new Promise((resolve) => waiting.set(sink, resolve));
    },
    stored: (position) => tell({ stored: { sink, position } }),
  };
}

port.on("message", (message: ToFollowers) => {
  if ("entries" in message) {
    const { sink, from, entries } = message.entries;
    waiting.get(sink)?.({ from, entries });
    return;
  }
  end.abort();
  for (const answer of waiting.values()) answer({ from: 0, entries: [] });
});

try {
  const open: (readonly [string, FollowingSink, number])[] = [];
  for (const { name, kind, address, position } of sinks) {
    const opened = await loadSinkKind(kind);
    open.push([name, await opened.open(address, { logger }), position]);
  }
  tell({ opened: true });
  await Promise.all(
    open.map(async ([name, sink, position]) => {
      await follow(name, sink, followedBy(name), position, {
        logger,
        clock: systemClock,
        signal: end.signal,
      });
      await sink[Symbol.asyncDispose]();
    }),
  );
} catch (cause) {
  tell({ failed: reasonOf(cause) });
}
port.close();
