import type { NodeFiles, Space } from "../../src/agent/node-usage.js";

/** A node whose /proc and /sys are what the test says. */
export class FakeNodeFiles implements NodeFiles {
  readonly cpuCount = 4;
  /** The text of each file, by its path; empty for one that only needs to exist. */
  readonly files = new Map<string, string>();
  space: Promise<Space | undefined> = Promise.resolve(undefined);

  read(path: string): string | undefined {
    return this.files.get(path);
  }

  exists(path: string): boolean {
    return this.files.has(path);
  }

  temporarySpace(): Promise<Space | undefined> {
    return this.space;
  }
}
