import type { LogEntry } from "../message-log.js";

/** A sink as it is given on the command line: its kind, and the address in the form of that kind. */
export interface SinkOption {
  readonly kind: string;
  readonly address: string;
}

/** What the followers' thread is given when it starts. */
export interface FollowersData {
  readonly sinks: readonly (SinkOption & {
    readonly name: string;
    /** Where it has to go on. */
    readonly position: number;
  })[];
  /** The least level of lines that it is to log. */
  readonly level: string;
}

/** What the thread asks, or tells. */
export type FromFollowers =
  | { readonly opened: true }
  | { readonly failed: string }
  | { readonly next: { readonly sink: string; readonly after: number; readonly mostBytes: number } }
  | { readonly stored: { readonly sink: string; readonly position: number } };

/** What it is answered. */
export type ToFollowers =
  | {
      readonly entries: {
        readonly sink: string;
        readonly from: number;
        readonly entries: readonly LogEntry[];
      };
    }
  | { readonly end: true };
