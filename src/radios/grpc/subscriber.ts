import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, status, type ServiceError } from "@grpc/grpc-js";

import { CollectorError } from "../../base/errors.js";
import { Reconnect } from "../../base/reconnect.js";
import {
  CollectorServiceService,
  SubscribeRequest,
  type SubscribeResponse,
} from "../../gen/parsl_collector/v1/collector_service.js";
import type { SenderOptions } from "../radio.js";
import { callMetadata, channelCredentials, channelOptions } from "./options.js";
import { collectSockets } from "./sockets.js";
import { statusError } from "./status.js";

/** Longest wait for the first response, in ms, which a collector gives at once. */
const firstResponseMs = 10_000;

export interface SubscribeOptions extends Pick<SenderOptions, "token" | "tls"> {
  /** The collector's, as "127.0.0.1:41235". */
  readonly address: string;
  /** Where to go on: the position of the last response. Default: from now. */
  readonly position?: string | undefined;
  /** Without a position: from the oldest message that the collector keeps. Default: false. */
  readonly fromOldest?: boolean | undefined;
  /** Messages of these runs only. Default: all. */
  readonly runIds?: readonly string[] | undefined;
  /** Messages of these kinds only, as Parsl names them. Default: all. */
  readonly kinds?: readonly string[] | undefined;
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
}

/** What a collector commits, from a position on, each message once. Connects again when the connection breaks, and goes
 *  on where it was, for as long as it is read. Throws a CollectorError when that will never be: `gone` when messages
 *  behind the position are no longer kept. */
export async function* subscribe(options: SubscribeOptions): AsyncGenerator<SubscribeResponse, void, void> {
  const { signal } = options;
  const reconnect = new Reconnect(Math.random);
  let position = options.position ?? "";
  const isToldToEnd = (): boolean => signal?.aborted === true;
  while (!isToldToEnd()) {
    try {
      for await (const response of callOnce(options, position)) {
        position = response.position;
        reconnect.succeeded();
        yield response;
      }
    } catch (cause) {
      if (isToldToEnd()) return;
      if (!(cause instanceof CollectorError && cause.retryable)) throw cause;
    }
    await sleep(reconnect.nextPauseMs(), undefined, { signal }).catch(() => undefined); // told to end
  }
}

/** One call, on a connection of its own, to its end. */
async function* callOnce(
  { address, tls, token, signal, ...wanted }: SubscribeOptions,
  position: string,
): AsyncGenerator<SubscribeResponse, void, void> {
  const sockets = new Set<Socket>();
  const client = new Client(address, channelCredentials(address, tls), channelOptions(address, tls));
  const { path, requestSerialize, responseDeserialize } = CollectorServiceService.subscribe;
  const request = SubscribeRequest.fromPartial({
    position,
    fromOldest: wanted.fromOldest ?? false,
    runIds: [...(wanted.runIds ?? [])],
    kinds: [...(wanted.kinds ?? [])],
  });
  const call = collectSockets(sockets, () =>
    client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, callMetadata(token)),
  );
  const end = (): void => call.cancel();
  signal?.addEventListener("abort", end);
  // A peer that takes the connection and says nothing would be waited for for ever.
  const silence = setTimeout(end, firstResponseMs);
  try {
    for await (const response of call as AsyncIterable<SubscribeResponse>) {
      clearTimeout(silence);
      yield response;
    }
  } catch (cause) {
    throw isServiceError(cause) ? errorOf(address, cause) : cause;
  } finally {
    clearTimeout(silence);
    signal?.removeEventListener("abort", end);
    call.cancel();
    client.close();
    for (const socket of sockets) socket.destroy();
  }
}

function errorOf(address: string, error: ServiceError): CollectorError {
  const { code, message } = statusError("subscribe at", address, error);
  if (error.code === status.OUT_OF_RANGE) return new CollectorError("gone", message);
  if (error.code === status.INVALID_ARGUMENT) return new CollectorError("invalid-argument", message);
  return new CollectorError(code, message);
}

function isServiceError(cause: unknown): cause is ServiceError {
  return cause instanceof Error && "code" in cause && "details" in cause;
}
