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

  /** Resolves when `condition` holds at a change, or after this time. */
  async until(condition: () => boolean, mostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, mostMs);
    const stop = this.listen(() => condition() && resolve());
    await promise;
    clearTimeout(timer);
    stop();
  }

  /** Calls `listener` at each change until the function that is returned is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
