import "reflect-metadata"; // which @peculiar/x509 wants there before it

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { webcrypto } from "node:crypto";

import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralName,
} from "@peculiar/x509";

import { CollectorError, reasonOf } from "../../base/errors.js";
import { ownServerName, type ServerTls } from "./tls.js";

/** Longer than any run; one who restarts a collector may remove the files for new ones. */
const validDays = 1_000;

const dayMs = 24 * 3_600_000;

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** The certificate and key in collector.crt and collector.key of a directory, made when they are not there: for the
 *  names and addresses of this host. The certificate is its own authority, so clients are given it as such. Throws a
 *  CollectorError. */
export async function selfSigned(directory: string): Promise<ServerTls> {
  const certificatePath = join(directory, "collector.crt");
  const keyPath = join(directory, "collector.key");
  try {
    if (!existsSync(certificatePath) || !existsSync(keyPath)) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const { certificate, privateKey } = await makeSelfSigned(namesOfHost(), new Date());
      // The key first: where both are there, both are whole.
      writeWhole(keyPath, privateKey, 0o600);
      writeWhole(certificatePath, certificate, 0o644);
    }
    return { certificate: readFileSync(certificatePath), privateKey: readFileSync(keyPath) };
  } catch (cause) {
    throw new CollectorError("invalid-argument", `make a certificate in ${directory}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/** A new certificate and its key, in PEM. */
async function makeSelfSigned(
  names: readonly JsonGeneralName[],
  now: Date,
): Promise<{ readonly certificate: string; readonly privateKey: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${ownServerName}`,
      // The clocks of nodes may be behind.
      notBefore: new Date(now.getTime() - dayMs),
      notAfter: new Date(now.getTime() + validDays * dayMs),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new SubjectAlternativeNameExtension([...names]),
      ],
    },
    webcrypto,
  );
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const lines = key.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    certificate: `${certificate.toString("pem")}\n`,
    privateKey: `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`,
  };
}

function namesOfHost(): JsonGeneralName[] {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return [
    ...[ownServerName, "localhost", hostname()].map((value) => ({ type: "dns" as const, value })),
    ...addresses.map(({ address }) => ({ type: "ip" as const, value: address.replace(/%.*$/, "") })),
  ];
}

function writeWhole(path: string, text: string, mode: number): void {
  const partial = `${path}.${String(process.pid)}`;
  writeFileSync(partial, text, { mode });
  chmodSync(partial, mode); // whatever the umask
  renameSync(partial, path);
}
