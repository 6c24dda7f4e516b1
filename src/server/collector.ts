import type { Logger } from "../base/logger.js";
import { systemClock } from "../base/clock.js";
import { CollectorError } from "../base/errors.js";
import { HttpEndpoint } from "../base/http-endpoint.js";
import type { Principal } from "../model/principal.js";
import type { AccessOptions, Token } from "../radios/grpc/access.js";
import { openGrpcReceiver, type GrpcLimits, type GrpcReceiver } from "../radios/grpc/receiver.js";
import type { Inbox, Radio, RadioReceiver, ReceiverOptions } from "../radios/radio.js";
import { Batcher } from "./batcher.js";
import type { Followers } from "./followers/followers.js";
import type { SinkOption } from "./followers/messages.js";
import { Health } from "./health.js";
import type { MetricsSource } from "./metrics.js";
import { openSink, type DatabaseOptions } from "./sinks/open.js";
import type { Sink } from "./sinks/sink.js";
import { Subscriptions } from "./subscriptions.js";

export interface CollectorOptions {
  readonly database: DatabaseOptions;
  /** "host:port" for gRPC; port 0 lets the system choose. */
  readonly listen: string;
  /** More radios by which senders may come, beside gRPC. */
  readonly radios?: readonly ListeningRadio[];
  /** What one peer may have by gRPC. */
  readonly limits?: GrpcLimits;
  /** Whether anyone who reaches it by gRPC may ask what there is to call, and who is connected. */
  readonly introspection: boolean;
  /** How long the database may be unwritable before it says that it does not serve, in s. */
  readonly unhealthyAfterSeconds: number;
  /** "host:port" for metrics and health by HTTP; undefined for none. */
  readonly metrics?: string | undefined;
  /** The run's secret, for radios that anybody can reach. */
  readonly key?: Uint8Array | undefined;
  /** Whom gRPC lets in. Default: everybody who can reach it. */
  readonly access?: AccessOptions | undefined;
  /** Sinks that follow what the database decides. */
  readonly sinks?: readonly SinkOption[];
}

export interface ListeningRadio {
  readonly name: string;
  readonly radio: Radio;
  /** In the radio's own form. */
  readonly address: string;
}

/** Builds the pieces of a collector, and starts and stops them in order: receivers, inbox with group
 *  commit, sink. */
export class Collector implements AsyncDisposable {
  readonly #sink: Sink;
  readonly #batcher: Batcher;
  readonly #grpc: GrpcReceiver;
  readonly #others: ReadonlyMap<string, RadioReceiver>;
  readonly #health: Health;
  readonly #endpoint: HttpEndpoint | undefined;
  readonly #followers: Followers | undefined;

  private constructor(
    sink: Sink,
    batcher: Batcher,
    grpc: GrpcReceiver,
    others: ReadonlyMap<string, RadioReceiver>,
    health: Health,
    endpoint: HttpEndpoint | undefined,
    followers: Followers | undefined,
  ) {
    this.#sink = sink;
    this.#batcher = batcher;
    this.#grpc = grpc;
    this.#others = others;
    this.#health = health;
    this.#endpoint = endpoint;
    this.#followers = followers;
  }

