import type { Principal } from "../model/principal.js";
import type { Micros } from "../model/time.js";

/** An envelope as the log has it: what of it was new, so that no message is in the log twice. */
export interface LogEntry {
  /** Grows from one entry to the next, with gaps. */
  readonly position: number;
  /** When it was committed, by the collector's clock. */
  readonly committedAt: Micros;
  /** The radio that brought it. */
  readonly radio: string;
  /** The bytes of an `Envelope`. */
  readonly envelope: Uint8Array;
  /** Those of its messages that no table took, by sequence, with the reason. */
  readonly rejections: ReadonlyMap<number, string>;
}

/** What a log holds. */
export interface LogSpan {
  /** The log's own, at random: positions of another one mean nothing here. */
  readonly id: string;
  /** Position behind what is no longer kept: reading may go on from here, and from no earlier one. */
  readonly from: number;
  /** Position of the newest entry; `from` when there is none. */
  readonly to: number;
}

/** What was committed, in the order of the commits, for those who follow. A sink keeps it from the first time that
 *  somebody asks for it, and only so much of it as it was told. */
export interface MessageLog {
  /** Begins to keep it, where that has not been done before, and says what there is. Waits as long as the store
   *  cannot be written. */
  keep(): Promise<LogSpan>;
  /** What there is, in a log that is kept. */
  span(): Promise<LogSpan>;
  /** Entries behind a position, of so many bytes together, and one at least where there is one. */
  read(after: number, mostBytes: number): Promise<LogEntry[]>;
  /** Which of these runs somebody may read. */
  readable(runIds: ReadonlySet<string>, principal: Principal): Promise<ReadonlySet<string>>;
  /** Calls `tell` after each commit. Returns how to take that back. */
  whenCommitted(tell: () => void): () => void;
}

/** Where a store keeps how far each sink that follows it has got. */
export interface Positions {
  /** Lets sinks follow, each from where it was, or else from the oldest message that is kept; what one of them has not
   *  read is kept from now on. Says where each has to go on. */
  follow(names: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** A sink has all up to a position. */
  followed(name: string, position: number): Promise<void>;
}
