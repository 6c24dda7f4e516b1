import { createHash } from "node:crypto";

import type { Metadata, ServerUnaryCall } from "@grpc/grpc-js";

import { CollectorError } from "../../base/errors.js";
import type { Principal } from "../../model/principal.js";
import type { ServerTls } from "./tls.js";

/** A secret, and who it stands for. */
export interface Token extends Principal {
  readonly token: string;
}

/** Whom a receiver lets in. */
export interface AccessOptions {
  /** Each call must show one of these. Default: none is asked for. */
  readonly tokens?: readonly Token[] | undefined;
  /** Default: no TLS. */
  readonly tls?: ServerTls | undefined;
}

type AuthContext = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;

/** What is known of a call before its first request. */
interface Call {
  readonly metadata: Metadata;
  getAuthContext(): AuthContext;
}

/** Says whose a call is: by the token that it shows, or else by the certificate of its client. */
export class Access {
  /** By the token's hash, so that how long a look-up takes says nothing of the tokens. Undefined where none is asked
   *  for. */
  readonly #principals: ReadonlyMap<string, Principal> | undefined;
  readonly #asksForCertificates: boolean;

  constructor({ tokens, tls }: AccessOptions) {
    this.#principals =
      tokens && new Map(tokens.map(({ token, name, runs }) => [hashOf(token), { name, runs }]));
    this.#asksForCertificates = tls?.clientCa !== undefined;
  }

  /** Undefined where nobody is asked who he is. */
  principalOf(call: Call): Principal | undefined | CollectorError {
    if (this.#principals !== undefined) return this.#byToken(this.#principals, call.metadata);
    // TLS has made sure of it, or there would be no call.
    if (this.#asksForCertificates) return { name: nameIn(call.getAuthContext()), runs: "own" };
    return undefined;
  }

  #byToken(principals: ReadonlyMap<string, Principal>, metadata: Metadata): Principal | CollectorError {
    const [authorization] = metadata.get("authorization");
    if (authorization === undefined) {
      return new CollectorError("unauthenticated", "this collector wants a token, and the call has none");
    }
    const token = /^Bearer (.+)$/i.exec(authorization.toString())?.[1] ?? "";
    return (
      principals.get(hashOf(token)) ??
      new CollectorError("unauthenticated", "this collector does not know the token of the call")
    );
  }
}

/** The certificate's common name; what identifies it otherwise where it has none. */
function nameIn({ sslPeerCertificate: certificate }: AuthContext): string {
  const name = certificate?.subject.CN;
  return [name].flat()[0] ?? certificate?.fingerprint256 ?? "";
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
