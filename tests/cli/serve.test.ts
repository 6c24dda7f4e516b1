import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

import Database from "better-sqlite3";
import { status } from "@grpc/grpc-js";
import test from "ava";

import { sample, taskInfo } from "../support/builders.js";
import { collectorMain, startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

/** The command line, each test in processes of its own, one after the other: signals and starts are about
 *  time. */

test.serial(
  "serve says where it listens, its file and its pid in one line, and logs on stderr",
  async (t) => {
    const folder = temporaryDirectory(t);

    const collector = await startCollector(t, { database: join(folder, "monitoring.db") });
    const { address, database, pid } = collector;
    await waitUntil("it logs that it is ready", () => /"msg":"ready"/.test(collector.stderr));

    t.regex(address, /^127\.0\.0\.1:\d+$/);
    t.is(database, join(folder, "monitoring.db"));
    t.notThrows(() => process.kill(pid, 0));
    for (const line of collector.stderr.trimEnd().split("\n")) t.notThrows(() => JSON.parse(line) as unknown);
  },
);

test.serial("a port that is asked for is the one that is listened on", async (t) => {
  const first = await startCollector(t);
  const { address } = first;
  await first.stop();

  const second = await startCollector(t, { listen: address, database: first.database });

  t.is(second.address, address);
});

test.serial("--help shows every option with its default, and an example", async (t) => {
  const { exit, stdout } = await runToEnd(t, ["serve", "--help"]);

  t.is(exit, 0);
  for (const option of [
    ...["--database", "--listen", "--durability", "--journal-mode"],
    ...["--timezone", "--insecure", "--exit-with-parent", "--log-level"],
  ]) {
    t.true(stdout.includes(option), option);
  }
  t.regex(stdout, /default: "127\.0\.0\.1:0"/);
  t.regex(stdout, /default:\s+"full"/);
  t.regex(stdout, /Example:\n {2}parsl-collector serve --database/);
});

test.serial(
  "options that cannot be used end it with 2 and are named, with what was wanted and what came",
  async (t) => {
    const file = join(temporaryDirectory(t), "monitoring.db");
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["--databse", file], /unknown option '--databse'[^]*--database/],
      [[], /name the SQLite file: --database/],
      [["--database", file, "--listen", "here"], /expected host:port .* got "here"/],
      [["--database", file, "--listen", "127.0.0.1:70000"], /expected host:port .* got "127\.0\.0\.1:70000"/],
      [["--database", file, "--durability", "most"], /'most' is invalid.* full, normal/],
      [
        ["--database", file, "--timezone", "Mars/Base"],
        /expected a zone of the tz database.* got "Mars\/Base"/,
      ],
      [["--database", file, "more"], /too many arguments/],
    ];

    for (const [options, expected] of cases) {
      const { exit, stdout, stderr } = await runToEnd(t, ["serve", ...options]);
      t.is(exit, 2, stderr);
      t.is(stdout, "");
      t.regex(stderr, expected);
    }
  },
);

test.serial("a command that does not exist ends it with 2 and is named", async (t) => {
  const { exit, stderr } = await runToEnd(t, ["srve"]);

  t.is(exit, 2);
  t.regex(stderr, /unknown command 'srve'[^]*serve/);
});

test.serial("an address that others can reach is refused unless --insecure is said", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");

  const { exit, stdout, stderr } = await runToEnd(t, [
    "serve",
    "--database",
    database,
    "--listen",
    "0.0.0.0:0",
  ]);
  const collector = await startCollector(t, { database, listen: "0.0.0.0:0", args: ["--insecure"] });

  t.is(exit, 1);
  t.is(stdout, "");
  t.regex(
    stderr,
    /^parsl-collector serve: listen on 0\.0\.0\.0:0: .*listen on 127\.0\.0\.1, or say --insecure/,
  );
  t.regex(collector.address, /^0\.0\.0\.0:\d+$/);
});

test.serial("an address that this machine does not have is refused with the cure", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");

  const { exit, stderr } = await runToEnd(t, [
    ...["serve", "--insecure", "--database", database, "--listen", "192.0.2.1:0"],
  ]);

  t.is(exit, 1);
  const [line] = stderr.split("\n").filter((text) => !text.startsWith("{"));
  t.regex(
    line ?? "",
    /^parsl-collector serve: listen on 192\.0\.2\.1:0: .*; name an address of this machine$/,
  );
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test.serial(
    `${signal} drains: what was accepted is stored and acknowledged, streams end with UNAVAILABLE, exit 0`,
    async (t) => {
      const collector = await startCollector(t);
      const service = Service.connect(t, collector.address);
      const other = new Database(collector.database);
      t.teardown(() => other.close());
      const stream = service.stream();
      const senderId = newSenderId();
      await stream.write(envelopeOf([sample(1)], { senderId, first: 1 }));
      await stream.acknowledged(1);
      other.exec("BEGIN IMMEDIATE");
      await stream.write(envelopeOf([sample(2)], { senderId, first: 2 }));
      await waitUntil(
        "the envelope waits for the lock",
        async () => (await service.status()).blockedReason !== "",
      );

      process.kill(collector.pid, signal);
      await waitUntil("it drains", () => /"msg":"draining"/.test(collector.stderr));
      other.exec("COMMIT");
      const { code } = await within("the end of the stream", stream.ended);

      t.is(code, status.UNAVAILABLE);
      t.is(stream.acknowledgements.length, 2);
      t.is(await within("its end", collector.exited), 0);
      t.is(openDatabase(t, collector.database).count("resource"), 2);
    },
  );
}

