/** A sum that has a high mark, at which whoever adds to it is asked to wait, and a low one, below which there is room
 *  again. */
export class WaterLevel {
  readonly high: number;
  readonly #low: number;
  #value = 0;
  #room: PromiseWithResolvers<void> | undefined;

  constructor(high: number, low: number) {
    this.high = high;
    this.#low = low;
  }

  get value(): number {
    return this.#value;
  }

  /** Undefined while there is room; otherwise resolves when there is room again. */
  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  add(amount: number): void {
    this.#value += amount;
    if (this.#value >= this.high) this.#room ??= Promise.withResolvers<void>();
  }

  remove(amount: number): void {
    this.#value -= amount;
    if (this.#value > this.#low) return;
    this.#room?.resolve();
    this.#room = undefined;
  }
}
