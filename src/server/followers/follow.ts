import type { Clock } from "../../base/clock.js";
import { reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import { Reconnect } from "../../base/reconnect.js";
import type { LogEntry } from "../message-log.js";
import { FollowedGroup, type FollowingSink } from "./sink.js";

/** Bytes of envelopes that a sink is given at once, but for a single one that is larger. */
const groupBytes = 256 * 1024;

/** What a sink follows. */
export interface Followed {
  /** Entries behind a position, and the position from which on there are any. Waits for one when there is none yet;
   *  none when it is told to end. */
  next(
    after: number,
    mostBytes: number,
  ): Promise<{ readonly from: number; readonly entries: readonly LogEntry[] }>;
  /** The sink has all up to a position. */
  stored(position: number): void;
}

/** Gives a sink what is committed behind a position until the signal aborts. Tries for ever what it does not take, and
 *  says so once until it goes on. */
export async function follow(
  name: string,
  sink: FollowingSink,
  followed: Followed,
  position: number,
  { logger, clock, signal }: { readonly logger: Logger; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const reconnect = new Reconnect(Math.random);
  let isBlocked = false;
  for (let at = position; !signal.aborted;) {
    const { from, entries } = await followed.next(at, groupBytes);
    if (at < from) {
      const hint = "what it lacks is in the database; --log-bytes keeps more for a sink that was away";
      logger.error(
        { sink: name, position: at, from, hint },
        "sink has missed messages that are no longer kept",
      );
      at = from;
    }
    const last = entries.at(-1);
    if (last === undefined) continue;
    try {
      await sink.store(new FollowedGroup(entries));
    } catch (cause) {
      if (!isBlocked) {
        const hint = "trying on; the database has everything, and keeps what the sink has not taken";
        logger.warn({ sink: name, reason: reasonOf(cause), hint }, "sink takes nothing for now");
      }
      isBlocked = true;
      await clock.sleep(reconnect.nextPauseMs(), signal).catch(() => undefined); // told to end
      continue;
    }
    if (isBlocked) logger.info({ sink: name }, "sink takes messages again");
    isBlocked = false;
    reconnect.succeeded();
    at = last.position;
    followed.stored(at);
  }
}
