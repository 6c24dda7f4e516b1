import { createServer as createHttpServer } from "node:http";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server as TcpServer } from "node:net";
import { join } from "node:path";

import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { readClientAccess } from "../../src/cli/access-options.js";
import type { Check } from "../../src/cli/doctor/check.js";
import { checkCollector } from "../../src/cli/doctor/reach.js";
import { checkFilesystem } from "../../src/cli/doctor/storage.js";
import {
  CollectorServiceService,
  GetStatusResponse,
} from "../../src/gen/parsl_collector/v1/collector_service.js";
import { probeCollector } from "../../src/radios/grpc/probe.js";
import { startCollector } from "../support/collector.js";
import { runToEnd, type RunOptions } from "../support/run.js";
import { smallDisk } from "../support/small-disk.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** `parsl-collector doctor`, on machines with real faults: many of them in one run, since each run is a process. */

async function doctor(
  t: ExecutionContext,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ exit: unknown; checks: ReadonlyMap<string, Check> }> {
  const { exit, stdout } = await runToEnd(t, ["doctor", ...args, "--json"], options);
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: Check[] };
  t.is(ok, exit === 0);
  return { exit, checks: new Map(checks.map((check) => [check.name, check])) };
}

/** That a check failed, for this reason, and says what to do. */
function fails(t: ExecutionContext, check: Check | undefined, found: RegExp, cure: RegExp): void {
  t.is(check?.state, "failed");
  t.regex(check?.found ?? "", found);
  t.regex(check?.cure ?? "", cure);
}

async function listening(t: ExecutionContext, server: TcpServer): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

/** A gRPC server on this machine with what a test wants of a collector. */
async function grpcServer(
  t: ExecutionContext,
  response?: GetStatusResponse,
  timeMs?: number,
): Promise<string> {
  const server = new Server();
  if (response !== undefined) {
    const { getStatus } = CollectorServiceService;
    server.addService(
      { getStatus },
      {
        getStatus: (
          _: unknown,
          answer: (error: null, value: GetStatusResponse, trailer: Metadata) => void,
        ) => {
          const trailer = new Metadata();
          if (timeMs !== undefined) trailer.set("time-us", String(timeMs * 1000));
          answer(null, response, trailer);
        },
      },
    );
  }
  t.teardown(() => server.forceShutdown());
  const port = await new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return `127.0.0.1:${String(port)}`;
}

test.serial("where all is well doctor says so, in words too, and exits with 0", async (t) => {
  const folder = temporaryDirectory(t);
  const messages = join(folder, "messages");
  const socket = join(folder, "socket");
  const collector = await startCollector(t, {
    args: ["--radio", `filesystem=${messages}`, "--radio", `unix=${socket}`],
  });
  const udp = createSocket("udp4").bind(0, "127.0.0.1");
  t.teardown(() => udp.close());
  await once(udp, "listening");

  const { exit, stdout } = await runToEnd(
    t,
    [
      ...["doctor", "--database", collector.database, "--listen", "127.0.0.1:0"],
      ...["--address", collector.address],
      ...["--radio", `filesystem=${messages}`, "--radio", `unix=${socket}`],
      ...["--radio", `udp=127.0.0.1:${String(udp.address().port)}`],
    ],
    { env: { TMPDIR: folder, FORCE_COLOR: "0" } },
  );

  t.is(exit, 0, stdout);
  for (const name of ["node", "sqlite", "clock", "agent", "listen", "filesystem", "writing", "database"])
    t.regex(stdout, new RegExp(`^ok       ${name}: `, "m"));
  t.regex(
    stdout,
    /collector: .* answers: least \d+\.\d ms, median \d+\.\d ms of 5 round trips; it listens by grpc, filesystem, unix$/m,
  );
  t.regex(stdout, /^ok {7}clocks: this machine's is 0\.\d{3} s (ahead of|behind) the collector's/m);
  for (const radio of ["filesystem", "unix", "udp"])
    t.regex(stdout, new RegExp(`^ok       radio ${radio}: `, "m"));
  t.regex(stdout, /\n0 failed, \d warnings?, \d+ ok\n$/);
});

test.serial("nobody there, nothing there, and no place to make it", async (t) => {
  const folder = temporaryDirectory(t);
  const file = join(folder, "file");
  writeFileSync(file, "");
  const taken = await listening(t, createServer());
  const closed = createSocket("udp4").bind(0, "127.0.0.1");
  await once(closed, "listening");
  const nobody = `127.0.0.1:${String(closed.address().port)}`; // of no TCP server either, as good as surely
  closed.close();

  const { exit, checks } = await doctor(
    t,
    [
      ...["--database", join(file, "monitoring.db"), "--listen", taken, "--address", nobody],
      ...["--radio", `unix=${join(folder, "none")}`, "--radio", `filesystem=${join(folder, "none")}`],
      ...["--radio", `udp=${nobody}`, "--radio", "./none.js=x"],
    ],
    { env: { TMPDIR: file } },
  );

  t.is(exit, 1);
  fails(t, checks.get("agent"), /nothing can be made in .*file: ENOTDIR/, /set TMPDIR/);
  fails(t, checks.get("listen"), /EADDRINUSE/, /end the program that listens there, or choose another port/);
  fails(t, checks.get("directory"), /file is no directory/, /make it, or name another file/);
  fails(t, checks.get("collector"), /UNAVAILABLE: .*ECONNREFUSED 127\.0\.0\.1:\d+$/, /check the address/);
  fails(t, checks.get("radio unix"), /no connection to .*none: .*ENOENT/, /start an agent there/);
  fails(t, checks.get("radio filesystem"), /no file can be written in .*none: ENOENT/, /make it/);
  fails(t, checks.get("radio udp"), /nobody listens there/, /check the address/);
  fails(t, checks.get("radio ./none.js"), /Cannot find module/, /correct the name/);
});

