import { setTimeout as sleep } from "node:timers/promises";

import type { ExecutionContext, Macro } from "ava";
import test from "ava";

import { systemClock } from "../../../src/base/clock.js";
import type { Message } from "../../../src/client/message.js";
import { follow } from "../../../src/server/followers/follow.js";
import {
  FollowedGroup,
  type FollowingSink,
  type FollowingSinkKind,
} from "../../../src/server/followers/sink.js";
import type { LogEntry } from "../../../src/server/message-log.js";
import { resourceInfo, sample, taskInfo } from "../../support/builders.js";
import { envelopeOf, envelopeOfBytes } from "../../support/encoded.js";
import { recordingLogger } from "../../support/log-lines.js";

/** A kind of sink, and how a test looks at what it has. */
export interface Subject {
  readonly name: string;
  readonly kind: () => Promise<FollowingSinkKind>;
  /** A new place for messages, until the test ends. */
  readonly start: (t: ExecutionContext) => Promise<Place>;
}

export interface Place {
  readonly address: string;
  /** The names of the messages there, as "<sender>:<sequence>", in their order, each once. */
  readonly names: () => Promise<readonly string[]>;
  /** Lets it take nothing until `restore`. */
  readonly block: () => Promise<void>;
  readonly restore: () => Promise<void>;
}

const senderId = "a".repeat(32);

/** An entry of the log that has messages `first` and on of one sender. */
export function entryOf(position: number, first: number, ...messages: readonly Message[]): LogEntry {
  const envelope = envelopeOf(messages, { senderId, first });
  return {
    position,
    committedAt: 1_772_366_400_000_000 + position,
    radio: "grpc",
    envelope,
    rejections: new Map(),
  };
}

function namesOf(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, n) => `${senderId}:${String(from + n)}`);
}

/** What every sink that follows does. For authors: give it your own. */
export const keepsTheContract: Macro<[Subject]> = test.macro({
  title: (_, { name }) => `${name} keeps the contract of sinks that follow`,
  exec: async (t, { kind, start }) => {
    const place = await start(t);
    const { logger } = recordingLogger();
    const opening = await kind();
    const openHere = (): Promise<FollowingSink> => opening.open(place.address, { logger });
    let sink = await openHere();

    // What is stored when `store` has resolved is there, in its order.
    await sink.store(new FollowedGroup([entryOf(1, 1, sample(1), taskInfo()), entryOf(2, 3, sample(3))]));
    t.deepEqual(await place.names(), namesOf(1, 3));

    // What no table took, what is no message, and what a sender says of itself trouble it not.
    const strange: LogEntry[] = [
      {
        ...entryOf(3, 4, resourceInfo({ taskId: undefined })),
        rejections: new Map([[4, "lacks task_id\nand more"]]),
      },
      { ...entryOf(4, 5), envelope: envelopeOfBytes([Uint8Array.of(0x08)], { senderId, first: 5 }) },
      {
        ...entryOf(5, 0),
        envelope: envelopeOf([], { senderId, lastSequence: 9, losses: [{ first: 6, last: 6, kind: "" }] }),
      },
    ];
    await sink.store(new FollowedGroup(strange));
    t.deepEqual(await place.names(), namesOf(1, 5));

    // The end of what it had comes again after a crash, in other groups: each message is there once, by its name.
    await sink[Symbol.asyncDispose]();
    sink = await openHere();
    await sink.store(new FollowedGroup([entryOf(2, 3, sample(3))]));
    await sink.store(new FollowedGroup([...strange, entryOf(6, 7, sample(7), sample(8))]));
    t.deepEqual(await place.names(), [...namesOf(1, 5), ...namesOf(7, 8)]);

    // What it cannot take now it rejects, or waits with; it comes again until it is there.
    await place.block();
    const stop = new AbortController();
    const entries = [entryOf(7, 9, ...Array.from({ length: 500 }, (_, n) => sample(9 + n)))];
    const stored = Promise.withResolvers<number>();
    const following = follow(
      "it",
      sink,
      {
        next: async (after) => {
          const left = entries.filter(({ position }) => position > after);
          if (left.length === 0)
            await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
          return { from: 0, entries: left };
        },
        stored: stored.resolve,
      },
      6,
      { logger, clock: systemClock, signal: stop.signal },
    );
    const early = await Promise.race([stored.promise, sleep(300)]);
    t.is(early, undefined, "it said that it had what it could not have");
    await place.restore();
    t.is(await stored.promise, 7);
    stop.abort();
    await following;
    t.deepEqual(await place.names(), [...namesOf(1, 5), ...namesOf(7, 508)]);

    await sink[Symbol.asyncDispose]();
  },
});
