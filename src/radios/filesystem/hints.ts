import { watch, type FSWatcher } from "node:fs";

/** Tells when something may have changed in some folders. A hint only: it never comes for what another host did,
 *  and not at all where the system has no more watches. */
export class Hints {
  readonly #tell: () => void;
  /** By folder; undefined where it cannot be watched. */
  readonly #watchers = new Map<string, FSWatcher | undefined>();

  constructor(tell: () => void) {
    this.#tell = tell;
  }

  /** Watches these folders and no others. */
  watch(folders: readonly string[]): void {
    const wanted = new Set(folders);
    for (const [folder, watcher] of this.#watchers) {
      if (wanted.has(folder)) continue;
      watcher?.close();
      this.#watchers.delete(folder);
    }
    for (const folder of wanted) {
      if (!this.#watchers.has(folder)) this.#watchers.set(folder, this.#open(folder));
    }
  }

  #open(folder: string): FSWatcher | undefined {
    try {
      const watcher = watch(folder, () => this.#tell());
      watcher.on("error", () => watcher.close());
      return watcher;
    } catch {
      return undefined; // polling finds it all the same
    }
  }
}
