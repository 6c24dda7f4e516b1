import Database from "better-sqlite3";

import { MonitoringMessage } from "../src/model/messages.js";
import { factsOf } from "../src/server/rows/facts.js";
import { prepareFile } from "../src/server/sinks/sqlite/file.js";
import { columnsOf } from "../src/server/sinks/sqlite/schema.js";
import { encodedMessages } from "./messages.js";

/** As many as a collector's group has. */
const rowsOfTransaction = 9_000;

/** The limit: better-sqlite3 alone writing the rows of as many samples, in a file of the same settings, after `before`
 *  others. Rows a second. */
export function bareRowsPerSecond(path: string, count: number, before: number): number {
  const db = new Database(path);
  prepareFile(db, { path, journalMode: "wal", durability: "full" });
  const columns = columnsOf("resource");
  const insert = db.prepare(
    `INSERT INTO resource (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  const rows = [...encodedMessages("resource", before + count)].map((bytes) => {
    const facts = factsOf(MonitoringMessage.decode(bytes), { runId: "bare", hostname: "" });
    if (!("resource" in facts)) throw new Error("a sample is no sample");
    return facts.resource;
  });
  const write = (from: number, to: number): void => {
    for (let start = from; start < to; start += rowsOfTransaction) {
      db.transaction(() => {
        for (const row of rows.slice(start, Math.min(to, start + rowsOfTransaction))) insert.run(...row);
      }).immediate();
    }
  };
  write(0, before);
  const began = performance.now();
  write(before, rows.length);
  const seconds = (performance.now() - began) / 1000;
  db.close();
  return count / seconds;
}
