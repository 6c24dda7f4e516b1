import { jetstream, jetstreamManager, JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";

import { CollectorError, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import { kindName } from "../../model/kinds.js";
import { jsonOfMessage } from "../../model/message-json.js";
import type { LoggedMessage } from "../committed-messages.js";
import type { FollowedGroup, FollowingSink, FollowingSinkKind } from "./sink.js";

/** Messages that are published and not yet acknowledged. */
const inFlight = 256;

/** Longest wait for an acknowledgement, in ms. */
const patienceMs = 10_000;

/** How long the stream that we make remembers the ids of messages, in ns: what comes again within it is dropped by the
 *  server. */
const rememberedNs = 24 * 60 * 60 * 1e9;

interface Options {
  readonly servers: string;
  readonly user: string | undefined;
  readonly pass: string | undefined;
  readonly token: string | undefined;
  readonly stream: string;
  readonly prefix: string;
  readonly isJson: boolean;
}

/** A stream of NATS JetStream: each message is published under `<prefix>.<run>.<KIND>`, with `<sender>:<sequence>` as
 *  the id by which the server knows what it has. */
export const nats: FollowingSinkKind = {
  open: (address, { logger }) => Promise.resolve(new NatsStream(parse(address), logger)),
};

class NatsStream implements FollowingSink {
  readonly #options: Options;
  readonly #logger: Logger;
  #connection: NatsConnection | undefined;
  #stream: JetStreamClient | undefined;

  constructor(options: Options, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  async store({ messages }: FollowedGroup): Promise<void> {
    const stream = await this.#open();
    // In order, and so many on their way: a server that is slow holds us up, not our memory.
    const onTheirWay: Promise<unknown>[] = [];
    try {
      for (const message of messages) {
        const published = this.#publish(stream, message);
        published.catch(() => undefined); // told below
        if (onTheirWay.push(published) >= inFlight) await onTheirWay.shift();
      }
      await Promise.all(onTheirWay);
    } catch (cause) {
      await Promise.allSettled(onTheirWay);
      throw new CollectorError("unavailable", `publish to ${this.#options.servers}: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection?.close();
  }

  #publish(stream: JetStreamClient, message: LoggedMessage): Promise<unknown> {
    const { prefix, isJson } = this.#options;
    const kind = kindName(message.message);
    const { bytes } = message;
    const about = headers();
    about.set("Parsl-Sender", message.senderId);
    about.set("Parsl-Sequence", String(message.sequence));
    about.set("Parsl-Run", message.runId);
    about.set("Parsl-Host", message.hostname);
    about.set("Parsl-Kind", kind);
    if (message.rejectedReason !== "")
      about.set("Parsl-Rejected", message.rejectedReason.replaceAll(/[\r\n]+/g, " "));
    return stream.publish(
      `${prefix}.${token(message.runId)}.${kind}`,
      isJson ? JSON.stringify(jsonOfMessage(bytes) ?? null) : bytes,
      { msgID: `${message.senderId}:${String(message.sequence)}`, headers: about, timeout: patienceMs },
    );
  }

  /** The client connects again by itself; what it says meanwhile are rejected publications. */
  async #open(): Promise<JetStreamClient> {
    if (this.#stream !== undefined && this.#connection?.isClosed() === false) return this.#stream;
    const { servers, user, pass, token: secret, stream, prefix } = this.#options;
    const connection = await connect({
      servers,
      name: "parsl-collector",
      maxReconnectAttempts: -1,
      ...(user !== undefined && { user }),
      ...(pass !== undefined && { pass }),
      ...(secret !== undefined && { token: secret }),
    });
    try {
      const manager = await jetstreamManager(connection);
      try {
        await manager.streams.info(stream);
      } catch (cause) {
        if (!(cause instanceof JetStreamApiError)) throw cause;
        await manager.streams.add({
          name: stream,
          subjects: [`${prefix}.>`],
          duplicate_window: rememberedNs,
        });
        this.#logger.info({ stream, subjects: `${prefix}.>` }, "stream of NATS made");
      }
      this.#connection = connection;
      this.#stream = jetstream(connection);
      return this.#stream;
    } catch (cause) {
      await connection.close();
      throw cause;
    }
  }
}

/** Of "nats://[user:password@]host:port[?stream=PARSL&prefix=parsl&format=protobuf]". */
function parse(address: string): Options {
  const fail = (reason: string): never => {
    const example = "nats://host:4222?stream=PARSL&prefix=parsl&format=json";
    throw new CollectorError("invalid-argument", `publish to NATS: ${reason}; give one as ${example}`);
  };
  const url = URL.parse(address);
  if (url === null || !/^(nats|tls):$/.test(url.protocol) || url.hostname === "")
    return fail(`"${address}" is no address`);
  const known = ["stream", "prefix", "format"];
  const unknown = [...url.searchParams.keys()].find((key) => !known.includes(key));
  if (unknown !== undefined) fail(`there is no option ${unknown}, there are ${known.join(", ")}`);
  const format = url.searchParams.get("format") ?? "protobuf";
  if (format !== "protobuf" && format !== "json") fail(`format is protobuf or json, not ${format}`);
  const stream = url.searchParams.get("stream") ?? "PARSL";
  if (!/^[\w-]+$/.test(stream)) fail(`"${stream}" is no name of a stream`);
  const prefix = url.searchParams.get("prefix") ?? "parsl";
  if (!/^[\w-]+(\.[\w-]+)*$/.test(prefix)) fail(`"${prefix}" is no beginning of a subject`);
  const [user, pass] = [url.username, url.password].map(decodeURIComponent);
  return {
    servers: `${url.protocol}//${url.host}`,
    user: user === "" || pass === "" ? undefined : user,
    pass: pass === "" ? undefined : pass,
    token: user !== "" && pass === "" ? user : undefined,
    ...{ stream, prefix, isJson: format === "json" },
  };
}

/** A run's id as one part of a subject, which has no dots, spaces or wildcards in it. */
function token(runId: string): string {
  return runId === "" ? "none" : runId.replaceAll(/[^\w-]/g, "_");
}
