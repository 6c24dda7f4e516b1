import { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import type { FileOptions } from "../../src/server/sinks/sqlite/file.js";
import type { Arrival } from "../../src/server/sinks/sink.js";
import type { Acknowledgement } from "../../src/model/envelope.js";

/** Opens a writer on a file that nobody else has locked. */
export function openWriter(path: string, options: Partial<FileOptions> = {}): SqliteWriter {
  return new SqliteWriter(
    { path, journalMode: "auto", durability: "normal", ...options },
    (reason) => {
      if (reason !== undefined) throw new Error(`the file cannot be written: ${reason}`);
    },
    () => undefined,
  );
}

/** Envelopes as they come by gRPC. */
export function arrivals(group: readonly Uint8Array[]): Arrival[] {
  return group.map((envelope) => ({ envelope, radio: "grpc" }));
}

/** Stores a group of envelopes, all of which must be valid. */
export function acknowledgementsOf(writer: SqliteWriter, group: readonly Uint8Array[]): Acknowledgement[] {
  return writer.store(arrivals(group)).map((outcome) => {
    if ("acknowledgement" in outcome) return outcome.acknowledgement;
    throw new Error(`an envelope is refused: ${JSON.stringify(outcome)}`);
  });
}
