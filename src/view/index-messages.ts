import type { Indexed } from "./api.js";

/** What the thread that keeps the index is told. */
export interface IndexData {
  readonly path: string;
  readonly indexPath: string;
  readonly timezone: string;
}

/** What it tells: runs that changed and how far it is, or why it cannot go on for now. */
export type IndexReport =
  { readonly changed: readonly string[]; readonly indexed: Indexed } | { readonly failed: string };
