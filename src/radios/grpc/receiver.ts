import { once } from "node:events";

import {
  Metadata,
  Server,
  setLogger,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import { CollectorError, reasonOf, type ErrorCode } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import type { WaterLevel } from "../../base/water-level.js";
import {
  CollectorServiceService,
  type GetStatusRequest,
  type GetStatusResponse,
  type SendMessagesResponse,
  type StreamMessagesResponse,
  type SubscribeRequest,
  type SubscribeResponse,
} from "../../gen/parsl_collector/v1/collector_service.js";
import type { Acknowledgement } from "../../model/envelope.js";
import type { Principal } from "../../model/principal.js";
import { nowMicros } from "../../model/time.js";
import type { Inbox, RadioReceiver } from "../radio.js";
import { Access, type AccessOptions } from "./access.js";
import { addressOf, Peers, readNothingAhead, streamShare, Throttle, type CallLimits } from "./limits.js";
import { Listener, type ConnectionLimits } from "./listener.js";
import { Refusals } from "./refusals.js";
import { envelopesIn } from "./request.js";
import { timeMetadata } from "./status.js";

/** Largest request, in bytes. A sender splits its envelopes at 256 KiB; this is for one large message
 *  alone (a task with megabytes of inputs), which a sender cuts at 32 MiB. */
const largestRequestBytes = 64 * 1024 * 1024;

/** How often the server asks a silent client whether it is there, in ms. A node that died leaves a stream
 *  that nobody would end otherwise. */
const keepaliveMs = 60_000;
const keepaliveTimeoutMs = 20_000;

/** How long a connection may be without a call, in ms. Clients of gRPC connect again when they have one. */
const maxConnectionIdleMs = 5 * 60_000;

/** Calls at one time on one connection. A sender has one stream; what comes beyond is for its gRPC library to hold back. */
const maxConcurrentStreams = 1_000;

/** How long clients may take to end their connections after their streams have been ended, in ms. */
const closePatienceMs = 1_000;

/** The name under which the ledger knows this radio. */
const radioName = "grpc";

const serviceName = "parsl_collector.v1.CollectorService";

export interface GrpcReceiverOptions extends AccessOptions {
  /** "host:port"; port 0 lets the system choose. */
  readonly listen: string;
  readonly limits?: GrpcLimits | undefined;
  /** Whether to tell anyone who asks what there is to call (reflection), and who is connected (channelz); by
   *  default not. */
  readonly introspection?: boolean;
}

/** What one peer may have, a peer being an address. */
export interface GrpcLimits extends ConnectionLimits, CallLimits {
  /** How long a connection may be without a call, in ms. Default: 300,000. */
  readonly connectionIdleMs?: number | undefined;
}

/** What GetStatus tells, but for what only the receiver knows. */
export type StatusSource = (
  runId: string,
  principal: Principal | undefined,
) => Promise<Omit<GetStatusResponse, "openStreams">>;

/** What Subscribe answers: what is committed, until the signal aborts. */
export type SubscriptionSource = (
  request: SubscribeRequest,
  principal: Principal | undefined,
  signal: AbortSignal,
) => AsyncIterable<SubscribeResponse>;

/** What a receiver answers from, beside the inbox. */
export interface GrpcSources {
  readonly status: StatusSource;
  readonly subscription: SubscriptionSource;
}

type Subscriber = ServerWritableStream<SubscribeRequest, SubscribeResponse>;

type Stream = ServerDuplexStream<Buffer, StreamMessagesResponse>;
type AnyCall = Pick<Stream, "metadata" | "getAuthContext" | "getPeer">;

/** Listens for gRPC. Requests stay bytes on this thread: whoever stores them decodes them. */
export async function openGrpcReceiver(
  options: GrpcReceiverOptions,
  inbox: Inbox,
  sources: GrpcSources,
  logger: Logger,
): Promise<GrpcReceiver> {
  // grpc-js writes to stderr by itself, and not as lines of the log. What fails comes to us as an error too.
  const toLog = (text: string): void => logger.debug({ text }, "grpc-js");
  setLogger({ error: toLog, info: toLog, debug: toLog });
  const receiver = new GrpcReceiver(options, inbox, sources, logger);
  if (options.introspection === true) {
    const { addIntrospection } = await import("./introspection.js"); // with 0.1 s of what few ask for
    receiver.addServices(addIntrospection);
  }
  await receiver.listen(options);
  return receiver;
}

export class GrpcReceiver implements RadioReceiver {
  readonly #inbox: Inbox;
  readonly #sources: GrpcSources;
  readonly #logger: Logger;
  readonly #server: Server;
  readonly #health = new HealthImplementation({ "": "SERVING", [serviceName]: "SERVING" });
  readonly #streams = new Set<StreamAnswers>();
  /** How to end each subscription. */
  readonly #subscriptions = new Map<Subscriber, AbortController>();
  /** All streams, which wait together for room in the inbox. */
  readonly #throttle = new Throttle();
  readonly #refusals: Refusals;
  readonly #peers: Peers;
  #access: Access;
  #listener: Listener | undefined;
  #disposal: Promise<void> | undefined;

  constructor(options: GrpcReceiverOptions, inbox: Inbox, sources: GrpcSources, logger: Logger) {
    this.#access = new Access(options);
    this.#inbox = inbox;
    this.#sources = sources;
    this.#logger = logger;
    this.#refusals = new Refusals(logger);
    this.#peers = new Peers(options.limits ?? {}, inbox, this.#refusals);
    this.#server = new Server({
      "grpc.max_receive_message_length": largestRequestBytes,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
      "grpc.max_connection_idle_ms": options.limits?.connectionIdleMs ?? maxConnectionIdleMs,
      "grpc.max_concurrent_streams": maxConcurrentStreams,
      interceptors: [
        this.#peers.interceptor(
          CollectorServiceService.sendMessages.path,
          (peer) => this.#listener?.called(peer),
          (path, call) => this.#refusalOf(path, call),
        ),
      ],
    });
    const implementation: UntypedServiceImplementation = {
      streamMessages: (call: Stream) => this.#stream(call),
      sendMessages: (
        call: ServerUnaryCall<Buffer, SendMessagesResponse>,
        answer: sendUnaryData<SendMessagesResponse>,
      ) => void this.#send(call, answer),
      getStatus: (
        call: ServerUnaryCall<GetStatusRequest, GetStatusResponse>,
        answer: sendUnaryData<GetStatusResponse>,
      ) => void this.#status(call, answer),
      subscribe: (call: Subscriber) => void this.#subscribe(call),
    };
    this.#server.addService(passingBytes, implementation);
    this.#health.addToServer(this.#server);
  }

  /** Before it listens. */
  addServices(add: (server: Server) => void): void {
    add(this.#server);
  }

  get address(): string {
    return this.#listener?.address ?? "";
  }

  /** Connections and calls that were refused, by reason. */
  get refused(): ReadonlyMap<string, number> {
    return this.#refusals.counts;
  }

  async listen(options: GrpcReceiverOptions): Promise<void> {
    const { listen, tls, limits } = options;
    this.#listener = await Listener.open(
      this.#server,
      { listen, tls, ...limits },
      this.#refusals,
      this.#logger,
    );
  }

  /** Takes other tokens and shows another certificate from now on; streams whose token is no longer taken end. Whether
   *  there is TLS at all stays as it is. Throws a CollectorError, and goes on as before. */
  reload(options: AccessOptions): void {
    if (options.tls !== undefined) this.#listener?.reload(options.tls);
    this.#access = new Access(options);
    for (const stream of this.#streams) {
      const principal = this.#access.principalOf(stream.call);
      if (principal instanceof CollectorError) void stream.drain(principal);
      else stream.principal = principal;
    }
    for (const [call, end] of this.#subscriptions) {
      const principal = this.#access.principalOf(call);
      if (principal instanceof CollectorError) end.abort(principal);
    }
  }

  /** Stops reading, answers what was accepted, and ends the streams with UNAVAILABLE, so that clients
   *  connect again elsewhere or later. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    await this.#disposal;
  }

  /** Ends everything now; what was accepted is not answered. */
  abort(): void {
    this.#server.forceShutdown();
    this.#listener?.destroy();
  }

  /** Streams that are open, and how many of them are not read now, since the writer is behind or they have
   *  more here than their share. */
  get streams(): { readonly open: number; readonly paused: number } {
    const open = this.#streams.size;
    return { open, paused: [...this.#streams].filter(({ isHeld }) => isHeld).length };
  }

  /** What grpc.health.v1 answers. */
  setServing(serving: boolean): void {
    for (const name of ["", serviceName]) {
      this.#health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
    }
  }

  async #dispose(): Promise<void> {
    this.setServing(false);
    const reason = new CollectorError("shutting-down", "the collector is shutting down");
    for (const end of this.#subscriptions.values()) end.abort(reason);
    await Promise.all([...this.#streams].map((stream) => stream.drain(reason)));
    const patience = setTimeout(() => this.abort(), closePatienceMs);
    this.#server.tryShutdown(() => undefined); // clients are told to go; the listener knows when they have
    await this.#listener?.close();
    clearTimeout(patience);
  }

  #stream(call: Stream): void {
    const callPeer = call.getPeer();
    const peer = this.#peers.of(callPeer);
    readNothingAhead(call);
    const answers = new StreamAnswers(call, this.#peers.inFlight);
    const principal = this.#access.principalOf(call);
    if (principal instanceof CollectorError) {
      void answers.drain(principal);
      return;
    }
    answers.principal = principal;
    this.#streams.add(answers);
    const leave = (): void => {
      this.#streams.delete(answers);
      this.#throttle.leave(answers);
      peer.streams.leave(answers);
    };
    call.on("data", (request: Buffer) => {
      for (const { envelope, acknowledgement } of this.#acceptAll(request, answers.principal, call)) {
        answers.await(envelope, acknowledgement);
      }
      this.#heedRoom();
      peer.streams.heed(peer.room);
    });
    call.on("end", () => answers.endWhenAnswered());
    call.on("error", (cause) =>
      this.#logger.debug({ peer: callPeer, reason: cause.message }, "stream broke"),
    );
    call.on("close", leave);
    call.on("cancelled", leave);
    this.#throttle.join(answers);
    peer.streams.join(answers);
  }

  async #send(
    call: ServerUnaryCall<Buffer, SendMessagesResponse>,
    answer: sendUnaryData<SendMessagesResponse>,
  ): Promise<void> {
    try {
      const principal = this.#access.principalOf(call);
      if (principal instanceof CollectorError) throw principal;
      const read = this.#tryRead(call.request, call);
      if (read instanceof CollectorError) throw read;
      // Of more of them, which this call has not, nobody would hear.
      answer(null, { acknowledgement: await this.#accept(read[0], principal, call) });
    } catch (cause) {
      answer(statusOf(cause));
    }
  }

  async #status(
    call: ServerUnaryCall<GetStatusRequest, GetStatusResponse>,
    answer: sendUnaryData<GetStatusResponse>,
  ): Promise<void> {
    try {
      const principal = this.#access.principalOf(call);
      if (principal instanceof CollectorError) throw principal;
      const status = await this.#sources.status(call.request.runId, principal);
      const response = { ...status, openStreams: this.#streams.size };
      const trailer = new Metadata();
      trailer.set(timeMetadata, String(nowMicros()));
      answer(null, response, trailer);
    } catch (cause) {
      answer(statusOf(cause));
    }
  }

  async #subscribe(call: Subscriber): Promise<void> {
    const end = new AbortController();
    this.#subscriptions.set(call, end);
    const left = (): void => end.abort(new CollectorError("closed", "the subscriber went away"));
    call.on("cancelled", left);
    call.on("close", left);
    call.on("error", (cause) =>
      this.#logger.debug({ peer: call.getPeer(), reason: cause.message }, "subscription broke"),
    );
    try {
      const principal = this.#access.principalOf(call);
      if (principal instanceof CollectorError) throw principal;
      for await (const response of this.#sources.subscription(call.request, principal, end.signal)) {
        // A subscriber that does not read is given no more until it does.
        if (!call.write(response)) await once(call, "drain", { signal: end.signal });
      }
      end.signal.throwIfAborted();
    } catch (cause) {
      const reason: unknown = end.signal.aborted ? end.signal.reason : cause;
      if (!call.cancelled) call.emit("error", statusOf(reason));
    } finally {
      this.#subscriptions.delete(call);
    }
  }

  /** An answer for each envelope, one at least. */
  #acceptAll(
    request: Buffer,
    principal: Principal | undefined,
    call: AnyCall,
  ): { readonly envelope: Uint8Array; readonly acknowledgement: Promise<Acknowledgement> }[] {
    const read = this.#tryRead(request, call);
    if (read instanceof CollectorError) return [{ envelope: request, acknowledgement: Promise.reject(read) }];
    return read.map((envelope) => ({ envelope, acknowledgement: this.#accept(envelope, principal, call) }));
  }

  /** The envelopes of a request, one at least, or why they are not taken. */
  #tryRead(request: Buffer, call: AnyCall): ReturnType<typeof envelopesIn> | CollectorError {
    try {
      return envelopesIn(request, this.#peers.inFlight);
    } catch (cause) {
      const error =
        cause instanceof CollectorError
          ? cause
          : new CollectorError("invalid-envelope", `read a request: ${reasonOf(cause)}`, { cause });
      this.#refusals.add(
        error.code === "exhausted" ? "in-flight" : error.code,
        addressOf(call.getPeer()),
        error.message,
      );
      return error;
    }
  }

  #accept(envelope: Uint8Array, principal: Principal | undefined, call: AnyCall): Promise<Acknowledgement> {
    const callPeer = call.getPeer(); // now: later its connection may be gone
    const acknowledgement = this.#inbox.accept(envelope, radioName, principal);
    this.#peers.of(callPeer).await(envelope, acknowledgement);
    acknowledgement.catch((cause: unknown) => {
      const reason = cause instanceof CollectorError ? refusalReasons[cause.code] : undefined;
      if (reason !== undefined) this.#refusals.add(reason, addressOf(callPeer), reasonOf(cause));
    });
    return acknowledgement;
  }

  /** Why a call is refused, by whose it is. Health checks and the like tell nothing that is anybody's. */
  #refusalOf(path: string, call: AnyCall): ReturnType<typeof statusOf> | undefined {
    const principal = path.startsWith(`/${serviceName}/`) ? this.#access.principalOf(call) : undefined;
    if (!(principal instanceof CollectorError)) return undefined;
    this.#refusals.add(principal.code, addressOf(call.getPeer()), principal.message);
    return statusOf(principal);
  }

  /** Holds all streams, those that will open included, until the inbox has room again. */
  #heedRoom(): void {
    const { room } = this.#inbox;
    if (room === undefined || this.#throttle.isHeld) return;
    this.#throttle.heed(room);
    this.#logger.debug({ streams: this.#streams.size }, "streams paused until the writer catches up");
  }
}

/** Whoever sends what the inbox does not take is told, and so is whoever looks after the collector: as this, by the code of
 *  the error. */
const refusalReasons: Partial<Record<ErrorCode, string>> = {
  "invalid-envelope": "invalid-envelope",
  forbidden: "forbidden",
  exhausted: "senders-per-run",
};

/** Rejections that one response may have, but for those of a single envelope: 20,000 with their reasons stay
 *  below the 4 MiB that gRPC allows a client by default. */
const mostRejections = 20_000;

/** What these take in memory until the client has read them, in bytes, roughly. */
const acknowledgementBytes = 256;
const rejectionBytes = 256;

/** The answers of one stream: all acknowledgements of one commit go down in one response, or in several when
 *  much was rejected. */
class StreamAnswers {
  /** Whose stream it is; undefined where nobody is asked. */
  principal: Principal | undefined;
  readonly #call: Stream;
  /** What is not acknowledged yet, and answers that the client has not read. */
  readonly #unanswered = streamShare();
  readonly #unread = streamShare();
  /** An envelope's part of the share beside its bytes, so that no more than may be in flight fill it. */
  readonly #partBytes: number;
  #ready: Acknowledgement[] = [];
  #awaited = 0;
  /** Which of the two is full. */
  readonly #full = new Set<WaterLevel>();
  /** How many reasons there are to read no further now. */
  #holds = 0;
  #draining = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(call: Stream, inFlight: number) {
    this.#call = call;
    this.#partBytes = Math.ceil(this.#unanswered.high / inFlight);
  }

  get call(): AnyCall {
    return this.#call;
  }

  /** Whether it is not read now. */
  get isHeld(): boolean {
    return this.#holds > 0;
  }

  await(envelope: Uint8Array, acknowledgement: Promise<Acknowledgement>): void {
    const weight = envelope.length + this.#partBytes;
    this.#awaited += 1;
    this.#unanswered.add(weight);
    this.#heed(this.#unanswered);
    const settled = (): void => {
      this.#unanswered.remove(weight);
      this.#settled(1);
    };
    acknowledgement.then(
      (one) => {
        // The promises of one commit resolve one right after the other; a microtask comes after them all.
        if (this.#ready.push(one) === 1) queueMicrotask(() => this.#flush());
        settled();
      },
      (cause: unknown) => {
        this.#flush();
        this.#fail(cause);
        settled();
      },
    );
  }

  hold(): void {
    this.#holds += 1;
    this.#call.pause();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds === 0 && !this.#draining) this.#call.resume();
  }

  endWhenAnswered(): void {
    void this.#answered().then(() => {
      if (!this.#draining) this.#call.end();
    });
  }

  /** Reads no more, answers what was read, and ends the stream with `reason`. */
  async drain(reason: CollectorError): Promise<void> {
    this.#draining = true;
    this.#call.pause();
    await this.#answered();
    this.#flush();
    this.#fail(reason);
  }

  #answered(): Promise<void> {
    if (this.#awaited === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  #settled(count: number): void {
    this.#awaited -= count;
    if (this.#awaited > 0) return;
    // After the microtask that writes the last acknowledgements.
    queueMicrotask(() => {
      this.#idle?.resolve();
      this.#idle = undefined;
    });
  }

  #flush(): void {
    if (this.#ready.length === 0 || this.#call.cancelled) return;
    const ready = this.#ready;
    this.#ready = [];
    let acknowledgements: Acknowledgement[] = [];
    let rejections = 0;
    for (const one of ready) {
      if (rejections > 0 && rejections + one.rejections.length > mostRejections) {
        this.#write(acknowledgements, rejections);
        acknowledgements = [];
        rejections = 0;
      }
      acknowledgements.push(one);
      rejections += one.rejections.length;
    }
    this.#write(acknowledgements, rejections);
  }

  #write(acknowledgements: Acknowledgement[], rejections: number): void {
    const weight = acknowledgementBytes * acknowledgements.length + rejectionBytes * rejections;
    this.#unread.add(weight);
    this.#heed(this.#unread);
    this.#call.write({ acknowledgements }, () => this.#unread.remove(weight));
  }

  /** Reads no further while a share is full. */
  #heed(share: WaterLevel): void {
    if (share.room === undefined || this.#full.has(share)) return;
    this.#full.add(share);
    this.hold();
    void share.room.then(() => {
      this.#full.delete(share);
      this.release();
    });
  }

  #fail(cause: unknown): void {
    if (!this.#call.cancelled) this.#call.emit("error", statusOf(cause));
  }
}

/** The service, with requests that carry an envelope left as bytes. */
const passingBytes: ServiceDefinition = {
  ...CollectorServiceService,
  streamMessages: { ...CollectorServiceService.streamMessages, requestDeserialize: (bytes: Buffer) => bytes },
  sendMessages: { ...CollectorServiceService.sendMessages, requestDeserialize: (bytes: Buffer) => bytes },
};

function statusOf(cause: unknown): { code: status; details: string } {
  const code = cause instanceof CollectorError ? cause.code : "internal";
  const details = reasonOf(cause);
  switch (code) {
    case "invalid-envelope":
    case "invalid-argument":
      return { code: status.INVALID_ARGUMENT, details };
    case "unauthenticated":
      return { code: status.UNAUTHENTICATED, details };
    case "forbidden":
      return { code: status.PERMISSION_DENIED, details };
    case "gone":
      return { code: status.OUT_OF_RANGE, details };
    case "unavailable":
    case "shutting-down":
      return { code: status.UNAVAILABLE, details };
    case "exhausted":
      return { code: status.RESOURCE_EXHAUSTED, details };
    case "deadline":
      return { code: status.DEADLINE_EXCEEDED, details };
    default:
      return { code: status.INTERNAL, details };
  }
}
