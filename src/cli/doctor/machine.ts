import { lstatSync, mkdtempSync, rmdirSync, type Stats } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { partsOfAddress } from "../../base/address.js";
import { hasCode, reasonOf } from "../../base/errors.js";
import { utcText } from "../../model/time.js";
import { failed, ok, type Check } from "./check.js";

/** No clock that is right shows a time before this program was made. */
const earliestMs = Date.UTC(2024, 0, 1);

/** Bytes of the directory's name; where it is longer, its place is in /tmp, so that there is room for a socket's. */
const longestHome = 66;

/** An older one is told what to do by main.ts before it comes here. */
export function checkNode(): Check {
  return ok("node", `${process.versions.node} at ${process.execPath}`);
}

/** SQLite is a native module: one for another platform, or none, shows only when it is loaded. */
export async function checkSqlite(): Promise<Check> {
  try {
    const { default: Database } = await import("better-sqlite3");
    const db = new Database(":memory:");
    const version = String(db.prepare("SELECT sqlite_version()").pluck().get());
    db.close();
    return ok("sqlite", `${version} loads and works`);
  } catch (cause) {
    return failed(
      "sqlite",
      `the module better-sqlite3 does not load: ${reasonOf(cause)}`,
      "run `npm ci` again in the collector's directory, on this machine and with this Node",
    );
  }
}

export function checkClock(nowMs: number): Check {
  const now = `${utcText(nowMs * 1000).slice(0, 19)} UTC`;
  if (nowMs >= earliestMs) return ok("clock", `it is ${now}`);
  return failed(
    "clock",
    `it says ${now}, which is long past`,
    "set it, and keep it right with chrony or NTP",
  );
}

/** Whether the first worker of a node may start an agent there: it has its socket and its spool in a directory that is
 *  the user's alone (`_agent.py`). */
export function checkAgentHome(): Check {
  const temporary = tmpdir();
  const cure = "set TMPDIR to a directory on a local disk that you may write to";
  try {
    rmdirSync(mkdtempSync(join(temporary, "parsl-collector-doctor-")));
  } catch (cause) {
    return failed("agent", `nothing can be made in ${temporary}: ${reasonOf(cause)}`, cure);
  }
  const uid = process.getuid?.() ?? 0;
  const name = `parsl-collector-${String(uid)}`;
  const isShort = Buffer.byteLength(join(temporary, name)) <= longestHome;
  const home = join(isShort ? temporary : "/tmp", name);
  let found: Stats;
  try {
    found = lstatSync(home);
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return ok("agent", `${home} can be made`);
    return failed("agent", `${home} cannot be used: ${reasonOf(cause)}`, cure);
  }
  const isOurs = found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0;
  if (isOurs) return ok("agent", `${home} is this user's alone`);
  const mode = (found.mode & 0o777).toString(8);
  const kind = found.isDirectory() ? `of user ${String(found.uid)}, mode ${mode}` : "no directory";
  return failed(
    "agent",
    `${home} is not this user's alone (${kind}): no agent starts`,
    `remove it, or ${cure}`,
  );
}

/** Whether a collector could listen there. */
export async function checkListen(address: string): Promise<Check> {
  const server = createServer();
  try {
    server.listen({ ...partsOfAddress(address), exclusive: true });
    await once(server, "listening");
    return ok("listen", `${address} is free`);
  } catch (cause) {
    return failed("listen", `${address} cannot be listened on: ${reasonOf(cause)}`, listenCure(cause));
  } finally {
    server.close();
  }
}

function listenCure(cause: unknown): string {
  if (hasCode(cause, "EADDRINUSE"))
    return "end the program that listens there, or choose another port (0 for any)";
  if (hasCode(cause, "EACCES")) return "choose a port above 1023";
  return "choose an address of this machine (`ip address` lists them)";
}