test.serial("a damaged database, and an agent's home that others can open", async (t) => {
  const folder = temporaryDirectory(t);
  const database = join(folder, "monitoring.db");
  writeFileSync(database, "no database, but long enough to be taken for one ".repeat(100));
  const home = join(folder, `parsl-collector-${String(process.getuid?.())}`);
  mkdirSync(home);
  chmodSync(home, 0o755);

  const { exit, checks } = await doctor(t, ["--database", database], { env: { TMPDIR: folder } });

  t.is(exit, 1);
  fails(t, checks.get("database"), /is damaged: file is not a database/, /--move-damaged-aside/);
  fails(t, checks.get("agent"), /is not this user's alone \(of user \d+, mode 755\)/, /remove it/);
});

test.serial("a disk that is nearly full", async (t) => {
  const disk = smallDisk(t, 4);
  if ("refused" in disk) {
    t.log(`not tested: this user may not mount a small filesystem: ${disk.refused}`);
    t.pass();
    return;
  }

  const { exit, checks } = await doctor(t, ["--database", join(disk.folder, "monitoring.db")]);

  t.is(exit, 1);
  fails(t, checks.get("space"), /^4 MiB are free/, /make room/);
  t.is(checks.get("writing")?.state, "ok");
});

test.serial("a SQLite that does not load, and a clock that stands in 1970", async (t) => {
  const nodeArgs = ["--no-addons", "--import", "data:text/javascript,Date.now=()=>0"];

  const { exit, checks } = await doctor(t, [], { nodeArgs });

  t.is(exit, 1);
  fails(t, checks.get("sqlite"), /better-sqlite3 does not load: .*addon/, /npm ci/);
  fails(t, checks.get("clock"), /1970-01-01 00:00:00 UTC, which is long past/, /chrony or NTP/);
});

test.serial("a collector that asks for a token answers only whoever shows it", async (t) => {
  const folder = temporaryDirectory(t);
  const tokens = join(folder, "tokens");
  writeFileSync(tokens, "alice alice-0123456789abcdefghijkl\n", { mode: 0o600 });
  const { address } = await startCollector(t, { args: ["--self-signed", folder, "--token-file", tokens] });
  const ca = join(folder, "collector.crt");

  const [withToken] = await checkCollector(address, readClientAccess({ caFile: ca, tokenFile: tokens }));
  const [withoutToken] = await checkCollector(address, readClientAccess({ caFile: ca }));
  const [withoutTls] = await checkCollector(address);

  t.is(withToken?.state, "ok", withToken?.found);
  fails(t, withoutToken, /UNAUTHENTICATED/, /--token-file/);
  fails(t, withoutTls, /UNAVAILABLE/, /both speak TLS \(--ca-file\)/);
});

test.serial("an option that cannot be used ends it with 2", async (t) => {
  const { exit, stderr } = await runToEnd(t, ["doctor", "--radio", "unix"]);

  t.is(exit, 2);
  t.regex(stderr, /expected name=address, .* got "unix"/);
});

test("a database on a network filesystem", (t) => {
  const { state, found, cure } = checkFilesystem("/scratch", "Lustre");

  t.is(state, "warning");
  t.regex(found, /\/scratch is on Lustre, where WAL does not work: the journal is a rollback journal/);
  t.regex(cure ?? "", /local disk/);
});

test("servers that are no collector are told from one", async (t) => {
  const web = await listening(
    t,
    createHttpServer((_, response) => response.end("hello")),
  );
  const other = await grpcServer(t);

  const [ofWeb] = await checkCollector(web);
  const [ofOther] = await checkCollector(other);

  fails(t, ofWeb, /^call collector 127\.0\.0\.1:\d+: UNAVAILABLE/, /check the address/);
  fails(t, ofOther, /UNIMPLEMENTED: .*no collector listens there/, /check the address/);
});

test("a server that never answers is given up", async (t) => {
  const silent = await listening(t, createServer());

  await t.throwsAsync(probeCollector(silent, 1, {}, 50), { message: /DEADLINE_EXCEEDED/ });
});

test("a collector whose clock is another's, and one that cannot write", async (t) => {
  const hourMs = 3_600_000;
  const ahead = await grpcServer(t, GetStatusResponse.fromPartial({}), Date.now() + hourMs);
  const blocked = await grpcServer(t, GetStatusResponse.fromPartial({ blockedReason: "disk is full" }));

  const [ofAhead, clocks] = await checkCollector(ahead);
  const ofBlocked = await checkCollector(blocked);

  t.is(ofAhead?.state, "ok");
  t.is(clocks?.state, "warning");
  t.regex(clocks?.found ?? "", /this machine's is 3(599|600)\.\d+ s behind the collector's/);
  t.is(ofBlocked.length, 1, "it does not tell its time");
  fails(t, ofBlocked[0], /answers, and cannot write its database: disk is full/, /its log/);
});
