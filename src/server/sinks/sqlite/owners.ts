import type Database from "better-sqlite3";

import type { Principal } from "../../../model/principal.js";
import type { ReceivedEnvelope } from "../../envelope-reader.js";

/** Runs whose owner is kept in memory from one group to the next. */
const keptRuns = 20_000;

/** Which run belongs to whom. A run is owned by the principal who was the first to write it; one that was written
 *  without a principal before (by a radio that knows none, by Parsl itself) is nobody's, and only who may write all
 *  runs, or this one by name, may write it too. */
export class Owners {
  /** Null for a run that is nobody's. */
  readonly #known = new Map<string, string | null>();
  readonly #select;
  readonly #isWritten;
  readonly #insert;

  constructor(db: Database.Database) {
    this.#select = db.prepare<[string], { owner: string }>(
      "SELECT owner FROM collector_run_owner WHERE run_id = ?",
    );
    this.#isWritten = db.prepare<[string, string]>(
      "SELECT 1 FROM workflow WHERE run_id = ? UNION ALL SELECT 1 FROM collector_sender_run WHERE run_id = ? LIMIT 1",
    );
    this.#insert = db.prepare("INSERT INTO collector_run_owner VALUES (?, ?)");
  }

  /** Why the principal may not write this envelope, whose sender named `firstRun` first; undefined when it may. Runs
   *  that nobody has written are its own from now on. */
  claim(envelope: ReceivedEnvelope, firstRun: string | null, principal: Principal): string | undefined {
    const runs = new Set<string>();
    if (firstRun !== null) runs.add(firstRun);
    if (envelope.context.runId !== "") runs.add(envelope.context.runId);
    for (const message of envelope.messages) {
      const runId = "unreadable" in message ? undefined : message.kind?.value.runId;
      if (runId !== undefined && runId !== "") runs.add(runId);
    }
    for (const runId of runs) {
      if (!this.mayWrite(runId, principal)) {
        return `run ${runId} is not one that ${principal.name} may write`;
      }
    }
    for (const runId of runs) this.#claimIfNew(runId, principal);
    return undefined;
  }

  mayWrite(runId: string, { name, runs }: Principal): boolean {
    if (runs === "all") return true;
    if (runs !== "own") return runs.includes(runId);
    const owner = this.#ownerOf(runId);
    return owner === name || owner === undefined;
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#known.clear();
  }

  #claimIfNew(runId: string, { name }: Principal): void {
    if (this.#ownerOf(runId) !== undefined) return;
    this.#insert.run(runId, name);
    this.#known.set(runId, name);
  }

  /** Null for a run that is nobody's, undefined for one that is new. */
  #ownerOf(runId: string): string | null | undefined {
    const known = this.#known.get(runId);
    if (known !== undefined) return known;
    const owner =
      this.#select.get(runId)?.owner ?? (this.#isWritten.get(runId, runId) === undefined ? undefined : null);
    if (owner !== undefined) {
      if (this.#known.size >= keptRuns) this.#known.clear();
      this.#known.set(runId, owner);
    }
    return owner;
  }
}
