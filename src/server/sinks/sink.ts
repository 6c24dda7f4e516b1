import type { CollectorError } from "../../base/errors.js";
import type { Acknowledgement } from "../../model/envelope.js";
import type { Principal } from "../../model/principal.js";
import type { GetStatusResponse } from "../../model/status.js";
import type { MessageLog, Positions } from "../message-log.js";
import type { StoreCounts } from "../store-counts.js";

/** What became of one envelope: it is on the disk, or its bytes are no envelope and never will be, or who brought it
 *  may not write the runs that it speaks of, and nothing of it is kept; nor is it when there are too many of something
 *  now. */
export type Outcome =
  | { readonly acknowledgement: Acknowledgement }
  | { readonly invalid: string }
  | { readonly forbidden: string }
  | { readonly exhausted: string };

/** The bytes of one envelope as they came, the name of the radio that brought them, and who sent it where that is
 *  known; who is not known may write all runs. */
export interface Arrival {
  readonly envelope: Uint8Array;
  readonly radio: string;
  readonly principal?: Principal | undefined;
}

/** What a sink knows for a status request. */
export type SinkStatus = Pick<GetStatusResponse, "total" | "senders" | "runs">;

/** Messages of all senders that are not stored, though others that they sent are. */
export interface Losses {
  /** Of which nothing is known: on their way still, or lost. */
  readonly missing: number;
  /** That their senders say they gave up. */
  readonly lost: number;
}

/** What takes groups, and knows what became of them. Calls are carried out one after the
 *  other, in their order. */
export interface Store {
  /** Stores a group of encoded envelopes atomically with the ledger, and says what became of each, in
   *  their order. A sequence that the ledger has already changes nothing. A message that cannot be stored
   *  is kept as rejected and takes no other with it. Waits as long as the store cannot be written for now
   *  (a lock, a full disk); rejects only when it never will be. */
  store(group: readonly Arrival[]): Promise<readonly Outcome[]>;
  /** The ledger, for one run or all; for a principal what is of the runs that it may write. */
  status(runId: string, principal?: Principal): Promise<SinkStatus>;
}

/** Where groups end, as a collector holds it. Disposing closes it after the calls so far. */
export interface Sink extends Store, AsyncDisposable {
  /** May be called while other calls run. */
  losses(): Promise<Losses>;
  /** What it has stored since it was opened. */
  readonly counts: StoreCounts;
  /** What is committed, for those who follow. */
  readonly log: MessageLog;
  /** How far those have got who follow by `--sink`. */
  readonly positions: Positions;
  /** Bytes on disk, by the names of its parts; of the whole under `database`. */
  sizes(): Promise<Readonly<Record<string, number>>>;
  /** Resolves with the first fault after which nothing can be stored any more. */
  readonly failed: Promise<CollectorError>;
  /** Why the store cannot be written now; undefined while it can. */
  readonly blockedReason: string | undefined;
  /** Calls `tell` each time that this changes, with the reason. Returns how to take that back. */
  whenBlocked(tell: (reason: string | undefined) => void): () => void;
  /** Ends it at once, in the middle of whatever it does: what is not committed is as if it had never come. */
  abort(): Promise<void>;
}
