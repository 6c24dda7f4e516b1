/** A count that only rises, and promises for what it has yet to reach. */
export class Progress {
  #value = 0;
  #failure: Error | undefined;
  /** In the order of the calls, which is the order of their targets. */
  readonly #waiting = new Set<Milestone>();

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves once the count is at `target`, which is never below that of an earlier call. Rejects when the
   *  count will not get there, or with the signal's reason. */
  until(target: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (this.#value >= target) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => {
      this.#waiting.delete(milestone);
      reject(signal?.reason as Error);
    };
    const done = (): void => signal?.removeEventListener("abort", onAbort);
    const milestone = {
      target,
      reached: () => {
        done();
        resolve();
      },
      failed: (error: Error) => {
        done();
        reject(error);
      },
    };
    this.#waiting.add(milestone);
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  riseTo(value: number): void {
    this.#value = value;
    for (const milestone of this.#waiting) {
      if (milestone.target > value) return;
      this.#waiting.delete(milestone);
      milestone.reached();
    }
  }

  /** The count rises no more: whoever waits is told why, and so are those who come later. */
  fail(error: Error): void {
    this.#failure = error;
    for (const milestone of this.#waiting) milestone.failed(error);
    this.#waiting.clear();
  }
}

interface Milestone {
  readonly target: number;
  readonly reached: () => void;
  readonly failed: (error: Error) => void;
}
