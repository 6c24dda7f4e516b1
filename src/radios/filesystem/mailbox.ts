import { constants } from "node:fs";
import { access, lstat, mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";

import { hasCode } from "../../base/errors.js";
import { networkFilesystemOf } from "../../base/network-filesystem.js";
import { isRunning, thisProcess } from "../../base/process-identity.js";
import { largestBatchBytes, readBatch, type Batch } from "./batch.js";
import { claimName, folders, isShard, nudgePrefix, parseClaimName, shardOf, writerOf } from "./names.js";
import { Sightings } from "./sightings.js";

/** How long a batch that a collector of another host has taken is left to it, in ms: whether it lives nobody here
 *  knows, and a living one commits within seconds. Taken back too early, it is stored once all the same in the same
 *  database, by the ledger. */
const foreignClaimMs = 60_000;

/** How long a file in `tmp` is left to its sender, in ms. One that was only slow writes it again. */
const unfinishedMs = 3_600_000;

/** The directory as a collector sees it. Every act rejects with the system's error; of several collectors that try
 *  the same, one succeeds. */
export class Mailbox {
  readonly #directory: string;
  readonly #me = thisProcess();
  readonly #foreignClaims = new Sightings(foreignClaimMs);
  readonly #unfinished = new Sightings(unfinishedMs);
  /** Whether other hosts see it, so that this one may be shown old listings: clients of network filesystems keep
   *  them for up to a minute. */
  readonly isShared: boolean;

  private constructor(directory: string, isShared: boolean) {
    this.#directory = directory;
    this.isShared = isShared;
  }

  /** Makes the folders that are missing, and fails where they may not be written. */
  static async open(directory: string, isShared?: boolean): Promise<Mailbox> {
    for (const name of Object.values(folders)) {
      const folder = join(directory, name);
      await mkdir(folder, { recursive: true });
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    }
    return new Mailbox(directory, isShared ?? networkFilesystemOf(directory) !== undefined);
  }

  /** What is in `new`, in the order of names. */
  async arrivals(): Promise<{ readonly shards: readonly string[]; readonly junk: readonly string[] }> {
    const names = await this.#list(this.#path(folders.new));
    return { shards: names.filter(isShard), junk: names.filter((name) => !isShard(name)) };
  }

  /** What is in a folder of `new`, in the order of names; of no writer a later batch without the earlier ones. */
  async arrivalsIn(shard: string): Promise<string[]> {
    const seen = await this.#list(this.shardPath(shard));
    if (seen.length === 0) return seen;
    // The system reads a long list in parts: one that shows a batch may have missed the writer's one before it,
    // which came behind the part that was being read. One that begins afterwards does not.
    const newest = new Map(seen.map((name) => [writerOf(name), name]));
    const again = await this.#list(this.shardPath(shard));
    return again.filter((name) => name <= (newest.get(writerOf(name)) ?? ""));
  }

  shardPath(shard: string): string {
    return this.#path(folders.new, shard);
  }

  /** Takes a batch, so that no other collector reads it; false when another was faster. */
  async claim(batch: string): Promise<boolean> {
    const moved = await move(this.#path(folders.new, shardOf(batch), batch), this.#claim(batch));
    // Another was faster, or somebody removed the folder; then the next look finds the batch again.
    if (!moved) await mkdir(this.#path(folders.cur), { recursive: true });
    return moved;
  }

  /** Reads a batch that this process has taken. */
  async read(batch: string): Promise<Batch & { readonly bytes: number }> {
    const none = { envelopes: [], bytes: 0 };
    // Not through a link, and without waiting for the writer of a pipe.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    try {
      await using file = await open(this.#claim(batch), flags);
      const status = await file.stat();
      if (!status.isFile()) return { ...none, fault: "foreign" };
      if (status.size > largestBatchBytes) return { ...none, fault: "too-large" };
      const bytes = await file.readFile();
      return { ...readBatch(bytes), bytes: bytes.length };
    } catch (cause) {
      if (hasCode(cause, "ELOOP", "ENXIO")) return { ...none, fault: "foreign" };
      if (hasCode(cause, "EACCES", "EPERM")) return { ...none, fault: "unreadable" };
      throw cause;
    }
  }

  /** Removes a batch whose envelopes are committed. */
  async remove(batch: string): Promise<void> {
    await rm(this.#claim(batch), { force: true }); // missing when another collector took it for a dead one's
  }

  /** Gives a batch back that this process has taken. */
  async release(batch: string): Promise<void> {
    await this.#giveBack(claimName(batch, this.#me));
  }

  /** Keeps a batch that this process has taken, for a person. */
  async setClaimAside(batch: string): Promise<void> {
    await this.#setAside(this.#claim(batch), batch);
  }

  /** Keeps something in `new` that is no batch, for a person; false when another collector was faster. */
  setJunkAside(path: readonly string[]): Promise<boolean> {
    return this.#setAside(this.#path(folders.new, ...path), path.at(-1) ?? "");
  }

  /** Gives back the batches that collectors took which are dead. Returns how many. */
  async takeBack(nowMs: number): Promise<number> {
    const claims = await readdir(this.#path(folders.cur));
    const foreign: string[] = [];
    const left = claims.filter((name) => {
      const claimer = parseClaimName(name)?.claimer;
      const running = claimer === undefined || isRunning(claimer);
      if (running === undefined) foreign.push(name);
      return running === false;
    });
    left.push(...this.#foreignClaims.old(foreign, nowMs));
    for (const name of left) await this.#giveBack(name);
    return left.length;
  }

  /** Removes what senders began to write and died over. Returns how many files. */
  async removeUnfinished(nowMs: number): Promise<number> {
    const old = this.#unfinished.old(await readdir(this.#path(folders.tmp)), nowMs);
    for (const name of old) await rm(this.#path(folders.tmp, name), { recursive: true, force: true });
    return old.length;
  }

  async #list(folder: string): Promise<string[]> {
    if (this.isShared) await this.#nudge(folder);
    return (await readdir(folder)).filter((name) => !name.startsWith(nudgePrefix)).sort();
  }

  /** Changes a folder, so that the client of a network filesystem asks its server for what is in it. */
  async #nudge(folder: string): Promise<void> {
    const name = join(folder, `${nudgePrefix}${this.#me.hostname}-${String(this.#me.pid)}`);
    await mkdir(name, { recursive: true }); // there already when a collector died between these two
    await rmdir(name);
  }

  async #giveBack(claim: string): Promise<void> {
    const batch = parseClaimName(claim)?.batch;
    if (batch === undefined) return;
    const folder = this.shardPath(shardOf(batch));
    await mkdir(folder, { recursive: true });
    await move(this.#path(folders.cur, claim), join(folder, batch));
  }

  async #setAside(from: string, name: string): Promise<boolean> {
    await mkdir(this.#path(folders.bad), { recursive: true });
    for (let copy = 1; ; copy += 1) {
      const to = this.#path(folders.bad, copy === 1 ? name : `${name}.${String(copy)}`);
      if (!(await exists(to))) return move(from, to);
    }
  }

  #claim(batch: string): string {
    return this.#path(folders.cur, claimName(batch, this.#me));
  }

  #path(...names: string[]): string {
    return join(this.#directory, ...names);
  }
}

/** Renames; false when there is nothing of this name. */
async function move(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return false;
    throw cause;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return false;
    throw cause;
  }
}
