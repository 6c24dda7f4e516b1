import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import test from "ava";

import { CollectorError } from "../../../src/base/errors.js";
import { largestEnvelopeBytes, readBatch } from "../../../src/radios/filesystem/batch.js";
import { openFilesystemSender } from "../../../src/radios/filesystem/sender.js";
import type { OutgoingEnvelope } from "../../../src/radios/radio.js";
import { smallDisk } from "../../support/small-disk.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

function envelope(text: string): OutgoingEnvelope {
  return { bytes: Buffer.from(text), senderId: "s", firstSequence: 1, count: 1 };
}

/** The envelopes of each batch in `new`, in the order of names. */
function batchesIn(directory: string): string[][] {
  const folder = join(directory, "new");
  return readdirSync(folder)
    .flatMap((shard) => readdirSync(join(folder, shard)).map((name) => join(shard, name)))
    .sort()
    .map((name) =>
      readBatch(readFileSync(join(folder, name))).envelopes.map((one) => Buffer.from(one).toString()),
    );
}

test("what is sent in turn makes a file each, in the order of names", async (t) => {
  const directory = join(temporaryDirectory(t), "made", "by it");
  await using sender = openFilesystemSender(directory);

  for (let n = 1; n <= 12; n += 1) {
    t.deepEqual(await sender.send(envelope(`envelope ${String(n)}`)), { delivery: "handed-over" });
  }

  t.deepEqual(
    batchesIn(directory),
    Array.from({ length: 12 }, (_, n) => [`envelope ${String(n + 1)}`]),
  );
  t.deepEqual(readdirSync(join(directory, "tmp")), []);
});

test("what is sent while a file is written travels together in the next, in order, up to 1 MiB", async (t) => {
  const directory = temporaryDirectory(t);
  await using sender = openFilesystemSender(directory);
  const texts = Array.from({ length: 40 }, (_, n) => `${String(n)}:`.padEnd(100_000, "x"));

  await Promise.all(texts.map((text) => sender.send(envelope(text))));

  const batches = batchesIn(directory);
  t.deepEqual(batches.flat(), texts);
  t.deepEqual(
    batches.map(({ length }) => length),
    [10, 10, 10, 10],
  );
});

test("two senders of one process write over nothing of each other", async (t) => {
  const directory = temporaryDirectory(t);
  for (const text of ["first", "second"]) {
    await using sender = openFilesystemSender(directory);
    await sender.send(envelope(text));
  }

  t.deepEqual(batchesIn(directory).flat().sort(), ["first", "second"]);
});

test("a directory that was removed is made again", async (t) => {
  const directory = join(temporaryDirectory(t), "messages");
  await using sender = openFilesystemSender(directory);
  await sender.send(envelope("first"));
  rmSync(directory, { recursive: true });

  await sender.send(envelope("second"));

  t.deepEqual(batchesIn(directory), [["second"]]);
});

test("a directory that cannot be made is told with act, path and reason, and later it goes on", async (t) => {
  const directory = join(temporaryDirectory(t), "messages");
  writeFileSync(directory, "in its way");
  await using sender = openFilesystemSender(directory);

  const error = await t.throwsAsync(sender.send(envelope("first")), { instanceOf: CollectorError });
  t.true(error.retryable);
  t.true(error.message.startsWith("write batch "));
  t.regex(error.message, /-0000000001\.batch into .*messages: ENOTDIR/);

  rmSync(directory);
  await sender.send(envelope("second"));
  t.deepEqual(batchesIn(directory), [["second"]]);
});

test("a full disk is told, leaves nothing half done, and with room it goes on", async (t) => {
  const disk = smallDisk(t, 1);
  if ("refused" in disk) {
    t.log(`not tested: this user may not mount a small filesystem: ${disk.refused}`);
    t.pass();
    return;
  }
  await using sender = openFilesystemSender(disk.folder);
  await sender.send(envelope("first"));
  const ballast = join(disk.folder, "ballast");
  writeFileSync(ballast, Buffer.alloc(800 * 1024));

  const error = await t.throwsAsync(sender.send(envelope("x".repeat(500 * 1024))), {
    instanceOf: CollectorError,
  });
  t.true(error.retryable);
  t.regex(error.message, /ENOSPC/);
  t.deepEqual(readdirSync(join(disk.folder, "tmp")), []);

  rmSync(ballast);
  await sender.send(envelope("second"));
  t.deepEqual(batchesIn(disk.folder), [["first"], ["second"]]);
});

test("an envelope that no collector would read is refused, and others are not", async (t) => {
  const directory = temporaryDirectory(t);
  await using sender = openFilesystemSender(directory);
  const large = { ...envelope(""), bytes: new Uint8Array(largestEnvelopeBytes + 1) };

  const error = await t.throwsAsync(sender.send(large), { instanceOf: CollectorError });
  t.is(error.code, "invalid-envelope");
  await sender.send(envelope("small"));

  t.deepEqual(batchesIn(directory), [["small"]]);
});

test("an aborted send rejects with the signal's reason", async (t) => {
  await using sender = openFilesystemSender(temporaryDirectory(t));
  const abort = new AbortController();

  const sent = sender.send(envelope("first"), abort.signal);
  abort.abort(new Error("enough"));

  await t.throwsAsync(sent, { message: "enough" });
});

test("closing writes what was sent before, and takes no more", async (t) => {
  const directory = temporaryDirectory(t);
  const sender = openFilesystemSender(directory);

  const sent = Promise.all(["first", "second"].map((text) => sender.send(envelope(text))));
  await sender[Symbol.asyncDispose]();

  t.deepEqual(batchesIn(directory), [["first", "second"]]);
  await sent;
  await t.throwsAsync(sender.send(envelope("third")), { code: "closed" });
});
