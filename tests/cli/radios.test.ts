import { writeFileSync } from "node:fs";
import { join } from "node:path";

import test from "ava";

import { connect, radios } from "../../src/index.js";
import { exampleOf } from "../support/doc-example.js";
import { runId, sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { within } from "../support/wait.js";

/** `serve --radio`: more ways for senders to come. */

test.serial(
  "a radio of a third party is loaded by its path, on both sides, and the ledger knows it",
  async (t) => {
    const path = exampleOf("RADIOS.md", "http-radio.js");
    const collector = await startCollector(t, { args: ["--radio", `${path}=127.0.0.1:0`] });
    const address = collector.radios[path] ?? "";
    t.regex(address, /^127\.0\.0\.1:\d+$/);
    await radios.load(path);

    const client = connect({ radio: path, address, runId, hostname: "n1" });
    for (let n = 0; n < 700; n += 1) await client.send(sample(n));
    await within("the client's close", client.close());

    t.is(openDatabase(t, collector.database).count("resource"), 700);
    const { senders, receivers } = await Service.connect(t, collector.address).status();
    t.deepEqual(
      senders.map(({ radios: by, closed }) => [by.map(({ radio }) => radio), closed]),
      [[["http"], true]],
    );
    t.deepEqual(
      receivers.map(({ radio }) => radio),
      ["grpc", path],
    );
    t.is(await collector.stop(), 0);
  },
);

test.serial("what cannot be a radio is named before anything is opened", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const serve = async (...args: string[]): Promise<[number | NodeJS.Signals, string]> => {
    const { exit, stderr } = await runToEnd(t, ["serve", "--database", database, ...args]);
    return [exit, stderr];
  };
  const module = join(temporaryDirectory(t), "none.mjs");
  writeFileSync(module, "export const radio = { openSender() {} };");

  const [form, formText] = await serve("--radio", "udp");
  t.is(form, 2);
  t.regex(
    formText,
    /expected name=address, as filesystem=\/shared\/messages or udp=127\.0\.0\.1:0, got "udp"/,
  );
  const [twice, twiceText] = await serve("--radio", "x=1", "--radio", "x=2");
  t.is(twice, 2);
  t.regex(twiceText, /radio x is given twice/);
  const [unknown, unknownText] = await serve("--radio", "pigeon=roof");
  t.is(unknown, 1);
  t.regex(unknownText, /load radio "pigeon": no radio has this name, and no module/);
  const [half, halfText] = await serve("--radio", `${module}=x`);
  t.is(half, 1);
  t.regex(halfText, /it has no receiving half/);
});

test.serial("a key that is too short, or is not there, is refused", async (t) => {
  const directory = temporaryDirectory(t);
  const key = join(directory, "key");
  writeFileSync(key, "short");
  const database = join(directory, "monitoring.db");

  const short = await runToEnd(t, ["serve", "--database", database, "--key-file", key]);
  t.is(short.exit, 1);
  t.regex(short.stderr, /read --key-file .*: 5 bytes are too few for a secret; write 32 random ones/);
  const none = await runToEnd(t, ["serve", "--database", database, "--key-file", `${key}s`]);
  t.is(none.exit, 1);
  t.regex(none.stderr, /read --key-file .*ENOENT/);
});
