import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";

import { abortable } from "../../base/abortable.js";
import { CollectorError, hasCode, reasonOf } from "../../base/errors.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../radio.js";
import { encodeBatch, largestEnvelopeBytes } from "./batch.js";
import { batchName, folders, shardOf } from "./names.js";

/** Bytes of envelopes that make a file, when more wait. A file costs two fsyncs whatever is in it. */
const batchBytes = 1024 * 1024;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly written: PromiseWithResolvers<void>;
}

/** Leaves envelopes as files in a directory that a collector reads, and makes it when it is missing. `send` resolves
 *  when the file and its name are on the disk; all envelopes that wait while one file is written make the next. */
export function openFilesystemSender(directory: string): RadioSender {
  return new FilesystemSender(resolve(directory));
}

class FilesystemSender implements RadioSender {
  readonly #directory: string;
  readonly #writer = randomBytes(16).toString("hex");
  #number = 0;
  #waiting: Waiting[] = [];
  /** The writing of all that waits; undefined while nothing does. */
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async send({ bytes }: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt> {
    const act = `leave an envelope of ${String(bytes.length)} bytes in ${this.#directory}`;
    if (this.#closed) throw new CollectorError("closed", `${act}: the sender was closed before`);
    if (bytes.length > largestEnvelopeBytes) {
      const reason = `at most ${String(largestEnvelopeBytes)} are taken; send its messages alone`;
      throw new CollectorError("invalid-envelope", `${act}: ${reason}`);
    }
    signal?.throwIfAborted();
    const written = Promise.withResolvers<void>();
    this.#waiting.push({ bytes, written });
    this.#writing ??= this.#writeAll();
    // After an abort it may be written, and so stored, all the same.
    await abortable(written.promise, signal);
    return { delivery: "handed-over" };
  }

  /** Writes what was sent before. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // What is sent in the same turn travels together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#takeBatch();
      try {
        await this.#write(encodeBatch(batch.map(({ bytes }) => bytes)));
        for (const { written } of batch) written.resolve();
      } catch (cause) {
        for (const { written } of batch) written.reject(cause);
      }
    }
    this.#writing = undefined;
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    const over = this.#waiting.findIndex((one, index) => {
      bytes += one.bytes.length;
      return index > 0 && bytes > batchBytes;
    });
    return this.#waiting.splice(0, over === -1 ? this.#waiting.length : over);
  }

  /** Rejects with a retryable CollectorError. */
  async #write(batch: Uint8Array): Promise<void> {
    this.#number += 1;
    const name = batchName(this.#writer, this.#number);
    try {
      await this.#place(name, batch).catch(async (cause: unknown) => {
        if (!hasCode(cause, "ENOENT")) throw cause;
        // The first to come makes the folders, and whoever finds that somebody removed them.
        for (const folder of [folders.tmp, folders.cur, folders.bad, join(folders.new, shardOf(name))]) {
          await mkdir(join(this.#directory, folder), { recursive: true });
        }
        await this.#place(name, batch);
      });
    } catch (cause) {
      const file = join(this.#directory, folders.tmp, name);
      // It may hold the room that the next attempt needs. A collector removes it later if we cannot.
      await rm(file, { force: true }).catch(() => undefined);
      const act = `write batch ${name} into ${this.#directory}`;
      throw new CollectorError("unavailable", `${act}: ${reasonOf(cause)}`, { cause });
    }
  }

  /** Nobody sees a batch in `new` that is not whole and safe: content first, then the name. */
  async #place(name: string, batch: Uint8Array): Promise<void> {
    const from = join(this.#directory, folders.tmp, name);
    const folder = join(this.#directory, folders.new, shardOf(name));
    {
      await using file = await open(from, "w");
      await file.writeFile(batch);
      await file.sync();
    } // closed: another host sees what is in a file that was closed before it was opened there
    await rename(from, join(folder, name));
    await using directory = await open(folder);
    await directory.sync();
  }
}
