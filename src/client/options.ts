import { hostname } from "node:os";

import type { Clock } from "../base/clock.js";
import type { Disk } from "../base/disk.js";
import { CollectorError } from "../base/errors.js";
import type { MonitoringMessage } from "../model/messages.js";
import { nearestName } from "../base/names.js";
import type { RadioSender } from "../radios/radio.js";

/** Bytes of messages that a client holds before `send` waits: seconds of a busy sender, and little beside
 *  what a Python worker takes. */
export const defaultBufferBytes = 32 * 1024 * 1024;

/** A message that the collector keeps aside because no table takes it. */
export interface RejectedMessage {
  /** The message's number among those of this client, from 1. */
  readonly sequence: number;
  /** Why, for a person. */
  readonly reason: string;
  readonly message: MonitoringMessage;
}

/** Where a client stands. It connects with its first message. */
export type ClientState =
  | { readonly at: "idle" }
  | { readonly at: "connecting" }
  /** Acknowledgements come. */
  | { readonly at: "connected" }
  /** The collector is away; messages are kept, and the next attempt is made at `retryAtMs` (since 1970). */
  | { readonly at: "waiting"; readonly reason: CollectorError; readonly retryAtMs: number }
  /** No attempt will help: `send`, `flush` and `close` reject with the reason. */
  | { readonly at: "failed"; readonly reason: CollectorError }
  | { readonly at: "closed" };

export interface ClientOptions {
  /** The run of all messages that name none. Default: none. */
  readonly runId?: string | undefined;
  /** The host of all messages that name none. Default: this machine's name. */
  readonly hostname?: string | undefined;
  /** Bytes of unacknowledged messages before `send` waits. Default: 32 MiB (`defaultBufferBytes`). */
  readonly bufferBytes?: number | undefined;
  /** Directory on a disk for messages that the collector does not take: those in memory go there when the
   *  connection breaks, when the buffer is full, and when the client gives up. It is made when it is needed. What a
   *  sender that died left there is sent too. Default: none, and `send` waits at the bound of the buffer. */
  readonly spool?: string | undefined;
  /** Bytes that this client's messages may take there. Beyond them samples (resourceInfo) are given up first, then
   *  all else, the oldest first, and the collector is told of them. From 64 KiB up; default: 1 GiB
   *  (`defaultSpoolBytes`). */
  readonly spoolBytes?: number | undefined;
  /** Told of trouble that stops nothing: a spool that cannot be written, a damaged file in it. Default: a warning
   *  of the process, on stderr. */
  readonly onWarning?: ((warning: CollectorError) => void) | undefined;
  /** Told of each message that the collector keeps as rejected. Default: only counted. */
  readonly onRejected?: ((rejected: RejectedMessage) => void) | undefined;
  /** Told of each change of state. */
  readonly onStateChange?: ((state: ClientState) => void) | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Numbers from 0 to below 1, for the pauses between attempts. Default: Math.random. */
  readonly random?: (() => number) | undefined;
  /** The spool's. Default: this machine's. */
  readonly disk?: Disk | undefined;
}

export interface ConnectOptions extends ClientOptions {
  /** The collector's address, "host:port", as it prints it. One of `address` and `radio` is needed. */
  readonly address?: string | undefined;
  /** A radio to use in place of gRPC; the client disposes of it. */
  readonly radio?: RadioSender | undefined;
}

/** Eight segments of a few envelopes each; below that a spool holds nothing to speak of. */
const leastSpoolBytes = 64 * 1024;

const wanted: Readonly<
  Record<keyof ConnectOptions, { readonly text: string; readonly takes: (value: unknown) => boolean }>
> = {
  address: { text: '"host:port", as "127.0.0.1:7000"', takes: isAddress },
  radio: {
    text: "a RadioSender",
    takes: (value) => typeof value === "object" && value !== null && "send" in value,
  },
  runId: { text: "a text", takes: isText },
  hostname: { text: "a text", takes: isText },
  bufferBytes: {
    text: "a whole number from 1 up",
    takes: (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  },
  spool: { text: "a path", takes: (value) => isText(value) && value !== "" },
  spoolBytes: {
    text: `a whole number from ${String(leastSpoolBytes)} up`,
    takes: (value) => Number.isSafeInteger(value) && Number(value) >= leastSpoolBytes,
  },
  onWarning: { text: "a function", takes: isFunction },
  onRejected: { text: "a function", takes: isFunction },
  onStateChange: { text: "a function", takes: isFunction },
  clock: {
    text: "a Clock",
    takes: (value) => typeof value === "object" && value !== null && "sleep" in value,
  },
  random: { text: "a function", takes: isFunction },
  disk: {
    text: "a Disk",
    takes: (value) => typeof value === "object" && value !== null && "append" in value,
  },
};

/** Throws one error that names every option that cannot be used. */
export function checkOptions(options: ConnectOptions): void {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(wanted, name)) {
      const near = nearestName(name, Object.keys(wanted));
      problems.push(`${name}: no such option${near === undefined ? "" : `; did you mean "${near}"?`}`);
    } else if (value !== undefined && !wanted[name as keyof ConnectOptions].takes(value)) {
      problems.push(`${name}: expected ${wanted[name as keyof ConnectOptions].text}, got ${inWords(value)}`);
    }
  }
  if ((options.address === undefined) === (options.radio === undefined)) {
    const both = options.address !== undefined;
    problems.push(`expected one of address and radio, got ${both ? "both" : "neither"}`);
  }
  if (problems.length > 0) throw new CollectorError("invalid-argument", `connect: ${problems.join("; ")}`);
}

/** What the envelope says when the caller says nothing. */
export function defaultHostname(): string {
  return hostname();
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function isAddress(value: unknown): boolean {
  const port = typeof value === "string" ? /^\S+:(\d{1,5})$/.exec(value)?.[1] : undefined;
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

function inWords(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
