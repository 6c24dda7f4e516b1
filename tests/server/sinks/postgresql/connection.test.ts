import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";

import test from "ava";

import { CollectorError } from "../../../../src/base/errors.js";
import { selfSigned } from "../../../../src/radios/grpc/certificate.js";
import { sample } from "../../../support/builders.js";
import { envelopeOf } from "../../../support/encoded.js";
import { openPostgresWriter } from "../../../support/postgres-writer.js";
import { PostgresServer, whyNoPostgres } from "../../../support/postgres.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { arrivals } from "../../../support/writer.js";

const why = whyNoPostgres();
const unlessSkipped = why === undefined ? test : test.skip;
const reason = why === undefined ? "" : ` (skipped: ${why})`;

async function freePort(): Promise<string> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return String(port);
}

/** Gives files to the user that the server runs as. */
function giveToServer(...paths: readonly string[]): void {
  if (process.getuid?.() !== 0) return;
  const [uid = 0, gid = 0] = ["-u", "-g"].map((flag) =>
    Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" })),
  );
  for (const path of paths) chownSync(path, uid, gid);
}

unlessSkipped(
  `a server with TLS and passwords is reached by who has both, and who has not is told what is wrong${reason}`,
  async (t) => {
    const directory = temporaryDirectory(t);
    chmodSync(directory, 0o755);
    await selfSigned(directory);
    const [certificate, key] = ["collector.crt", "collector.key"].map((name) => join(directory, name));
    const rules = join(directory, "pg_hba.conf");
    writeFileSync(rules, "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n");
    giveToServer(certificate ?? "", key ?? "", rules);
    const port = await freePort();
    const server = await PostgresServer.start(t, [
      ...["listen_addresses=127.0.0.1", `port=${port}`, `hba_file=${rules}`],
      ...["ssl=on", `ssl_cert_file=${String(certificate)}`, `ssl_key_file=${String(key)}`],
    ]);
    await server.execute(server.url("postgres"), "CREATE ROLE someone LOGIN SUPERUSER PASSWORD 'secret'");
    const urlOf = (password: string, options: string): string =>
      `postgresql://someone:${password}@127.0.0.1:${port}/postgres?${options}`;
    const trusted = `sslmode=verify-full&sslrootcert=${encodeURIComponent(String(certificate))}`;

    const writer = await openPostgresWriter(t, urlOf("secret", trusted));
    const [outcome] = await writer.store(arrivals([envelopeOf([sample(1)])]));
    t.true(outcome !== undefined && "acknowledgement" in outcome);

    const told = async (url: string): Promise<string> => {
      const error = await t.throwsAsync(openPostgresWriter(t, url), { instanceOf: CollectorError });
      t.false(error.message.includes("secret"));
      return error.message;
    };
    const stranger = temporaryDirectory(t);
    await selfSigned(stranger);
    const strange = `sslmode=verify-full&sslrootcert=${encodeURIComponent(join(stranger, "collector.crt"))}`;
    t.regex(await told(urlOf("wrong", trusted)), /password authentication failed/);
    t.regex(await told(urlOf("secret", strange)), /self[- ]signed certificate|certificate/);
    t.regex(await told(urlOf("secret", "sslmode=disable")), /no pg_hba.conf entry .*no encryption/);
  },
);
