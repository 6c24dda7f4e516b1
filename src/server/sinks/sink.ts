import type { CollectorError } from "../../base/errors.js";
import type { Acknowledgement } from "../../model/envelope.js";
import type { GetStatusResponse } from "../../model/status.js";

/** What became of one envelope: it is on the disk, or its bytes are no envelope and never will be. */
export type Outcome = { readonly acknowledgement: Acknowledgement } | { readonly invalid: string };

/** The bytes of one envelope as they came, and the name of the radio that brought them. */
export interface Arrival {
  readonly envelope: Uint8Array;
  readonly radio: string;
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

/** Where batches end. One call at a time: the next `store` comes after the last has settled. */
export interface Sink extends AsyncDisposable {
  /** Stores a group of encoded envelopes atomically with the ledger, and says what became of each, in
   *  their order. A sequence that the ledger has already changes nothing. A message that cannot be stored
   *  is kept as rejected and takes no other with it. Waits as long as the store cannot be written for now
   *  (a lock, a full disk); rejects only when it never will be. */
  store(group: readonly Arrival[]): Promise<readonly Outcome[]>;
  /** The ledger, for one run or all. */
  status(runId: string): Promise<SinkStatus>;
  /** Resolves with the first fault after which nothing can be stored any more. */
  readonly failed: Promise<CollectorError>;
  /** Why the store cannot be written now; undefined while it can. */
  readonly blockedReason: string | undefined;
  /** Calls `tell` each time that this changes, with the reason. Returns how to take that back. */
  whenBlocked(tell: (reason: string | undefined) => void): () => void;
}
