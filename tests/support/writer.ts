import { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import type { Acknowledgement } from "../../src/model/envelope.js";

/** Opens a writer on a file that nobody else has locked. */
export function openWriter(path: string): SqliteWriter {
  return new SqliteWriter(
    { path, journalMode: "auto", durability: "normal" },
    (reason) => {
      if (reason !== undefined) throw new Error(`the file cannot be written: ${reason}`);
    },
    () => undefined,
  );
}

/** Stores a group of envelopes, all of which must be valid. */
export function acknowledgementsOf(writer: SqliteWriter, group: readonly Uint8Array[]): Acknowledgement[] {
  return writer.store(group).map((outcome) => {
    if ("invalid" in outcome) throw new Error(`an envelope is invalid: ${outcome.invalid}`);
    return outcome.acknowledgement;
  });
}
