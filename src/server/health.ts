import type { Clock } from "../base/clock.js";

/** How long the database may be unwritable before a collector says that it does not serve, in s. A reader's lock
 *  or a checkpoint of another takes seconds, and senders wait; who is sent elsewhere meanwhile gains nothing. */
export const defaultUnhealthyAfterSeconds = 30;

export interface HealthOptions {
  readonly unhealthyAfterSeconds: number;
  readonly clock: Clock;
  /** Told why the collector does not serve when its database has not been writable for so long, and with undefined
   *  when it serves again. */
  readonly onChange: (reason: string | undefined) => void;
}

/** Whether a collector serves: not while it drains, nor once its database has not been writable for a while. */
export class Health {
  readonly #options: HealthOptions;
  #reason: string | undefined;
  /** Aborted when the database can be written again, or no longer matters. */
  #blocked: AbortController | undefined;
  #draining = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Why the collector does not serve; undefined while it does. */
  get reason(): string | undefined {
    return this.#reason;
  }

  get isDraining(): boolean {
    return this.#draining;
  }

  /** The database cannot be written from now on, for this reason; or, with undefined, it can again. */
  databaseBlocked(reason: string | undefined): void {
    this.#blocked?.abort();
    this.#blocked = undefined;
    if (this.#draining) return;
    if (reason === undefined) this.#change(undefined);
    else void this.#waitBlocked(reason);
  }

  /** It serves no more. Whoever says so knows it: nobody is told. */
  drain(): void {
    this.#draining = true;
    this.#blocked?.abort();
    this.#reason = "the collector is shutting down";
  }

  async #waitBlocked(reason: string): Promise<void> {
    const { clock, unhealthyAfterSeconds } = this.#options;
    const { signal } = (this.#blocked = new AbortController());
    await clock.sleep(unhealthyAfterSeconds * 1_000, signal).catch(() => undefined);
    if (!signal.aborted) this.#change(`for ${String(unhealthyAfterSeconds)} s and more: ${reason}`);
  }

  #change(reason: string | undefined): void {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#options.onChange(reason);
  }
}
