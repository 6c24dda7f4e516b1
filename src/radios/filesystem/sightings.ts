/** Since when names are in a folder, by our own clock: the times of files are those of another host, or of a server
 *  whose clock is wrong. */
export class Sightings {
  readonly #forMs: number;
  #sinceMs: ReadonlyMap<string, number> = new Map();

  constructor(forMs: number) {
    this.#forMs = forMs;
  }

  /** Those of the names that are there now which were there at every look for so long. */
  old(names: readonly string[], nowMs: number): string[] {
    this.#sinceMs = new Map(names.map((name) => [name, this.#sinceMs.get(name) ?? nowMs]));
    return names.filter((name) => nowMs - (this.#sinceMs.get(name) ?? nowMs) >= this.#forMs);
  }
}
