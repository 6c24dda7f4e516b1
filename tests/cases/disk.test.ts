import { spawnSync } from "node:child_process";
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

import { at, resourceInfo, sample, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { memoryMib } from "../support/process.js";
import { Service } from "../support/service.js";
import { smallDisk } from "../support/small-disk.js";
import { waitUntil } from "../support/wait.js";

/** What disks do to a collector that runs. */

test.serial("a database that is damaged while it is written ends the collector with the cure", async (t) => {
  const collector = await startCollector(t);
  const service = Service.connect(t, collector.address);
  await service.send([workflowStart(), ...Array.from({ length: 500 }, (_, n) => sample(n))]);
  const other = new Database(collector.database);
  t.teardown(() => other.close());
  other.exec("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
  other.pragma("wal_checkpoint(TRUNCATE)");
  const pageBytes = 8192;
  const file = openSync(collector.database, "r+");
  const damage = Buffer.alloc(statSync(collector.database).size - pageBytes, 0xff);
  writeSync(file, damage, 0, damage.length, pageBytes);
  closeSync(file);
  // From the pages in its own memory; the collector then trusts none of its own.
  other.exec("INSERT INTO theirs VALUES (2)");

  await t.throwsAsync(service.send([sample(1_000)]));

  t.is(await collector.exited, 1);
  t.regex(collector.stderr, /malformed; restore it, or start with --move-damaged-aside/);
});

// The first has no room for the journal, the second none for what a checkpoint moves out of it.
for (const mib of [2, 12]) {
  const title = `a full disk of ${String(mib)} MiB holds senders up, and with room all is stored once`;
  test.serial(title, async (t) => {
    const disk = smallDisk(t, mib);
    if ("refused" in disk) {
      t.log(`not tested: this user may not mount a small filesystem: ${disk.refused}`);
      t.pass();
      return;
    }
    const collector = await startCollector(t, { database: join(disk.folder, "monitoring.db") });
    const service = Service.connect(t, collector.address);
    const before = memoryMib(collector.pid, "VmRSS");
    const stream = service.stream();
    const senderId = newSenderId();
    const text = "x".repeat(1_000);
    const envelopes = 150;
    // 100 samples of 1 kB each are an envelope, and all of them 15 MiB.
    const write = async (): Promise<void> => {
      for (let n = 0; n < envelopes; n += 1) {
        const samples = Array.from({ length: 100 }, (_, k) =>
          resourceInfo({ timestamp: at(n + k / 1_000), psutilProcessStatus: text }),
        );
        await stream.write(envelopeOf(samples, { senderId, first: n * 100 + 1 }));
      }
    };
    const written = write(); // which waits: the collector reads no further while it cannot store

    await waitUntil("the collector says that the disk is full", async () =>
      /database or disk is full/.test((await service.status()).blockedReason),
    );
    t.true(stream.acknowledgements.length < envelopes);
    const grownMib = memoryMib(collector.pid, "VmRSS") - before;
    t.true(grownMib < 150, `memory grew by ${grownMib.toFixed(0)} MiB`);
    const enlarged = spawnSync("mount", ["-o", "remount,size=200m", disk.folder]);
    t.is(enlarged.status, 0);

    await written;
    await stream.acknowledged(envelopes);
    const db = openDatabase(t, collector.database);
    t.is(db.count("resource"), envelopes * 100);
    t.is(db.value("PRAGMA integrity_check"), "ok");
  });
}
