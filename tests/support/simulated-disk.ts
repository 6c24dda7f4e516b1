import type { Disk } from "../../src/base/disk.js";

interface SimulatedFile {
  readonly bytes: Buffer;
  readonly syncedBytes: number;
}

/** A disk in memory that a test can fill, break and cut the power of. */
export class SimulatedDisk implements Disk {
  #files = new Map<string, SimulatedFile>();
  /** Bytes that it takes in all. */
  capacity = Infinity;
  /** When set, every change is refused with it. */
  failure: Error | undefined;

  get usedBytes(): number {
    return [...this.#files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** The names of all files. */
  get paths(): string[] {
    return [...this.#files.keys()].sort();
  }

  /** What another process finds when the power goes now: of what was not synced each file keeps `share` (from 0
   *  to 1), to the byte. With 1 it is what a killed process leaves. */
  afterPowerCut(share = 0): SimulatedDisk {
    const left = new SimulatedDisk();
    for (const [path, { bytes, syncedBytes }] of this.#files) {
      const kept = syncedBytes + Math.floor((bytes.length - syncedBytes) * share);
      if (kept > 0) left.#files.set(path, { bytes: bytes.subarray(0, kept), syncedBytes: kept });
    }
    return left;
  }

  create(path: string, bytes: Uint8Array): void {
    if (this.#files.has(path)) throw new Error(`EEXIST: file already exists, '${path}'`);
    this.#refuse();
    this.#files.set(path, { bytes: Buffer.alloc(0), syncedBytes: 0 });
    this.append(path, bytes);
  }

  append(path: string, bytes: Uint8Array): void {
    this.#refuse();
    const room = Math.max(0, this.capacity - this.usedBytes);
    const file = this.#file(path);
    // As a real disk does: what fits is written before the error.
    this.#files.set(path, { ...file, bytes: Buffer.concat([file.bytes, bytes.subarray(0, room)]) });
    if (bytes.length > room) throw new Error("ENOSPC: no space left on device");
  }

  sync(path: string): void {
    this.#refuse();
    const { bytes } = this.#file(path);
    this.#files.set(path, { bytes, syncedBytes: bytes.length });
  }

  rename(from: string, to: string): void {
    this.#refuse();
    this.#files.set(to, this.#file(from));
    this.#files.delete(from);
  }

  remove(path: string): void {
    this.#refuse();
    this.#files.delete(path);
  }

  removeEmpty(): void {
    // it has no directories
  }

  read(path: string, start = 0, length = Infinity): Uint8Array {
    return Buffer.from(this.#file(path).bytes.subarray(start, start + length));
  }

  /** Changes the bytes of a file behind everybody's back. */
  tamper(path: string, change: (bytes: Buffer) => Buffer): void {
    const bytes = change(Buffer.from(this.#file(path).bytes));
    this.#files.set(path, { bytes, syncedBytes: bytes.length });
  }

  list(directory: string): readonly string[] {
    const prefix = `${directory}/`;
    return this.paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  }

  #file(path: string): SimulatedFile {
    const file = this.#files.get(path);
    if (file === undefined) throw new Error(`ENOENT: no such file, '${path}'`);
    return file;
  }

  #refuse(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}
