import { setTimeout as sleep } from "node:timers/promises";

import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import type { Principal } from "../../../model/principal.js";
import type { LogEntry, LogSpan } from "../../message-log.js";
import { CommitLog } from "../commit-log.js";
import { isTemporary } from "./file.js";
import { LogReader } from "./log-reader.js";
import { Owners } from "./owners.js";

/** Longest that a read waits for a lock, in ms. It is of the thread that gRPC runs on. */
const readTimeoutMs = 20;

/** Pause between two attempts, in ms. */
const lockPauseMs = 100;

interface Reading {
  readonly db: Database.Database;
  readonly log: LogReader;
  readonly owners: Owners;
}

/** The log of a file that a writer in this process writes, read by a connection of its own. */
export class FileLog extends CommitLog {
  readonly #path: string;
  #reading: Reading | undefined;
  #isClosed = false;

  /** `startKeeping` lets the writer begin. */
  constructor(path: string, startKeeping: () => Promise<void>) {
    super(startKeeping);
    this.#path = path;
  }

  span(): Promise<LogSpan> {
    return this.#whenFree(({ log }) => log.span());
  }

  read(after: number, mostBytes: number): Promise<LogEntry[]> {
    return this.#whenFree(({ log }) => log.read(after, mostBytes));
  }

  readable(runIds: ReadonlySet<string>, principal: Principal): Promise<ReadonlySet<string>> {
    return this.#whenFree(({ owners }) => {
      owners.forget(); // the writer has another connection
      return new Set([...runIds].filter((runId) => owners.mayWrite(runId, principal)));
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#reading?.db.close();
    this.#reading = undefined;
  }

  /** The file may be locked by another for a while, and without WAL by our own writer. */
  async #whenFree<T>(read: (from: Reading) => T): Promise<T> {
    for (;;) {
      try {
        return read(this.#open());
      } catch (cause) {
        if (!isTemporary(cause)) throw cause;
      }
      await sleep(lockPauseMs);
    }
  }

  #open(): Reading {
    if (this.#isClosed)
      throw new CollectorError("closed", `read database ${this.#path}: it was closed before`);
    if (this.#reading !== undefined) return this.#reading;
    try {
      const db = new Database(this.#path, { readonly: true, timeout: readTimeoutMs });
      this.#reading = { db, log: new LogReader(db), owners: new Owners(db) };
      return this.#reading;
    } catch (cause) {
      if (isTemporary(cause)) throw cause;
      throw new CollectorError("database", `read database ${this.#path}: ${reasonOf(cause)}`, { cause });
    }
  }
}
