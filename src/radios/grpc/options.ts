import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";

import { credentials, Metadata, type ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";

import { partsOfAddress } from "../../base/address.js";
import type { ClientTls } from "../radio.js";
import { ownServerName } from "./tls.js";

/** Longest attempt to connect, in ms, until HTTP/2 answers. grpc-js puts no deadline on it: a peer that
 *  accepts TCP and never speaks leaves a channel CONNECTING for ever (grpc-node#2785). */
export const defaultConnectTimeoutMs = 10_000;

/** How long a stream that has nothing more to say may take to end, in ms. */
export const endPatienceMs = 1_000;

/** Pings on a silent connection, in ms: a collector whose host went away without a word is noticed within
 *  40 s. Collectors permit pings from 10 s up, also without calls. */
const keepaliveMs = 30_000;
const keepaliveTimeoutMs = 10_000;

const commonOptions: ChannelOptions = {
  // gRPC's own retries keep every message of a stream for as long as it lives; we resume by sequence.
  "grpc.enable_retries": 0,
  // Clusters set http_proxy on compute nodes, for other things than a collector beside them.
  "grpc.enable_http_proxy": 0,
  // No look-up of a TXT record for settings that a collector does not have.
  "grpc.service_config_disable_resolution": 1,
  // A connection for each sender, whose failures are no other sender's: shared subchannels share the
  // pauses between attempts too.
  "grpc.use_local_subchannel_pool": 1,
  // Counters for a debugging service that we do not run.
  "grpc.enable_channelz": 0,
  // Acknowledgements of many rejected messages may be long.
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": keepaliveMs,
  "grpc.keepalive_timeout_ms": keepaliveTimeoutMs,
};

export function channelOptions(address: string, tls: ClientTls | undefined): ChannelOptions {
  if (tls === undefined) return commonOptions;
  // An address is no name that TLS may ask for; `channelCredentials` makes sure of it all the same.
  const name = tls.serverName ?? (ipOf(address) === undefined ? undefined : ownServerName);
  return name === undefined ? commonOptions : { ...commonOptions, "grpc.ssl_target_name_override": name };
}

export function channelCredentials(address: string, tls: ClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { ca, certificate, privateKey } = tls;
  const ip = tls.serverName === undefined ? ipOf(address) : undefined;
  return credentials.createSsl(
    bufferOf(ca),
    bufferOf(privateKey),
    bufferOf(certificate),
    ip === undefined ? {} : { checkServerIdentity: (_, shown) => checkServerIdentity(ip, shown) },
  );
}

function ipOf(address: string): string | undefined {
  const { host } = partsOfAddress(address);
  return isIP(host) === 0 ? undefined : host;
}

/** What each call says of who makes it. */
export function callMetadata(token: string | undefined): Metadata {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

function bufferOf(bytes: Uint8Array | undefined): Buffer | null {
  return bytes === undefined ? null : Buffer.from(bytes);
}
