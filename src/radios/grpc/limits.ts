import { constants, type ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";

import {
  ServerInterceptingCall,
  status,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerUnaryCall,
  type StatusObject,
} from "@grpc/grpc-js";

import { WaterLevel } from "../../base/water-level.js";
import type { Inbox } from "../radio.js";
import type { Refusals } from "./refusals.js";

/** Calls of one address at one time: 10,000 workers behind one login node, with a stream each, are legitimate. */
export const defaultStreamsPerPeer = 16_384;

/** Envelopes of one stream that are not acknowledged yet. An agent has 256 at most, a sender 8. */
export const defaultInFlight = 4_096;

/** Bytes of envelopes that one stream, and all calls of one address, may have here before they are read no further. The
 *  second is a quarter of what waits for the writer before all addresses are held up, and two groups of the writer. */
const streamShareBytes = 2 * 1024 * 1024;
const peerShareBytes = 4 * 1024 * 1024;

/** Bytes of requests of one address that have begun and are not whole yet. One may have 64 MiB, and grpc-js would keep as
 *  many of those as there are calls. */
const mostUnfinishedBytes = 128 * 1024 * 1024;

/** What an envelope that waits takes in memory beside its bytes, roughly: those of a few bytes must not be free. */
const overheadBytes = 512;

export interface CallLimits {
  /** Calls that one address may have open. Default: 16,384 (`defaultStreamsPerPeer`). */
  readonly streamsPerPeer?: number | undefined;
  /** Envelopes that may wait for their acknowledgement: of a stream, which is read no further then, and of the single
   *  calls of a connection. Default: 4,096 (`defaultInFlight`). */
  readonly inFlight?: number | undefined;
}

/** Says of a call of a method, before a byte of its request is read, why it is refused. */
export type Admit = (
  path: string,
  call: Pick<ServerUnaryCall<unknown, unknown>, "metadata" | "getPeer" | "getAuthContext">,
) => Pick<StatusObject, "code" | "details"> | undefined;

/** A stream that can be read no further for a while. */
export interface Holdable {
  hold(): void;
  /** Takes back one `hold`. */
  release(): void;
}

/** Streams that are held, all of them, while something has no room for what they bring. */
export class Throttle {
  readonly #streams = new Set<Holdable>();
  #isHeld = false;

  get isHeld(): boolean {
    return this.#isHeld;
  }

  join(stream: Holdable): void {
    this.#streams.add(stream);
    if (this.#isHeld) stream.hold();
  }

  leave(stream: Holdable): void {
    this.#streams.delete(stream);
  }

  /** Holds them until `room` resolves; nothing when there is room. */
  heed(room: Promise<void> | undefined): void {
    if (room === undefined || this.#isHeld) return;
    this.#isHeld = true;
    for (const stream of this.#streams) stream.hold();
    void room.then(() => {
      this.#isHeld = false;
      for (const stream of this.#streams) stream.release();
    });
  }
}

/** An address from which calls come. */
export class Peer {
  readonly streams = new Throttle();
  readonly #waiting = shareOf(peerShareBytes);
  /** Bytes of its requests that are not whole yet. */
  unfinishedBytes = 0;
  readonly #onIdle: () => void;
  #calls = 0;

  /** `onIdle` is told when nothing of it is here any more. */
  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** Calls that are open. */
  get calls(): number {
    return this.#calls;
  }

  /** Undefined while its envelopes have room. */
  get room(): Promise<void> | undefined {
    return this.#waiting.room;
  }

  open(): void {
    this.#calls += 1;
  }

  close(): void {
    this.#calls -= 1;
    this.#checkIdle();
  }

  /** Counts an envelope until it is answered, whatever becomes of its call. */
  await(envelope: Uint8Array, answer: Promise<unknown>): void {
    const weight = envelope.length + overheadBytes;
    this.#waiting.add(weight);
    const settled = (): void => {
      this.#waiting.remove(weight);
      this.#checkIdle();
    };
    answer.then(settled, settled);
  }

  #checkIdle(): void {
    if (this.#calls === 0 && this.#waiting.value === 0) this.#onIdle();
  }
}

/** Bytes of one call's requests that are not whole yet. */
class Unfinished {
  readonly #peer: Peer;
  #bytes = 0;
  #isOver = false;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** Returns whether there may be so many. */
  grow(bytes: number): boolean {
    if (this.#isOver) return true;
    this.#add(bytes);
    return this.#peer.unfinishedBytes <= mostUnfinishedBytes;
  }

  /** A request is whole: bytes, or what was read from them in a call that has no other. */
  finish(request: unknown): void {
    this.#add(
      request instanceof Uint8Array ? -Math.min(this.#bytes, request.length + framingBytes) : -this.#bytes,
    );
  }

  forget(): void {
    this.#add(-this.#bytes);
    this.#isOver = true;
  }

  #add(bytes: number): void {
    this.#bytes += bytes;
    this.#peer.unfinishedBytes += bytes;
  }
}

/** What each address has with the receiver, and how much that may be. */
export class Peers {
  readonly inFlight: number;
  readonly #streamsPerPeer: number;
  readonly #inbox: Inbox;
  readonly #refusals: Refusals;
  readonly #peers = new Map<string, Peer>();
  /** Single calls with an envelope, by connection. */
  readonly #sends = new Map<string, number>();

  constructor(options: CallLimits, inbox: Inbox, refusals: Refusals) {
    this.#streamsPerPeer = options.streamsPerPeer ?? defaultStreamsPerPeer;
    this.inFlight = options.inFlight ?? defaultInFlight;
    this.#inbox = inbox;
    this.#refusals = refusals;
  }

  /** The address of a call, as grpc-js names its peer. */
  of(callPeer: string): Peer {
    const address = addressOf(callPeer);
    let peer = this.#peers.get(address);
    if (peer === undefined) {
      peer = new Peer(() => this.#peers.delete(address));
      this.#peers.set(address, peer);
    }
    return peer;
  }

  /** Tells `called` of each call, refuses those that `admit` does not want and those beyond the limits before a byte of
   *  their requests is read, and lets one of `sendPath` wait while there is no room for what it brings. */
  interceptor(sendPath: string, called: (callPeer: string) => void, admit: Admit): ServerInterceptor {
    return (method, call) => {
      const callPeer = call.getPeer();
      called(callPeer);
      const isSend = method.path === sendPath;
      let unfinished: Unfinished | undefined;
      let leave: (() => void) | undefined;
      return new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            // Here, and not before: from here on it is certain that onCancel comes, however the call ends.
            onReceiveMetadata: (metadata, pass) => {
              if (isCompressed(call)) {
                call.sendStatus({ code: status.UNIMPLEMENTED, details: notInflated });
                return;
              }
              const refusal = admit(method.path, {
                metadata,
                getPeer: () => callPeer,
                getAuthContext: () => call.getAuthContext(),
              });
              if (refusal !== undefined) {
                call.sendStatus(refusal);
                return;
              }
              const entered = this.#enter(callPeer, isSend);
              if (typeof entered === "string") {
                call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: entered });
                return;
              }
              unfinished = this.#watch(call, callPeer);
              leave = entered;
              if (isSend) void this.#whenRoom(callPeer).then(() => pass(metadata));
              else pass(metadata);
            },
            onReceiveMessage: (message, pass) => {
              unfinished?.finish(message);
              pass(message);
            },
            onCancel: () => {
              unfinished?.forget();
              leave?.();
            },
          }),
      });
    };
  }

  /** Returns how to take it back, or why the call is refused. */
  #enter(callPeer: string, isSend: boolean): (() => void) | string {
    const address = addressOf(callPeer);
    const peer = this.of(callPeer);
    if (peer.calls >= this.#streamsPerPeer) {
      return this.#refuse(
        "streams-per-peer",
        address,
        `open a call: ${address} has ${String(peer.calls)} open, as many as one address may have; ` +
          "--max-streams-per-peer raises that",
      );
    }
    const sends = this.#sends.get(callPeer) ?? 0;
    if (isSend && sends >= this.inFlight) {
      return this.#refuse(
        "in-flight",
        address,
        `open a call: ${String(sends)} envelopes of this connection wait for their acknowledgement, as many as may; ` +
          "--max-in-flight raises that",
      );
    }
    peer.open();
    if (isSend) this.#sends.set(callPeer, sends + 1);
    return () => {
      peer.close();
      if (!isSend) return;
      const left = (this.#sends.get(callPeer) ?? 0) - 1;
      if (left > 0) this.#sends.set(callPeer, left);
      else this.#sends.delete(callPeer);
    };
  }

  /** Counts the bytes of a call's requests until they are whole, and ends it when they are too many for its address. */
  #watch(call: ServerInterceptingCallInterface, callPeer: string): Unfinished {
    const stream = http2StreamOf(call);
    readNothingAhead(stream);
    const unfinished = new Unfinished(this.of(callPeer));
    stream.on("data", (chunk: Buffer) => {
      if (unfinished.grow(chunk.length)) return;
      const details = this.#refuse(
        "unfinished-requests",
        addressOf(callPeer),
        `read a request: those of ${addressOf(callPeer)} that are not whole yet have ` +
          `${String(mostUnfinishedBytes)} bytes, as many as those of one address may have; send fewer at a time`,
      );
      call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details });
      // grpc-js would keep what it has of the request for as long as the client leaves the stream open.
      stream.close(constants.NGHTTP2_NO_ERROR);
    });
    return unfinished;
  }

  #refuse(limit: string, address: string, details: string): string {
    this.#refusals.add(limit, address, details);
    return details;
  }

  async #whenRoom(callPeer: string): Promise<void> {
    const peer = this.of(callPeer);
    for (let room; (room = this.#inbox.room ?? peer.room) !== undefined;) await room;
  }
}

