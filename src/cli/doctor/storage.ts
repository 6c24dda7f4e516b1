import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { reasonOf } from "../../base/errors.js";
import { networkFilesystemOf } from "../../base/network-filesystem.js";
import { failed, ok, warning, type Check } from "./check.js";

/** Free bytes below which a campaign may fill the disk, and below which it has. A task takes about 2 KB. */
const fewBytes = 1024 ** 3;
const fewestBytes = 32 * 1024 ** 2;

/** Longest fsync, in ms, that a commit does not feel much. Each commit waits for one or two. */
const slowSyncMs = 100;

/** Whether a collector could keep its file at `path`, as far as it can be told without SQLite. */
export function checkPlace(path: string): Check[] {
  const folder = dirname(path);
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found?.isDirectory() !== true) {
    const reason = found === undefined ? "there is none" : "it is none";
    return [failed("directory", `${folder} is no directory: ${reason}`, "make it, or name another file")];
  }
  return [checkFilesystem(folder, networkFilesystemOf(folder)), checkSpace(folder), checkWritable(folder)];
}

export function checkFilesystem(folder: string, network: string | undefined): Check {
  if (network === undefined)
    return ok("filesystem", `${folder} is on a local filesystem: the journal is WAL`);
  return warning(
    "filesystem",
    `${folder} is on ${network}, where WAL does not work: the journal is a rollback journal, which is slower`,
    "keep the file on a local disk, and copy it when the run is over",
  );
}

function checkSpace(folder: string): Check {
  const { bavail, bsize } = statfsSync(folder);
  const bytes = bavail * bsize;
  const found = `${String(Math.floor(bytes / 1024 ** 2))} MiB are free in ${folder}`;
  const cure = "make room, or name a file on a larger disk";
  if (bytes >= fewBytes) return ok("space", found);
  return bytes >= fewestBytes ? warning("space", found, cure) : failed("space", found, cure);
}

function checkWritable(folder: string): Check {
  try {
    const ms = tryWriting(folder);
    const found = `a file in ${folder} was written and synced in ${ms.toFixed(1)} ms`;
    if (ms <= slowSyncMs) return ok("writing", found);
    return warning("writing", found, "--durability normal syncs less often; a local disk is faster");
  } catch (cause) {
    const cure = "change its permissions, or name a file in another directory";
    return failed("writing", `no file can be written in ${folder}: ${reasonOf(cause)}`, cure);
  }
}

/** Whether the file, if it is there, can go on. Loads SQLite. */
export async function checkFile(path: string): Promise<Check> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return ok("database", `${path} is made when a collector starts`);
  if (!found.isFile()) return failed("database", `${path} is no file`, "name another one");
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    const cure = "change its permissions, or name another file";
    return failed("database", `${path} may not be written: ${reasonOf(cause)}`, cure);
  }
  const { damageCure, damageOf } = await import("../../server/sinks/sqlite/damage.js");
  const damage = damageOf(path);
  if (damage !== undefined) return failed("database", `${path} is damaged: ${damage}`, damageCure);
  return ok("database", `${path} is whole (${String(found.size)} bytes)`);
}

/** Writes and syncs a small file, and removes it. Returns how long that took, in ms; throws the system's error. */
export function tryWriting(folder: string): number {
  const path = join(folder, `.parsl-collector-doctor-${String(process.pid)}`);
  const began = performance.now();
  const file = openSync(path, "wx");
  try {
    writeSync(file, Buffer.alloc(4096));
    fsyncSync(file);
    return performance.now() - began;
  } finally {
    closeSync(file);
    rmSync(path, { force: true });
  }
}
