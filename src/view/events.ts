import { randomUUID } from "node:crypto";

import type { Change, Indexed } from "./api.js";

/** Changes that are remembered for those who come back; at four a second these are four minutes. */
const mostRemembered = 1_000;

/** What changed, in order, for those who listen now and those who come back. */
export class Events {
  /** Numbers of another process mean nothing to this one. */
  readonly #epoch = randomUUID().slice(0, 8);
  readonly #remembered: { readonly number: number; readonly runs: readonly string[] }[] = [];
  readonly #listeners = new Set<() => void>();
  #number = 0;
  #indexed: Indexed = { rows: 0, ofRows: 0 };

  get indexed(): Indexed {
    return this.#indexed;
  }

  /** Whether rows of the file are not in the index yet, as far as is known. */
  get isBehind(): boolean {
    return this.#number === 0 || this.#indexed.rows < this.#indexed.ofRows;
  }

  get number(): number {
    return this.#number;
  }

  tell({ runs, indexed }: Change): void {
    this.#number += 1;
    this.#indexed = indexed;
    this.#remembered.push({ number: this.#number, runs });
    if (this.#remembered.length > mostRemembered) this.#remembered.shift();
    for (const listener of this.#listeners) listener();
  }

  /** The id of what was told up to now. */
  get id(): string {
    return `${this.#epoch}-${String(this.#number)}`;
  }

  /** The number in an id of this process; undefined for one of another, or that is too old to be remembered. */
  numberOf(id: string): number | undefined {
    const [epoch, text = ""] = id.split("-");
    const number = Number(text);
    if (epoch !== this.#epoch || !/^\d+$/.test(text) || number > this.#number) return undefined;
    const oldest = this.#remembered[0]?.number ?? this.#number + 1;
    return number + 1 >= oldest ? number : undefined;
  }

  /** All that was told after this number, as one. */
  since(number: number): Change {
    const runs = this.#remembered.filter((one) => one.number > number).flatMap((one) => one.runs);
    return { runs: [...new Set(runs)], indexed: this.#indexed };
  }

  /** Resolves when `condition` holds, now or at a change, or after this time, or when the signal aborts. */
  async until(condition: () => boolean, mostMs: number, signal?: AbortSignal): Promise<void> {
    if (condition() || signal?.aborted === true) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = (): void => resolve();
    const look = (): void => {
      if (condition()) resolve();
    };
    const timer = setTimeout(done, mostMs);
    this.#listeners.add(look);
    signal?.addEventListener("abort", done);
    await promise;
    clearTimeout(timer);
    this.#listeners.delete(look);
    signal?.removeEventListener("abort", done);
  }
}
