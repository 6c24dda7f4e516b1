/** A queue that is read by position and shortened at its front at constant cost, however long it is. */
export class Fifo<T> {
  #items: (T | undefined)[] = [];
  /** Items before it are gone and hold no memory but their slot. */
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The item at `index` from the front. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index];
  }

  replaceFirst(item: T): void {
    if (this.length > 0) this.#items[this.#head] = item;
  }

  /** Removes the front item. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    // Half of the slots are empty: moving the rest costs no more than the shifts that emptied them.
    if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
