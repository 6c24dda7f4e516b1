import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

import { hasCode } from "./errors.js";

/** What a spool needs of a filesystem. Synchronous: nothing can come in between, and it is used when the
 *  collector is away or too slow, not for each message. Every function throws the system's error. */
export interface Disk {
  /** Makes a new file, and its directory when that is missing. Its bytes are safe only after `sync`. */
  create(path: string, bytes: Uint8Array): void;
  /** Adds bytes at the end of a file that is there. They are safe only after `sync`. */
  append(path: string, bytes: Uint8Array): void;
  /** Brings all bytes of a file, and its name, to where a power cut does not reach them. */
  sync(path: string): void;
  /** Gives a file another name, in place of a file that has it; in the same directory. The name is safe when it
   *  returns; the bytes are if they were synced. */
  rename(from: string, to: string): void;
  /** Removes a file; one that is missing is no error. */
  remove(path: string): void;
  /** Removes a directory when nothing is in it. */
  removeEmpty(directory: string): void;
  /** `length` bytes from `start` on, fewer at the end of the file; all of it by default. */
  read(path: string, start?: number, length?: number): Uint8Array;
  /** The names in a directory, sorted; none when it is missing. */
  list(directory: string): readonly string[];
}

/** The disk of this machine. */
export const systemDisk: Disk = {
  create(path, bytes) {
    mkdirSync(dirname(path), { recursive: true });
    withFile(path, "wx", (file) => writeAll(file, bytes));
  },
  append(path, bytes) {
    withFile(path, constants.O_WRONLY | constants.O_APPEND, (file) => writeAll(file, bytes));
  },
  sync(path) {
    withFile(path, "r+", fdatasyncSync);
    syncDirectoryOf(path);
  },
  rename(from, to) {
    renameSync(from, to);
    syncDirectoryOf(to);
  },
  remove(path) {
    rmSync(path, { force: true });
  },
  removeEmpty(directory) {
    try {
      rmdirSync(directory);
    } catch (cause) {
      if (!hasCode(cause, "ENOTEMPTY", "EEXIST", "ENOENT")) throw cause;
    }
  },
  read(path, start = 0, length) {
    if (length === undefined) return readFileSync(path).subarray(start);
    return withFile(path, "r", (file) => {
      const bytes = Buffer.allocUnsafe(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, start));
    });
  },
  list(directory) {
    try {
      return readdirSync(directory).sort();
    } catch (cause) {
      if (hasCode(cause, "ENOENT")) return [];
      throw cause;
    }
  },
};

/** The name of a new file is safe only once its directory is. */
function syncDirectoryOf(path: string): void {
  withFile(dirname(path), "r", fsyncSync);
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
}

function withFile<T>(path: string, flags: string | number, act: (file: number) => T): T {
  const file = openSync(path, flags);
  try {
    return act(file);
  } finally {
    closeSync(file);
  }
}