  /** Rejects with a CollectorError that says what to do when the database cannot be used or the address
   *  cannot be listened on; nothing is left open then. */
  static async open(options: CollectorOptions, logger: Logger): Promise<Collector> {
    const radios = options.radios ?? [];
    const names = ["grpc", ...radios.map(({ name }) => name)];
    const sink = await openSink(options.database, logger, names);
    const receivers = new Map<string, RadioReceiver>();
    let followers: Followers | undefined;
    try {
      // Before anything is received: what a sink has not had is kept from the first message on.
      followers = await openFollowers(sink, options.sinks ?? [], logger);
      const batcher = new Batcher(sink);
      const status = async (runId: string, principal: Principal | undefined) => ({
        ...((await unlessBlocked(sink, () => batcher.status(runId, principal))) ?? {
          total: undefined,
          senders: [],
          runs: [],
        }),
        queuedBytes: BigInt(batcher.queuedBytes),
        blockedReason: sink.blockedReason ?? "",
        receivers: [...receivers].map(([radio, { address, refused = new Map<string, number>() }]) => ({
          radio,
          address,
          refused: Object.fromEntries([...refused].map(([reason, count]) => [reason, BigInt(count)])),
        })),
      });
      const inbox = inboxOf(batcher, options.access?.tokens);
      const subscriptions = new Subscriptions(sink.log);
      const grpc = await openGrpcReceiver(
        { ...options, ...options.access },
        batcher,
        {
          status,
          subscription: (request, principal, signal) => subscriptions.follow(request, principal, signal),
        },
        logger,
      );
      receivers.set("grpc", grpc);
      for (const { name, radio, address } of radios) {
        receivers.set(name, await openReceiver(name, radio, address, inbox, { logger, key: options.key }));
      }
      const others = new Map(receivers);
      others.delete("grpc");
      const health = new Health({
        unhealthyAfterSeconds: options.unhealthyAfterSeconds,
        clock: systemClock,
        onChange: (reason) => {
          grpc.setServing(reason === undefined);
          if (reason === undefined) logger.info("serving again");
          else logger.warn({ reason }, "not serving");
        },
      });
      health.databaseBlocked(sink.blockedReason);
      sink.whenBlocked((reason) => health.databaseBlocked(reason));
      const metrics: MetricsSource = {
        counts: sink.counts,
        databaseSizes: () => sink.sizes(),
        queuedBytes: () => batcher.queuedBytes,
        streams: () => grpc.streams,
        refused: () =>
          [...receivers].map(([radio, { refused = new Map<string, number>() }]) => [radio, refused]),
        losses: async () => (health.isDraining ? undefined : unlessBlocked(sink, () => sink.losses())),
        serving: () => health.reason === undefined,
        databaseWritable: () => sink.blockedReason === undefined,
        lags: async () => (health.isDraining ? undefined : followers?.lags()),
      };
      const endpoint =
        options.metrics === undefined ? undefined : await openEndpoint(options.metrics, metrics, health);
      return new Collector(sink, batcher, grpc, others, health, endpoint, followers);
    } catch (cause) {
      for (const receiver of receivers.values()) await receiver[Symbol.asyncDispose]();
      await followers?.[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
      throw cause;
    }
  }

  /** Where senders reach it by gRPC. */
  get address(): string {
    return this.#grpc.address;
  }

  /** Where senders reach it by its other radios, by their names. */
  get radios(): Record<string, string> {
    return Object.fromEntries([...this.#others].map(([name, { address }]) => [name, address]));
  }

  /** Where its metrics are, by HTTP. */
  get metricsAddress(): string | undefined {
    return this.#endpoint?.address;
  }

  /** Resolves with the first fault after which nothing can be received or stored any more. */
  get failed(): Promise<CollectorError> {
    const receivers = [...this.#others.values()].flatMap(({ failed }) => failed ?? []);
    return Promise.race([
      this.#sink.failed,
      ...(this.#followers ? [this.#followers.failed] : []),
      ...receivers,
    ]);
  }

  /** Takes other tokens and shows another certificate from now on; see GrpcReceiver.reload. */
  reload(access: AccessOptions): void {
    this.#grpc.reload(access);
  }

  /** Drains: receivers stop reading, what was accepted is committed and answered, the sink is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#health.drain();
    const receivers = [this.#grpc, ...this.#others.values()];
    await Promise.all(receivers.map((receiver) => receiver[Symbol.asyncDispose]()));
    await this.#batcher[Symbol.asyncDispose]();
    await this.#followers?.[Symbol.asyncDispose]();
    await this.#sink[Symbol.asyncDispose]();
    // Last, for whoever asks meanwhile is told that it drains.
    await this.#endpoint?.[Symbol.asyncDispose]();
  }

  /** Gives up at once. Returns how many bytes of envelopes were neither stored nor acknowledged: their
   *  senders still have them. */
  async abort(): Promise<number> {
    const left = this.#batcher.queuedBytes;
    this.#batcher.abort();
    this.#grpc.abort();
    await this.#sink.abort();
    return left;
  }
}

function openReceiver(
  name: string,
  radio: Radio,
  address: string,
  inbox: Inbox,
  options: ReceiverOptions,
): Promise<RadioReceiver> {
  if (radio.openReceiver !== undefined) return radio.openReceiver(address, inbox, options);
  throw new CollectorError("invalid-argument", `listen by radio "${name}": it has no receiving half`);
}

/** Where other radios, which know no tokens, put what they hear. Where all tokens are of one owner they bring what is
 *  that owner's: a message of a run may come by any of them first. */
function inboxOf(batcher: Batcher, tokens: readonly Token[] | undefined): Inbox {
  const [first, ...others] = tokens ?? [];
  if (first === undefined || others.some(({ name }) => name !== first.name)) return batcher;
  const principal: Principal = { name: first.name, runs: "all" };
  return {
    accept: (envelope, radio) => batcher.accept(envelope, radio, principal),
    get room() {
      return batcher.room;
    },
  };
}

/** Loads what runs them only now, as most collectors have none. */
async function openFollowers(
  sink: Sink,
  options: readonly SinkOption[],
  logger: Logger,
): Promise<Followers | undefined> {
  if (options.length === 0) return undefined;
  const { Followers } = await import("./followers/followers.js");
  return await Followers.open(sink.log, sink.positions, options, logger);
}

/** Loads what makes metrics only now: most collectors do without. */
async function openEndpoint(listen: string, source: MetricsSource, health: Health): Promise<HttpEndpoint> {
  const { CollectorMetrics } = await import("./metrics.js");
  const metrics = new CollectorMetrics(source);
  return await HttpEndpoint.open(listen, { metrics, notServing: () => health.reason });
}

/** The answer, or undefined when the sink is blocked before it comes: whoever asks how things are must not
 *  wait for a lock. */
function unlessBlocked<T>(sink: Sink, ask: () => Promise<T>): Promise<T | undefined> {
  if (sink.blockedReason !== undefined) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const forget = sink.whenBlocked((reason) => {
      if (reason !== undefined) resolve(undefined);
    });
    void ask().then(resolve, reject).finally(forget);
  });
}