/** What one stream may have here: of envelopes that wait for the writer, and of answers that wait for its client. */
export function streamShare(): WaterLevel {
  return shareOf(streamShareBytes);
}

function shareOf(bytes: number): WaterLevel {
  return new WaterLevel(bytes, bytes / 2);
}

/** Lets a stream that is paused take nothing more. A call of grpc-js, a stream of objects, would read sixteen more requests, and
 *  its HTTP/2 stream as much as one window over again: with 100 streams 50 MiB that no limit counts. What is left
 *  unread in HTTP/2 keeps the client from sending more. */
export function readNothingAhead(stream: Readable): void {
  (stream as unknown as { _readableState: { highWaterMark: number } })._readableState.highWaterMark = 0;
}

/** What gRPC puts before a message: whether it is compressed, and its length. */
const framingBytes = 5;

/** Compressed requests are not taken: each may grow to 64 MiB of memory from 64 KiB, all calls of a connection at one time,
 *  and grpc-js lets nobody count that. */
const notInflated = "this collector takes requests uncompressed only; turn compression off in the client";

/** A call as grpc-js has it inside (1.14): what it lets nobody at, and what an attack goes for. */
interface Internals {
  readonly stream: ServerHttp2Stream;
  readonly incomingEncoding: string;
}

function http2StreamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as Internals).stream;
}

function isCompressed(call: ServerInterceptingCallInterface): boolean {
  return (call as unknown as Internals).incomingEncoding !== "identity";
}

/** The address without the port. */
export function addressOf(callPeer: string): string {
  return callPeer.replace(/:\d+$/, "");
}
