import type { Principal } from "../../model/principal.js";
import type { LogEntry, LogSpan, MessageLog } from "../message-log.js";

/** The log of a database that a writer in this process writes, and that is read by a connection of its own. */
export abstract class CommitLog implements MessageLog {
  readonly #startKeeping: () => Promise<void>;
  readonly #told = new Set<() => void>();
  #kept: Promise<void> | undefined;

  /** `startKeeping` lets the writer begin. */
  constructor(startKeeping: () => Promise<void>) {
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

  abstract span(): Promise<LogSpan>;
  abstract read(after: number, mostBytes: number): Promise<LogEntry[]>;
  abstract readable(runIds: ReadonlySet<string>, principal: Principal): Promise<ReadonlySet<string>>;
  abstract close(): void;

  whenCommitted(tell: () => void): () => void {
    this.#told.add(tell);
    return () => this.#told.delete(tell);
  }

  /** Tells those who wait. */
  committed(): void {
    for (const tell of this.#told) tell();
  }
}
