import { join, resolve } from "node:path";

import { systemClock, type Clock } from "../../base/clock.js";
import { CollectorError, isRefusal, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import type { Inbox, RadioReceiver, ReceiverOptions } from "../radio.js";
import type { Batch } from "./batch.js";
import { Hints } from "./hints.js";
import { Mailbox } from "./mailbox.js";
import { isBatchName } from "./names.js";

/** The name under which the ledger knows this radio. */
const radioName = "filesystem";

/** Pauses between two looks into the directory, in ms: the first after one that found something, doubling up to the
 *  last. Idle it costs a collector under 1 % of a core. */
const shortestPauseMs = 50;
const longestPauseMs = 500;

/** How often to look for what the dead left, in ms. */
const inspectionMs = 5_000;

/** Batches, and bytes of them, that are read and not yet committed, above which no more are taken. */
const mostOnTheirWay = 32;
const mostBytesOnTheirWay = 16 * 1024 * 1024;

/** Batches that are taken and read at once: as many as Node has threads for files. */
const readAtOnce = 4;

/** Takes envelopes from the files that senders leave in a directory, which it makes when it is missing. A file is
 *  removed when all its envelopes are committed. Several collectors may read one directory: each file reaches one. */
export async function openFilesystemReceiver(
  address: string,
  inbox: Inbox,
  { logger }: ReceiverOptions,
  clock: Clock = systemClock,
): Promise<RadioReceiver> {
  const directory = resolve(address);
  let mailbox: Mailbox;
  try {
    mailbox = await Mailbox.open(directory);
  } catch (cause) {
    throw new CollectorError(
      "listen",
      `read messages from directory ${directory}: ${reasonOf(cause)}; name a directory that this user may write`,
      { cause },
    );
  }
  return new FilesystemReceiver(directory, mailbox, inbox, logger, clock);
}

/** A batch that this collector has taken. */
interface Taken extends Batch {
  readonly name: string;
  readonly bytes: number;
}

class FilesystemReceiver implements RadioReceiver {
  readonly address: string;
  readonly refused = new Map<string, number>();
  readonly #mailbox: Mailbox;
  readonly #inbox: Inbox;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #looking: Promise<void>;
  /** None where it would hint at our own nudges only. */
  readonly #hints: Hints | undefined;
  readonly #onTheirWay = new Set<Promise<void>>();
  #bytesOnTheirWay = 0;
  /** Junk that cannot be moved, by its path in `new`. */
  #immovable: ReadonlySet<string> = new Set();
  /** Ends the pause after a look that found nothing. */
  #idle = new AbortController();
  /** Whether something may have come since the last look began. */
  #hinted = false;
  #inspectedMs = -Infinity;
  /** What went wrong in this look, but did not end it. */
  #trouble: unknown;
  /** Whether the log has been told that the directory cannot be used. */
  #toldTrouble = false;
  /** Whether the inbox has refused a batch for now, in this look or since. */
  #refusedForNow = false;

  constructor(directory: string, mailbox: Mailbox, inbox: Inbox, logger: Logger, clock: Clock) {
    this.address = directory;
    this.#mailbox = mailbox;
    this.#inbox = inbox;
    this.#logger = logger;
    this.#clock = clock;
    this.#hints = mailbox.isShared ? undefined : new Hints(() => this.#hint());
    this.#looking = this.#keepLooking();
  }

  /** Takes no more, waits for what the inbox has accepted, and gives back what it refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#stopped.resolve();
    this.#idle.abort();
    await this.#looking;
    await Promise.all(this.#onTheirWay);
  }

  async #keepLooking(): Promise<void> {
    let pauseMs = shortestPauseMs;
    while (!this.#isStopping()) {
      const found = await this.#tryToLook();
      pauseMs = found && !this.#refusedForNow ? shortestPauseMs : Math.min(pauseMs * 2, longestPauseMs);
      await this.#sleep(shortestPauseMs, this.#stop.signal);
      this.#idle = new AbortController();
      if (!this.#hinted && !this.#isStopping())
        await this.#sleep(pauseMs - shortestPauseMs, this.#idle.signal);
    }
    this.#hints?.watch([]);
  }

  /** Whether it found something. */
  async #tryToLook(): Promise<boolean> {
    this.#hinted = false;
    this.#refusedForNow = false;
    this.#trouble = undefined;
    let found = false;
    try {
      await this.#inspect();
      found = await this.#look();
    } catch (cause) {
      this.#trouble = cause;
      this.#hints?.watch([]); // a folder that comes again under its name is another one
    }
    if (this.#trouble !== undefined) this.#tellTrouble(this.#trouble);
    else if (this.#toldTrouble) {
      this.#toldTrouble = false;
      this.#logger.info({ directory: this.address }, "directory of messages can be used again");
    }
    return found;
  }

  async #inspect(): Promise<void> {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#inspectedMs < inspectionMs) return;
    const batches = await this.#mailbox.takeBack(nowMs);
    const unfinished = await this.#mailbox.removeUnfinished(nowMs);
    if (batches + unfinished > 0) {
      this.#logger.info({ batches, unfinished }, "took back what dead processes left");
    }
    this.#inspectedMs = nowMs;
  }

  async #look(): Promise<boolean> {
    const { shards, junk } = await this.#mailbox.arrivals();
    this.#hints?.watch(["", ...shards].map((shard) => this.#mailbox.shardPath(shard)));
    const immovable = new Set<string>();
    for (const name of junk) await this.#setJunkAside([name], immovable);
    let found = false;
    for (const shard of shards) {
      const names = await this.#mailbox.arrivalsIn(shard);
      for (const name of names) if (!isBatchName(name)) await this.#setJunkAside([shard, name], immovable);
      if (await this.#takeAll(names.filter(isBatchName))) found = true;
    }
    this.#immovable = immovable;
    return found;
  }

  /** Takes batches and gives them to the inbox in their order. Whether there were any to take. */
  async #takeAll(batches: readonly string[]): Promise<boolean> {
    let found = false;
    for (let at = 0; at < batches.length; at += readAtOnce) {
      await this.#room();
      if (this.#isStopping()) break;
      const taken = await Promise.all(
        batches.slice(at, at + readAtOnce).map((name) => this.#tryToTake(name)),
      );
      for (const batch of taken) {
        if (batch === undefined) continue;
        found = true;
        this.#deliver(batch);
      }
    }
    return found;
  }

  async #tryToTake(name: string): Promise<Taken | undefined> {
    try {
      if (!(await this.#mailbox.claim(name))) return undefined;
      try {
        return { name, ...(await this.#mailbox.read(name)) };
      } catch (cause) {
        await this.#mailbox.release(name);
        throw cause;
      }
    } catch (cause) {
      this.#trouble ??= cause; // the others may go all the same
      return undefined;
    }
  }

  /** Waits while the inbox or we have too much. */
  async #room(): Promise<void> {
    const isFull = (): boolean =>
      this.#onTheirWay.size >= mostOnTheirWay || this.#bytesOnTheirWay >= mostBytesOnTheirWay;
    while (!this.#isStopping() && (isFull() || this.#inbox.room !== undefined)) {
      await Promise.race([
        this.#stopped.promise,
        isFull() ? Promise.race(this.#onTheirWay) : this.#inbox.room,
      ]);
    }
  }

  #deliver(batch: Taken): void {
    const accepted = batch.envelopes.map((bytes) => this.#inbox.accept(bytes, radioName));
    this.#bytesOnTheirWay += batch.bytes;
    const settled = this.#settle(batch, accepted)
      .catch((cause: unknown) => this.#tellTrouble(cause))
      .finally(() => {
        this.#onTheirWay.delete(settled);
        this.#bytesOnTheirWay -= batch.bytes;
      });
    this.#onTheirWay.add(settled);
  }

  async #settle({ name, fault }: Taken, accepted: readonly Promise<unknown>[]): Promise<void> {
    const outcomes = await Promise.allSettled(accepted);
    const reasons = outcomes.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    if (!reasons.every(isRefusal)) {
      this.#refusedForNow = true;
      await this.#mailbox.release(name);
    } else if (fault !== undefined || reasons.length > 0) {
      await this.#mailbox.setClaimAside(name);
      this.#tellRefused(name, fault ?? "invalid-envelope", reasons[0]);
    } else {
      await this.#mailbox.remove(name);
    }
  }

  async #setJunkAside(path: readonly string[], immovable: Set<string>): Promise<void> {
    const name = join(...path);
    if (this.#immovable.has(name)) {
      immovable.add(name);
      return;
    }
    try {
      if (!(await this.#mailbox.setJunkAside(path))) return;
      this.#tellRefused(name, "foreign");
    } catch (cause) {
      immovable.add(name); // as an .nfs… file that is still open
      this.#tellRefused(name, "foreign", cause);
    }
  }

  #tellRefused(file: string, reason: string, cause?: unknown): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
    const details = cause === undefined ? undefined : reasonOf(cause);
    this.#logger.warn(
      {
        ...{ directory: this.address, file, reason, details },
        hint: "look at it there, and remove it; whoever writes here by another way should not",
      },
      "no batch of messages; kept in bad/",
    );
  }

  /** Tells it once, until all goes well again. */
  #tellTrouble(cause: unknown): void {
    if (this.#toldTrouble) return;
    this.#toldTrouble = true;
    const reason = reasonOf(cause);
    const hint = "see whether it is there, its disk has room, and this user may read and write in it";
    this.#logger.warn(
      { directory: this.address, reason, hint },
      "directory of messages cannot be used; trying on",
    );
  }

  #hint(): void {
    this.#hinted = true;
    this.#idle.abort();
  }

  #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Sleeps for so long, or until the signal wakes it. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal).catch(() => undefined);
  }
}
