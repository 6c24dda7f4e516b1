import { hostname } from "node:os";

import type { Clock } from "../base/clock.js";
import type { Disk } from "../base/disk.js";
import { CollectorError } from "../base/errors.js";
import type { MonitoringMessage } from "../model/messages.js";
import { nearestName } from "../base/names.js";
import type { ClientTls, Radio, RadioSender } from "../radios/radio.js";

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

/** A radio and where it leads: the name of a registered one, or a radio itself. */
export interface RoadOption {
  readonly radio: string | Radio;
  /** In the radio's own form: "host:port" for grpc and udp, a directory for filesystem. */
  readonly address: string;
}

export interface ConnectOptions extends ClientOptions {
  /** Where the collector is, in the radio's own form; "host:port" for gRPC, as it prints it. One of `address`,
   *  `radios` and a sender as `radio` is needed. */
  readonly address?: string | undefined;
  /** The radio: by the name of a registered one (a module of your own: `await radios.load("./my-radio.js")`
   *  before), itself, or its sending half, open already; the client disposes of it. Default: "grpc". */
  readonly radio?: string | Radio | RadioSender | undefined;
  /** Several radios to one collector, from the best to the last resort: when one has failed for
   *  `fallbackAfterMs` the next takes over, and the first is tried again. */
  readonly radios?: readonly RoadOption[] | undefined;
  /** Default: 10,000 (`defaultFallbackAfterMs`). */
  readonly fallbackAfterMs?: number | undefined;
  /** The run's secret, for a radio that wants one (udp). */
  readonly key?: Uint8Array | undefined;
  /** What gRPC shows to the collector to be let in. */
  readonly token?: string | undefined;
  /** How gRPC makes sure that it speaks to the collector: true where an authority that Node.js knows vouches for it.
   *  Default: no TLS, for a collector on this host. */
  readonly tls?: true | ClientTls | undefined;
}

/** Eight segments of a few envelopes each; below that a spool holds nothing to speak of. */
const leastSpoolBytes = 64 * 1024;

const wanted: Readonly<
  Record<keyof ConnectOptions, { readonly text: string; readonly takes: (value: unknown) => boolean }>
> = {
  address: { text: 'an address, as "127.0.0.1:7000"', takes: (value) => isText(value) && value !== "" },
  radio: {
    text: "the name of a radio, a Radio or a RadioSender",
    takes: (value) => isText(value) || isObjectWith(value, "send") || isObjectWith(value, "openSender"),
  },
  radios: {
    text: 'a list as [{ radio: "grpc", address: "127.0.0.1:7000" }, { radio: "filesystem", address: "/shared" }]',
    takes: (value) => Array.isArray(value) && value.length > 0 && value.every(isRoad),
  },
  fallbackAfterMs: {
    text: "a number of milliseconds from 0 up",
    takes: (value) => Number.isFinite(value) && Number(value) >= 0,
  },
  key: {
    text: "16 bytes or more",
    takes: (value) => value instanceof Uint8Array && value.length >= 16,
  },
  token: { text: "a text", takes: (value) => isText(value) && value !== "" },
  tls: {
    text: "true, or an object with ca, serverName, certificate and privateKey (in PEM), each as it is needed",
    takes: (value) =>
      value === true || (typeof value === "object" && value !== null && !Array.isArray(value)),
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
  clock: { text: "a Clock", takes: (value) => isObjectWith(value, "sleep") },
  random: { text: "a function", takes: isFunction },
  disk: { text: "a Disk", takes: (value) => isObjectWith(value, "append") },
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
  problems.push(...wrongCombination(options));
  if (problems.length > 0) throw new CollectorError("invalid-argument", `connect: ${problems.join("; ")}`);
}

/** What does not go together, where each by itself is right. */
function wrongCombination({ address, radio, radios }: ConnectOptions): string[] {
  const isOpen = isObjectWith(radio, "send");
  const given = [address !== undefined, radios !== undefined, isOpen].filter(Boolean).length;
  if (given !== 1) {
    const got = given === 0 ? "none" : "several";
    return [`expected one of address, radios and a sender as radio, got ${got}`];
  }
  if (radios !== undefined && radio !== undefined) return ["expected one of radio and radios, got both"];
  if (address !== undefined && (radio === undefined || radio === "grpc") && !isHostAndPort(address)) {
    return [`address: expected "host:port", as "127.0.0.1:7000", got "${address}"`];
  }
  return [];
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

function isObjectWith(value: unknown, name: string): boolean {
  return typeof value === "object" && value !== null && name in value;
}

function isRoad(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { radio, address } = value as Partial<Record<keyof RoadOption, unknown>>;
  return (isText(radio) || isObjectWith(radio, "openSender")) && isText(address) && address !== "";
}

function isHostAndPort(address: string): boolean {
  const port = /^\S+:(\d{1,5})$/.exec(address)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

function inWords(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
