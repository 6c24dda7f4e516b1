import { open, stat, type FileHandle } from "node:fs/promises";
import { resolve } from "node:path";

import { CollectorError, hasCode, reasonOf } from "../../base/errors.js";
import { linesOf } from "../json-lines.js";
import type { FollowedGroup, FollowingSink, FollowingSinkKind } from "./sink.js";

/** Bytes at the end of a file in which the end of its last whole line is looked for at once. */
const lookBytes = 64 * 1024;

/** A file to which each message is appended as a line of JSON; `parsl-collector replay` makes a database of it. */
export const jsonLines: FollowingSinkKind = {
  async open(address) {
    const path = resolve(address);
    try {
      return new JsonLinesFile(path, await openAtLine(path));
    } catch (cause) {
      const cure = "name a file in a directory that is there and that this user may write";
      throw new CollectorError("invalid-argument", `append to ${path}: ${reasonOf(cause)}; ${cure}`, {
        cause,
      });
    }
  },
};

class JsonLinesFile implements FollowingSink {
  readonly #path: string;
  #file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async store({ entries }: FollowedGroup): Promise<void> {
    await this.#followRotation();
    const before = (await this.#file.stat()).size;
    try {
      await this.#file.appendFile(entries.map(linesOf).join(""));
      await this.#file.datasync();
    } catch (cause) {
      await this.#file.truncate(before).catch(() => undefined); // or the next line goes on behind half a one
      throw cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  /** Whoever moves the file away, as logrotate does, finds a new one in its place. */
  async #followRotation(): Promise<void> {
    const [ours, there] = await Promise.all([this.#file.stat(), statIfAny(this.#path)]);
    if (there !== undefined && there.ino === ours.ino && there.dev === ours.dev) return;
    const next = await openAtLine(this.#path);
    await this.#file.close();
    this.#file = next;
  }
}

/** Opens a file for appending; half a line at its end, which a crash left, is removed: all of it comes again. */
async function openAtLine(path: string): Promise<FileHandle> {
  const file = await open(path, "a+", 0o600);
  try {
    const { size } = await file.stat();
    const end = await endOfLastLine(file, size);
    if (end < size) await file.truncate(end);
    return file;
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

async function endOfLastLine(file: FileHandle, size: number): Promise<number> {
  for (let to = size; to > 0;) {
    const from = Math.max(0, to - lookBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(to - from), 0, to - from, from);
    const at = buffer.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (at >= 0) return from + at + 1;
    to = from;
  }
  return 0;
}

async function statIfAny(path: string): Promise<{ readonly ino: number; readonly dev: number } | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return undefined;
    throw cause;
  }
}
