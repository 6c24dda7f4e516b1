import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { CollectorError, hasCode, reasonOf } from "../../base/errors.js";
import { radios } from "../../radios/built-in.js";
import { probeCollector, type Probe } from "../../radios/grpc/probe.js";
import type { SenderOptions } from "../../radios/radio.js";
import { failed, ok, warning, type Check } from "./check.js";
import { tryWriting } from "./storage.js";

/** How a collector is met that lets in not just anybody. */
type CollectorAccess = Pick<SenderOptions, "token" | "tls">;

/** Calls whose times are told. */
const calls = 5;

/** Difference of two clocks, in ms, from which on times in the tables mislead. */
const mostSkewMs = 1_000;

/** How long a host may take to say that nobody listens, in ms. One that says nothing tells nothing. */
const refusalMs = 300;

/** Whether a collector answers at `address` by gRPC, how soon, and whether its clock and this one agree. */
export async function checkCollector(address: string, access: CollectorAccess = {}): Promise<Check[]> {
  let probe: Probe;
  try {
    probe = await probeCollector(address, calls, access);
  } catch (cause) {
    return [failed("collector", reasonOf(cause), reachCure(cause))];
  }
  return [answers(address, probe), ...agreement(probe)];
}

function reachCure(cause: unknown): string {
  if (cause instanceof CollectorError && cause.code === "unauthenticated") {
    return "give the token that the collector knows, with --token-file, and a certificate where it wants one";
  }
  return (
    "check the address, that a collector runs there (its ready line names its address), that no firewall is between, " +
    "and that both speak TLS (--ca-file) or neither does"
  );
}

function answers(address: string, { roundTripsMs, blockedReason, radios: names }: Probe): Check {
  const sorted = [...roundTripsMs].sort((a, b) => a - b);
  const [least = NaN, median = NaN] = [sorted[0], sorted[Math.floor(sorted.length / 2)]];
  const times = `least ${least.toFixed(1)} ms, median ${median.toFixed(1)} ms of ${String(sorted.length)} round trips`;
  if (blockedReason === "")
    return ok("collector", `${address} answers: ${times}; it listens by ${names.join(", ")}`);
  return failed(
    "collector",
    `${address} answers, and cannot write its database: ${blockedReason}`,
    "see to what its log says; until then its senders keep their messages",
  );
}

function agreement({ clockAheadMs, roundTripsMs }: Probe): Check[] {
  if (clockAheadMs === undefined) return [];
  const seconds = (Math.abs(clockAheadMs) / 1000).toFixed(3);
  const offBy = (Math.min(...roundTripsMs) / 2000).toFixed(3);
  const side = clockAheadMs > 0 ? "behind" : "ahead of";
  const found = `this machine's is ${seconds} s ${side} the collector's, give or take ${offBy} s`;
  if (Math.abs(clockAheadMs) <= mostSkewMs) return [ok("clocks", found)];
  const cure =
    "keep both right with chrony or NTP: tables hold the times of the machines where things happened";
  return [warning("clocks", found, cure)];
}

/** Whether messages could go by this radio, as far as it can be seen from here without sending one. */
export async function checkRadio(name: string, address: string, access: CollectorAccess): Promise<Check[]> {
  const title = `radio ${name}`;
  if (name === "grpc") return checkCollector(address, access);
  if (name === "unix") return [await checkSocket(title, address)];
  if (name === "filesystem") return [checkMailbox(title, address)];
  if (name === "udp") return [await checkPort(title, address)];
  try {
    await radios.load(name);
    return [ok(title, `it loads; whether somebody hears it at ${address} only a message would show`)];
  } catch (cause) {
    return [failed(title, reasonOf(cause), "correct the name, or install the module")];
  }
}

async function checkSocket(title: string, path: string): Promise<Check> {
  const socket = createConnection({ path });
  try {
    await once(socket, "connect");
    return ok(title, `somebody listens on ${path}`);
  } catch (cause) {
    const cure = "start an agent there: parsl-collector agent --upstream HOST:PORT --socket PATH";
    return failed(title, `no connection to ${path}: ${reasonOf(cause)}`, cure);
  } finally {
    socket.destroy();
  }
}

function checkMailbox(title: string, directory: string): Check {
  const unfinished = join(directory, "tmp");
  const isMade = existsSync(unfinished);
  try {
    tryWriting(isMade ? unfinished : directory);
  } catch (cause) {
    const cure = "make it on a filesystem that workers and collector share, and let both write to it";
    return failed(title, `no file can be written in ${directory}: ${reasonOf(cause)}`, cure);
  }
  if (isMade) return ok(title, `files can be written in ${directory}`);
  return warning(
    title,
    `files can be written in ${directory}, and no collector has used it yet`,
    "start one with --radio filesystem=DIRECTORY, on a path that leads to the same place",
  );
}

/** Sends one datagram, which a collector counts as refused. Nobody answers one, but a host on which nobody listens says
 *  so. */
async function checkPort(title: string, address: string): Promise<Check> {
  const match = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(address);
  if (match === null) return failed(title, `${address} is no host:port`, "write it as 10.1.2.3:7001");
  const [, host = "", port = ""] = match;
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const broken = once(socket, "error").then(([cause]: unknown[]) => cause);
  try {
    socket.connect(Number(port), host);
    const early = await Promise.race([broken, once(socket, "connect").then(() => undefined)]);
    if (early === undefined) socket.send("doctor");
    const cause = early ?? (await Promise.race([broken, sleep(refusalMs)]));
    if (cause === undefined)
      return ok(title, `nobody refuses datagrams at ${address}; whether they arrive is not told`);
    const reason = hasCode(cause, "ECONNREFUSED") ? "nobody listens there" : reasonOf(cause);
    return failed(
      title,
      `send to ${address}: ${reason}`,
      "check the address that the collector's ready line names",
    );
  } finally {
    socket.close();
  }
}
