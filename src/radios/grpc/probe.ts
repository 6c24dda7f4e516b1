import type { Socket } from "node:net";

import { Client, type Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";

import {
  CollectorServiceService,
  type GetStatusResponse,
} from "../../gen/parsl_collector/v1/collector_service.js";
import type { SenderOptions } from "../radio.js";
import { callMetadata, channelCredentials, channelOptions } from "./options.js";
import { collectSockets } from "./sockets.js";
import { statusError, timeMetadata } from "./status.js";

/** What a collector answered to a few calls, one after the other. */
export interface Probe {
  /** From each call to its answer, in ms; the first, which made the connection, is not among them. */
  readonly roundTripsMs: readonly number[];
  /** The collector's clock less this machine's, in ms, off by half of the least round trip at most; undefined when the
   *  collector does not tell its time. */
  readonly clockAheadMs: number | undefined;
  readonly blockedReason: string;
  /** The radios by which it listens. */
  readonly radios: readonly string[];
}

/** Longest wait for an answer, in ms. Whoever asks sits before a terminal. */
const defaultPatienceMs = 5_000;

/** A run that there is not: its status is small, however large the ledger is. */
const noRun = "-";

/** Calls the collector at `address` `count` times on a connection of its own. Rejects with a CollectorError, at the
 *  latest when one call has had no answer for `patienceMs`. */
export async function probeCollector(
  address: string,
  count: number,
  { token, tls }: Pick<SenderOptions, "token" | "tls"> = {},
  patienceMs = defaultPatienceMs,
): Promise<Probe> {
  const sockets = new Set<Socket>();
  const client = new Client(address, channelCredentials(address, tls), channelOptions(address, tls));
  const call = (): Promise<Call> => callOf(client, address, callMetadata(token), patienceMs);
  try {
    const first = await collectSockets(sockets, call);
    const calls: Call[] = [];
    while (calls.length < count) calls.push(await call());
    const [best = first] = [...calls].sort((a, b) => a.roundTripMs - b.roundTripMs);
    return {
      roundTripsMs: calls.map(({ roundTripMs }) => roundTripMs),
      clockAheadMs: best.clockAheadMs,
      blockedReason: first.response.blockedReason,
      radios: first.response.receivers.map(({ radio }) => radio),
    };
  } finally {
    client.close();
    for (const socket of sockets) socket.destroy();
  }
}

interface Call {
  readonly response: GetStatusResponse;
  readonly roundTripMs: number;
  readonly clockAheadMs: number | undefined;
}

function callOf(client: Client, address: string, metadata: Metadata, patienceMs: number): Promise<Call> {
  const { path, requestSerialize, responseDeserialize } = CollectorServiceService.getStatus;
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const beganMs = Date.now();
    const request = { runId: noRun };
    const deadline = { deadline: beganMs + patienceMs };
    let answer: GetStatusResponse | undefined;
    let roundTripMs = 0;
    const take = (error: ServiceError | null, response?: GetStatusResponse): void => {
      roundTripMs = performance.now() - began;
      if (error !== null) reject(statusError("call", address, error));
      else answer = response;
    };
    client
      .makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, deadline, take)
      .on("status", ({ metadata: trailer }: StatusObject) => {
        if (answer === undefined) return;
        const [told] = trailer.get(timeMetadata);
        const clockAheadMs =
          told === undefined ? undefined : Number(told) / 1000 - (beganMs + roundTripMs / 2);
        resolve({ response: answer, roundTripMs, clockAheadMs });
      });
  });
}
