import type { Outcome, SinkStatus } from "../sink.js";
import type { FileOptions } from "./file.js";

/** What the writer's thread is given when it starts. */
export type WriterData = FileOptions;

/** A call from the main thread. Envelopes are packed into one buffer, which is handed over, not copied. */
export type Call =
  | { readonly store: { readonly packed: Uint8Array; readonly lengths: readonly number[] } }
  | { readonly status: string }
  | { readonly close: true };

/** What the writer's thread says: that it is open, or never will be; answers, in the order of the calls;
 *  and, at any time, that the file cannot be written now. */
export type Report =
  | { readonly opened: string }
  | { readonly failed: { readonly message: string } }
  | { readonly stored: readonly Outcome[] }
  | { readonly status: SinkStatus }
  | { readonly blocked: string | undefined };