test.serial("an idle collector ends without waiting for its clients to end their streams", async (t) => {
  const collector = await startCollector(t);
  const streams = Array.from({ length: 10 }, () => Service.connect(t, collector.address).stream());
  await Promise.all(
    streams.map(async (stream) => {
      await stream.write(envelopeOf([sample(1)]));
      await stream.acknowledged(1);
    }),
  );

  t.is(await collector.stop(), 0);
});

test.serial("a second signal gives up, says what it left, and ends it with 1", async (t) => {
  const collector = await startCollector(t);
  const service = Service.connect(t, collector.address);
  const other = new Database(collector.database);
  t.teardown(() => other.close());
  const stream = service.stream();
  const senderId = newSenderId();
  await stream.write(envelopeOf([sample(1)], { senderId, first: 1 }));
  await stream.acknowledged(1); // its tables are there, which it makes after its ready line
  other.exec("BEGIN IMMEDIATE");
  await stream.write(envelopeOf([taskInfo()], { senderId, first: 2 }));
  await waitUntil(
    "the envelope waits for the lock",
    async () => (await service.status()).blockedReason !== "",
  );

  process.kill(collector.pid, "SIGTERM");
  await waitUntil("it drains", () => /"msg":"draining"/.test(collector.stderr));
  process.kill(collector.pid, "SIGTERM");
  const exit = await within("its end", collector.exited, 10_000);
  other.exec("COMMIT");

  t.is(exit, 1);
  t.regex(collector.stderr, /"leftBytes":[1-9]\d*,"msg":"stopped at once; what was not acknowledged/);
  t.is(stream.acknowledgements.length, 1);
  t.is(openDatabase(t, collector.database).count("task"), 0);
});

test.serial("--exit-with-parent ends it, drained, when the program that started it is gone", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const program = `
    import { spawn } from "node:child_process";
    spawn(process.execPath, ${JSON.stringify([collectorMain, "serve", "--database", database, "--exit-with-parent"])},
      { stdio: ["ignore", "inherit", "inherit"], detached: true });
    process.stdin.resume();`;
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  t.teardown(() => parent.kill("SIGKILL"));
  let log = "";
  parent.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const lines = createInterface({ input: parent.stdout });
  const [line] = (await within("the ready line", once(lines, "line"))) as [string];
  const { address, pid } = JSON.parse(line) as { address: string; pid: number };
  t.teardown(() => {
    if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  await Service.connect(t, address).send([sample(1)]);

  parent.kill("SIGKILL");
  await waitUntil("the collector is gone", () => !isRunning(pid));

  t.regex(log, /"reason":"parent gone","msg":"draining"/);
  t.regex(log, /"msg":"drained"/);
  t.is(openDatabase(t, database).count("resource"), 1);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH
  }
}

test.serial("--timezone decides the times in Parsl's tables", async (t) => {
  const utc = await startCollector(t, { args: ["--timezone", "UTC"] });
  const tokyo = await startCollector(t, {
    args: ["--timezone", "Asia/Tokyo"],
    env: { TZ: "America/New_York" },
  });
  const newYork = await startCollector(t, { env: { TZ: "America/New_York" } });
  const times: unknown[] = [];

  for (const { address, database } of [utc, tokyo, newYork]) {
    await Service.connect(t, address).send([taskInfo()]); // at 12:00:01 UTC
    times.push(openDatabase(t, database).value("SELECT timestamp FROM status"));
  }

  t.deepEqual(times, [
    "2026-03-01 12:00:01.000000",
    "2026-03-01 21:00:01.000000",
    "2026-03-01 07:00:01.000000",
  ]);
});

test.serial("--durability decides how a commit is written, and the log says it", async (t) => {
  const full = await startCollector(t);
  const normal = await startCollector(t, { args: ["--durability", "normal"] });

  await waitUntil("it logs full", () => full.stderr.includes('"durability":"full"'));
  await waitUntil("it logs normal", () => normal.stderr.includes('"durability":"normal"'));
  await Service.connect(t, normal.address).send([sample(1)]);
  t.is(openDatabase(t, normal.database).count("resource"), 1);
});

test.serial("--log-level silences what is below it", async (t) => {
  const collector = await startCollector(t, { args: ["--log-level", "warn"] });

  t.is(await collector.stop(), 0);

  t.is(collector.stderr, "");
});

test.serial("an older Node is refused in one line that says what to do", async (t) => {
  // Only the version is another: what matters is that it is asked before anything that needs it is loaded.
  const pretend =
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })";
  const nodeArgs = ["--import", `data:text/javascript,${encodeURIComponent(pretend)}`];

  const { exit, stdout, stderr } = await runToEnd(t, ["serve", "--database", "x.db"], { nodeArgs });

  t.is(exit, 1);
  t.is(stdout, "");
  t.regex(stderr, /^parsl-collector: run on Node 20\.20\.2: Node 22 or newer is needed; install one .+\n$/);
});
