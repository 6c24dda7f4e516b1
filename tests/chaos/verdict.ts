import type { ReadableDatabase } from "../support/database.js";
import type { SenderProcess } from "./senders.js";

/** What is wrong in the file after a chaos run, one line each: nothing acknowledged may be missing, nothing
 *  may be twice, and the ledger must say what is there. */
export function faultsOf(db: ReadableDatabase, senders: readonly SenderProcess[]): string[] {
  const faults: string[] = [];
  const expect = (what: string, got: unknown, wanted: unknown): void => {
    if (got !== wanted) faults.push(`${what}: ${String(got)} instead of ${String(wanted)}`);
  };
  expect("integrity_check", db.value("PRAGMA integrity_check"), "ok");
  expect("rows of different marks", db.value(`SELECT count(DISTINCT ${mark}) FROM resource`), rows(db));
  expect("stored by the ledger", db.value("SELECT sum(stored) FROM collector_sender"), rows(db));
  expect("rejected", db.count("collector_rejected"), 0);
  for (const { log, logPath, killed } of senders) {
    const { senderId, safe, closed } = log;
    if (!killed && closed === undefined) faults.push(`${logPath}: the sender did not close`);
    if (senderId === undefined) continue;
    const sequences = new Set(
      db
        .rows(`SELECT ${mark} AS mark FROM resource WHERE ${mark} LIKE ? || ':%'`, senderId)
        .map((row) => Number(String(row["mark"]).slice(senderId.length + 1))),
    );
    for (let sequence = 1; sequence <= safe; sequence += 1) {
      if (sequences.has(sequence)) continue;
      faults.push(`${logPath}: message ${String(sequence)} was acknowledged or spooled, and is no row`);
      break; // the first tells where to look
    }
    const [entry] = db.rows(
      "SELECT stored, last_sequence FROM collector_sender WHERE sender_id = ?",
      senderId,
    );
    expect(`${logPath}: stored by the ledger`, entry?.["stored"] ?? 0, sequences.size);
    if (closed === undefined) continue;
    expect(`${logPath}: rows of a sender that closed`, sequences.size, closed);
    expect(`${logPath}: last sequence in the ledger`, entry?.["last_sequence"], closed);
  }
  return faults;
}

const mark = "psutil_process_status";

function rows(db: ReadableDatabase): number {
  return db.count("resource");
}
