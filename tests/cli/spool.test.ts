import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";

import { connect } from "../../src/index.js";
import { runId } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

/** What is left by senders that were killed: `parsl-collector spool`, and the next sender. */

const index = new URL("../../src/index.js", import.meta.url).href;
const builders = new URL("../support/builders.js", import.meta.url).href;

/** Nothing listens there. */
const nowhere = "127.0.0.1:9";

/** Runs a program whose client takes `count` messages for a collector that is away, and kills it when they are in
 *  the spool. */
async function killSpooling(t: ExecutionContext, spool: string, count: number): Promise<void> {
  const program = `
    import { connect } from ${JSON.stringify(index)};
    import { sample, runId } from ${JSON.stringify(builders)};
    const client = connect({ address: "${nowhere}", runId, hostname: "n1", spool: ${JSON.stringify(spool)} });
    for (let n = 0; n < ${String(count)}; n += 1) await client.send(sample(n));
    setInterval(() => client.counts.spooled === ${String(count)} && console.log("spooled"), 5);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  await within("the sender's messages in its spool", once(child.stdout, "data"));
  child.kill("SIGKILL");
  await within("the sender's end", once(child, "close"));
}

function haveOnce(t: ExecutionContext, database: string, count: number): void {
  const { rows } = openDatabase(t, database);
  t.deepEqual(rows("SELECT count(*) AS stored, count(DISTINCT timestamp) AS different FROM resource"), [
    { stored: count, different: count },
  ]);
  t.deepEqual(rows("SELECT sum(stored) AS stored FROM collector_sender"), [{ stored: count }]);
}

test.serial("a spool of a killed sender is shown, stored in a file, and gone", async (t) => {
  const directory = temporaryDirectory(t);
  const spool = join(directory, "spool");
  const database = join(directory, "monitoring.db");
  await killSpooling(t, spool, 1_500);

  const shown = await runToEnd(t, ["spool", spool]);
  t.is(shown.exit, 3);
  t.regex(shown.stdout, /gone +6f1c9b1e\S+ +\d+ +1,500 /);
  t.regex(shown.stdout, /1,500 messages in 1 segment: send them with --to HOST:PORT or --database FILE/);

  const stored = await runToEnd(t, ["spool", spool, "--database", database]);
  t.is(stored.exit, 0, stored.stderr);
  t.regex(stored.stdout, /1,500 messages of 1 segment sent\nnothing is left in /);
  haveOnce(t, database, 1_500);
  t.false(existsSync(spool));
});

test.serial("a spool goes to a collector that runs; its ledger says what came", async (t) => {
  const spool = join(temporaryDirectory(t), "spool");
  await killSpooling(t, spool, 10);
  const collector = await startCollector(t);

  const { exit, stdout } = await runToEnd(t, ["spool", spool, "--to", collector.address, "--json"]);

  t.is(exit, 0);
  t.deepEqual(JSON.parse(stdout), { sent: { segments: 1, messages: 10, bad: 0 }, left: [] });
  const { senders } = await Service.connect(t, collector.address).status();
  t.like(senders[0], { lastSequence: 10n, closed: false, missing: [] });
  haveOnce(t, collector.database, 10);
});

test.serial("without a collector nothing is sent and nothing is lost", async (t) => {
  const spool = join(temporaryDirectory(t), "spool");
  await killSpooling(t, spool, 3);

  const { exit, stderr } = await runToEnd(t, ["spool", spool, "--to", nowhere]);

  t.is(exit, 1);
  t.regex(stderr, /^parsl-collector spool: stream to collector 127\.0\.0\.1:9: /);
  t.is(readdirSync(spool).length, 1);
});

test.serial("two that send one spool at once store each message once", async (t) => {
  const spool = join(temporaryDirectory(t), "spool");
  for (let sender = 0; sender < 3; sender += 1) await killSpooling(t, spool, 2_000);
  const collector = await startCollector(t);

  const runs = await Promise.all([1, 2].map(() => runToEnd(t, ["spool", spool, "--to", collector.address])));

  for (const { exit, stderr } of runs) t.is(exit, 0, stderr);
  const { rows } = openDatabase(t, collector.database);
  t.deepEqual(
    rows(
      "SELECT count(*) AS senders, min(stored + rejected + duplicate_rows) AS least FROM collector_sender",
    ),
    [{ senders: 3, least: 2_000 }],
  );
});

test.serial(
  "a torn end and a foreign file are set aside and told of, and the whole part is stored",
  async (t) => {
    const directory = temporaryDirectory(t);
    const spool = join(directory, "spool");
    await killSpooling(t, spool, 20);
    const [segment = ""] = readdirSync(spool);
    writeFileSync(join(spool, segment), "torn", { flag: "a" });
    writeFileSync(join(spool, "x.spool"), "what is this?");

    const { exit, stdout, stderr } = await runToEnd(t, [
      "spool",
      spool,
      "--database",
      join(directory, "m.db"),
    ]);

    t.is(exit, 3);
    t.regex(stdout, /20 messages of 1 segment sent; 2 files set aside as \.bad/);
    t.regex(stderr, /its last 4 bytes are torn off or damaged; all before them is sent; it is kept as /);
    t.regex(stderr, /x\.spool: it does not begin with PCSPOOL1; nothing of it is sent/);
    t.deepEqual(readdirSync(spool).sort(), [`${segment}.bad`, "x.spool.bad"]);
    haveOnce(t, join(directory, "m.db"), 20);
  },
);

test.serial("what a sender that runs keeps is left to it", async (t) => {
  const directory = temporaryDirectory(t);
  const client = connect({ address: nowhere, runId, spool: join(directory, "spool") });
  t.teardown(() => client.abort());
  await client.send({ resourceInfo: { taskId: 0 } });
  await waitUntil("the message is in the spool", () => client.counts.spooled === 1);

  const { exit, stdout } = await runToEnd(t, [
    ...["spool", join(directory, "spool")],
    ...["--database", join(directory, "m.db")],
  ]);

  t.is(exit, 3);
  t.regex(stdout, /0 messages of 0 segments sent\n1 message left: 1 segment of senders that run/);
});

test.serial(
  "the next sender on a directory sends what a killed one left, under that one's name",
  async (t) => {
    const spool = join(temporaryDirectory(t), "spool");
    await killSpooling(t, spool, 700);
    const collector = await startCollector(t);
    const client = connect({ address: collector.address, runId, hostname: "n2", spool });
    await client.send({ taskInfo: { taskId: 0, tryId: 0 } });
    await within("the client's close", client.close());

    const { rows } = openDatabase(t, collector.database);
    t.deepEqual(rows("SELECT stored FROM collector_sender WHERE sender_id <> ?", client.senderId), [
      { stored: 700 },
    ]);
    t.false(existsSync(spool));
  },
);

test.serial(
  "a directory that is not there has nothing in it; options that do not go together are named",
  async (t) => {
    const none = await runToEnd(t, ["spool", join(temporaryDirectory(t), "none")]);
    t.is(none.exit, 0);
    t.regex(none.stdout, /^nothing is left in /);

    const both = await runToEnd(t, ["spool", "x", "--to", "127.0.0.1:1", "--database", "m.db"]);
    t.is(both.exit, 2);
    t.regex(both.stderr, /--to <host:port>' cannot be used with option '--database <file>'/);
  },
);
