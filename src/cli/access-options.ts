import { readFileSync } from "node:fs";

import type { Command } from "commander";

import { CollectorError, reasonOf } from "../base/errors.js";
import { isLoopback } from "../base/address.js";
import type { AccessOptions } from "../radios/grpc/access.js";
import type { ServerTls } from "../radios/grpc/tls.js";
import type { ClientTls, SenderOptions } from "../radios/radio.js";
import { readToken, readTokens } from "./token-file.js";

/** How a command that listens says whom it lets in. */
export interface ServerAccessOptions {
  readonly tokenFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly selfSigned?: string;
  readonly insecure: boolean;
}

/** How a command that connects says who it is, and makes sure of the collector. */
export interface ClientAccessOptions {
  readonly tokenFile?: string;
  readonly caFile?: string;
  readonly serverName?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
}

export function addServerAccess(command: Command): Command {
  return command
    .option(
      "--token-file <file>",
      'tokens, of which each call must show one: a line for each, as "NAME TOKEN", with the ids of the runs that it ' +
        "may write, or *, behind it where these are not those that it is the first to write; mode 0600",
    )
    .option("--tls-cert <file>", "certificate, in PEM, for TLS")
    .option("--tls-key <file>", "its private key, in PEM")
    .option("--tls-client-ca <file>", "who vouches for clients, in PEM: each must show a certificate (mTLS)")
    .option(
      "--self-signed <directory>",
      "TLS with a certificate of its own: collector.crt and collector.key there, made for this host's names and " +
        "addresses when they are missing",
    )
    .option("--insecure", "allow to listen on other addresses than loopback without TLS and token", false);
}

export function addClientAccess(command: Command): Command {
  return command
    .option("--token-file <file>", 'file with the token for the collector, as "NAME TOKEN"; mode 0600')
    .option(
      "--ca-file <file>",
      "who vouches for the collector's certificate, in PEM; makes the connection TLS",
    )
    .option(
      "--server-name <name>",
      "the name in that certificate, where it is not the host of the address (parsl-collector for one that was made " +
        "by --self-signed)",
    )
    .option("--client-cert <file>", "certificate to show, in PEM, where the collector wants to see one")
    .option("--client-key <file>", "its private key, in PEM");
}

/** Reads the files that the options name. Rejects with a CollectorError. */
export async function readServerAccess(options: ServerAccessOptions): Promise<AccessOptions> {
  const { tokenFile } = options;
  return {
    tokens: tokenFile === undefined ? undefined : readTokens(tokenFile),
    tls: await readServerTls(options),
  };
}

/** Throws a CollectorError where anybody could reach `listen` and write. */
export function requireSafe(listen: string, insecure: boolean, { tokens, tls }: AccessOptions): void {
  const asksWho = tokens !== undefined || tls?.clientCa !== undefined;
  if (isLoopback(listen) || insecure || (tls !== undefined && asksWho)) return;
  const lacks = [tls === undefined ? "no TLS" : "", asksWho ? "" : "no token"].filter((text) => text !== "");
  throw new CollectorError(
    "listen",
    `listen on ${listen}: whoever reaches this address could read or write what is not theirs, for there is ` +
      `${lacks.join(" and ")}; give --self-signed DIRECTORY (or --tls-cert and --tls-key) and --token-file FILE (or ` +
      "--tls-client-ca), listen on 127.0.0.1, or say --insecure on a network that you trust",
  );
}

/** Reads the files that the options name. Throws a CollectorError. */
export function readClientAccess(options: ClientAccessOptions): Pick<SenderOptions, "token" | "tls"> {
  const { tokenFile, caFile, serverName, clientCert, clientKey } = options;
  requireBoth(["--client-cert", clientCert], ["--client-key", clientKey]);
  const tls: ClientTls = {
    ca: readPem("--ca-file", caFile),
    serverName,
    certificate: readPem("--client-cert", clientCert),
    privateKey: readPem("--client-key", clientKey),
  };
  return {
    token: tokenFile === undefined ? undefined : readToken(tokenFile),
    tls: Object.values(tls).some((value) => value !== undefined) ? tls : undefined,
  };
}

async function readServerTls(options: ServerAccessOptions): Promise<ServerTls | undefined> {
  const { tlsCert, tlsKey, tlsClientCa } = options;
  requireBoth(["--tls-cert", tlsCert], ["--tls-key", tlsKey]);
  if (tlsCert !== undefined && options.selfSigned !== undefined) {
    throw new CollectorError("invalid-argument", "use TLS: give --self-signed or --tls-cert, not both");
  }
  const clientCa = readPem("--tls-client-ca", tlsClientCa);
  const certificate = readPem("--tls-cert", tlsCert);
  const privateKey = readPem("--tls-key", tlsKey);
  if (certificate !== undefined && privateKey !== undefined) return { certificate, privateKey, clientCa };
  if (options.selfSigned !== undefined) {
    // Late: it takes as long to load as all the rest of a start.
    const { selfSigned } = await import("../radios/grpc/certificate.js");
    return { ...(await selfSigned(options.selfSigned)), clientCa };
  }
  if (clientCa === undefined) return undefined;
  throw new CollectorError(
    "invalid-argument",
    "use --tls-client-ca: there is no TLS without --self-signed, or --tls-cert and --tls-key",
  );
}

function requireBoth(...options: readonly (readonly [string, string | undefined])[]): void {
  const given = options.filter(([, value]) => value !== undefined);
  if (given.length === 0 || given.length === options.length) return;
  const missing = options.find(([, value]) => value === undefined)?.[0] ?? "";
  throw new CollectorError("invalid-argument", `use ${given[0]?.[0] ?? ""}: give ${missing} too`);
}

function readPem(option: string, path: string | undefined): Uint8Array | undefined {
  if (path === undefined) return undefined;
  let text: Buffer;
  try {
    text = readFileSync(path);
  } catch (cause) {
    throw new CollectorError("invalid-argument", `read ${option} ${path}: ${reasonOf(cause)}`, { cause });
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new CollectorError("invalid-argument", `read ${option} ${path}: it is not PEM ("-----BEGIN …")`);
}
