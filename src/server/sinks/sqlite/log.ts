import { setTimeout as sleep } from "node:timers/promises";

import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import type { Principal } from "../../../model/principal.js";
import type { LogEntry, LogSpan, MessageLog } from "../../message-log.js";
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
export class FileLog implements MessageLog {
  readonly #path: string;
  readonly #startKeeping: () => Promise<void>;
  readonly #told = new Set<() => void>();
  #kept: Promise<void> | undefined;
  #reading: Reading | undefined;
  #isClosed = false;

  /** `startKeeping` lets the writer begin. */
  constructor(path: string, startKeeping: () => Promise<void>) {
    this.#path = path;
    this.#startKeeping = startKeeping;
  }

  async keep(): Promise<LogSpan> {
    this.#kept ??= this.#startKeeping();
    try {
      await this.#kept;
    } catch (cause) {
      this.#kept = undefined;
      throw cause;
    }
    return this.span();
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

  whenCommitted(tell: () => void): () => void {
    this.#told.add(tell);
    return () => this.#told.delete(tell);
  }

  /** Tells those who wait. */
  committed(): void {
    for (const tell of this.#told) tell();
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
