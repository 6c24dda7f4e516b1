import type { Principal } from "../../model/principal.js";
import type { Losses, Outcome, SinkStatus } from "./sink.js";

/** What the writer's thread is given when it starts. */
export interface WriterData {
  readonly options: unknown;
  /** Radios that are told apart in what the writer counts, and the memory for that. */
  readonly radios: readonly string[];
  readonly counts: SharedArrayBuffer;
}

export interface PackedGroup {
  /** The envelopes, in memory that both threads have: they stay until the group is stored. */
  readonly packed: Uint8Array;
  /** Bytes of each envelope. */
  readonly lengths: readonly number[];
  /** By which radio each came. */
  readonly radios: readonly string[];
  /** Who sent each; undefined where none of them is known. */
  readonly principals: readonly (Principal | undefined)[] | undefined;
}

/** A call from the main thread. */
export type Call =
  | { readonly store: PackedGroup }
  | { readonly status: string; readonly principal: Principal | undefined }
  | { readonly losses: true }
  | { readonly keepLog: true }
  | { readonly follow: readonly string[] }
  | { readonly followed: { readonly name: string; readonly position: number } }
  | { readonly close: true };

/** What the writer's thread says: that it is open, or never will be; answers, in the order of the calls;
 *  and, at any time, that the database cannot be written now. */
export type Report =
  | { readonly opened: string }
  | { readonly failed: { readonly message: string } }
  | { readonly stored: readonly Outcome[] }
  | { readonly status: SinkStatus }
  | { readonly losses: Losses }
  | { readonly logKept: true }
  | { readonly positions: ReadonlyMap<string, number> }
  | { readonly blocked: string | undefined };
