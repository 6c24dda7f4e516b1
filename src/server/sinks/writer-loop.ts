import { parentPort, workerData } from "node:worker_threads";

import { CollectorError, reasonOf } from "../../base/errors.js";
import type { Principal } from "../../model/principal.js";
import { StoreCounts } from "../store-counts.js";
import type { Arrival, Losses, Outcome, SinkStatus } from "./sink.js";
import type { Call, PackedGroup, Report, WriterData } from "./writer-messages.js";

/** Told when the database cannot be written now, with the reason, and with undefined when it can again. */
export type OnBlocked = (reason: string | undefined) => void;

type MaybePromise<T> = T | Promise<T>;

/** The only one who writes to a database for this process. One call at a time; each waits for as long as the database
 *  cannot be written. */
export interface Writer {
  /** How it is written, for the log. */
  readonly journal: string;
  /** See Store.store. */
  store(group: readonly Arrival[]): MaybePromise<Outcome[]>;
  status(runId: string, principal?: Principal): MaybePromise<SinkStatus>;
  losses(): MaybePromise<Losses>;
  /** Keeps a log of what is committed from now on. */
  keepLog(): MaybePromise<void>;
  /** Lets sinks follow what is committed, and says from where each has to go on. */
  follow(names: readonly string[]): MaybePromise<ReadonlyMap<string, number>>;
  /** A sink that follows has all up to a position. */
  followed(name: string, position: number): MaybePromise<void>;
  close(): MaybePromise<void>;
}

/** Runs a writer in this thread. It may block for as long as the database cannot be written; meanwhile the main thread
 *  goes on with gRPC, and no stream starves behind a commit. */
export async function runWriter(
  open: (options: unknown, onBlocked: OnBlocked, counts: StoreCounts) => MaybePromise<Writer>,
): Promise<void> {
  if (parentPort === null)
    throw new CollectorError("internal", "start the writer: this file runs in a thread only");
  const port = parentPort;
  const report = (what: Report): void => port.postMessage(what);
  let writer: Writer;
  try {
    const { options, radios, counts } = workerData as WriterData;
    writer = await open(options, (blocked) => report({ blocked }), new StoreCounts(radios, counts));
  } catch (cause) {
    report({ failed: { message: reasonOf(cause) } });
    port.close();
    return;
  }
  report({ opened: writer.journal });
  const answer = async (call: Call): Promise<void> => {
    if ("store" in call) report({ stored: await writer.store(unpack(call.store)) });
    else if ("status" in call) report({ status: await writer.status(call.status, call.principal) });
    else if ("losses" in call) report({ losses: await writer.losses() });
    else if ("keepLog" in call) {
      await writer.keepLog();
      report({ logKept: true });
    } else if ("follow" in call) report({ positions: await writer.follow(call.follow) });
    else if ("followed" in call) {
      await writer.followed(call.followed.name, call.followed.position);
      report({ positions: new Map() });
    } else {
      await writer.close();
      port.close();
    }
  };
  // In turn. What one throws ends the thread, and the main one is told.
  let last = Promise.resolve();
  port.on("message", (call: Call) => {
    last = last.then(() => answer(call));
  });
}

function unpack({ packed, lengths, radios, principals }: PackedGroup): Arrival[] {
  let start = 0;
  return lengths.map((length, index) => ({
    envelope: packed.subarray(start, (start += length)),
    radio: radios[index] ?? "",
    principal: principals?.[index],
  }));
}
