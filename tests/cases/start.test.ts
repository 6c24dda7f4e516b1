import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { dirname, join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { runToEnd } from "../support/run.js";

/** What a user must be told at once when the collector cannot start: in one plain line, with the cure. One
 *  after the other: seven starting at once would be slow on a small machine. */

test.serial("case 29: a database that is a directory is refused at once", async (t) => {
  const folder = temporaryDirectory(t);

  const { exit, stdout, stderr } = await runToEnd(t, ["serve", "--database", folder]);

  t.is(exit, 1);
  t.is(stdout, "");
  t.is(stderr, `parsl-collector serve: open database ${folder}: it is a directory; name a file in it\n`);
});

test.serial("case 29: a database in a folder that is missing is refused at once", async (t) => {
  const path = join(temporaryDirectory(t), "missing", "monitoring.db");

  const { exit, stdout, stderr } = await runToEnd(t, ["serve", "--database", path]);

  t.is(exit, 1);
  t.is(stdout, "");
  t.regex(
    stderr,
    /^parsl-collector serve: open database .*missing.* cannot be used .*; make it first, or name/,
  );
});

test.serial("case 29: a database in something that is no folder is refused at once", async (t) => {
  const file = join(temporaryDirectory(t), "file");
  writeFileSync(file, "");

  const { exit, stderr } = await runToEnd(t, ["serve", "--database", join(file, "monitoring.db")]);

  t.is(exit, 1);
  t.regex(
    stderr,
    /^parsl-collector serve: open database .*file is no directory; name a file in a directory\n$/,
  );
});

test.serial("case 29: a database that may not be written is refused at once", async (t) => {
  // Proc's files are read-only for everyone; permissions would not stop root.
  const { exit, stdout, stderr } = await runToEnd(t, ["serve", "--database", "/proc/monitoring.db"]);

  t.is(exit, 1);
  t.is(stdout, "");
  t.regex(stderr, /^parsl-collector serve: open database \/proc\/monitoring\.db: .+; .*name another file\n$/);
});

test.serial("case 29: a file that is no database is refused at once, and left as it is", async (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const content = "dear diary, ".repeat(1_000);
  writeFileSync(path, content);

  const { exit, stderr } = await runToEnd(t, ["serve", "--database", path]);

  t.is(exit, 1);
  t.true(stderr.includes(`open database ${path}: file is not a database; restore it, or start with --move`));
  t.is(readFileSync(path, "utf8"), content);
});

/** A database the second half of which is overwritten. Its schema is whole: nothing fails until those rows are
 *  read. */
function damagedDatabase(folder: string): string {
  const path = join(folder, "monitoring.db");
  const db = new Database(path);
  db.exec("CREATE TABLE theirs (x)");
  const insert = db.prepare("INSERT INTO theirs VALUES (zeroblob(1000))");
  for (let n = 0; n < 100; n += 1) insert.run();
  db.close();
  const content = readFileSync(path);
  writeFileSync(path, content.fill(0xff, content.length / 2));
  return path;
}

test.serial(
  "a database whose second half is overwritten is refused with the cure, and left as it is",
  async (t) => {
    const path = damagedDatabase(temporaryDirectory(t));
    const before = readFileSync(path);

    const { exit, stderr } = await runToEnd(t, ["serve", "--database", path]);

    t.is(exit, 1);
    t.regex(stderr, /open database .*monitoring\.db: .+; restore it, or start with --move-damaged-aside /);
    t.deepEqual(readFileSync(path), before);
  },
);

test.serial("a damaged database is kept under another name when that is asked for", async (t) => {
  const folder = temporaryDirectory(t);
  const path = damagedDatabase(folder);
  const before = readFileSync(path);

  const collector = await startCollector(t, { database: path, args: ["--move-damaged-aside"] });
  await collector.stop();

  const [kept = ""] = readdirSync(folder).filter((name) =>
    /^monitoring\.db\.damaged-\d{8}T\d{6}Z$/.test(name),
  );
  t.deepEqual(readFileSync(join(folder, kept)), before);
  t.deepEqual(readdirSync(folder).sort(), ["monitoring.db", kept]);
  t.regex(collector.stderr, /damaged database moved aside/);
  t.is(openDatabase(t, path).value("PRAGMA integrity_check"), "ok");
});

test.serial("a whole database stays where it is though moving damaged ones is asked for", async (t) => {
  const first = await startCollector(t);
  await first.stop();

  const second = await startCollector(t, { database: first.database, args: ["--move-damaged-aside"] });
  await second.stop();

  t.deepEqual(readdirSync(dirname(first.database)), ["monitoring.db"]);
});

test.serial(
  "case 27: a file whose table lacks a column is refused at once with table, column and cure",
  async (t) => {
    const path = join(temporaryDirectory(t), "monitoring.db");
    const db = new Database(path);
    db.exec("CREATE TABLE workflow (run_id TEXT NOT NULL PRIMARY KEY)");
    db.close();

    const { exit, stderr } = await runToEnd(t, ["serve", "--database", path]);

    t.is(exit, 1);
    t.regex(
      stderr,
      /its table workflow lacks the column workflow_name, .*; move the file aside, or name a new one\n$/,
    );
  },
);

test.serial("case 51: a port in use is an error at once that names it", async (t) => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const address = server.address();
  const listen = `127.0.0.1:${typeof address === "object" ? String(address?.port) : ""}`;
  const folder = temporaryDirectory(t);
  mkdirSync(join(folder, "run"));

  const { exit, stdout, stderr } = await runToEnd(t, [
    ...["serve", "--database", join(folder, "run", "monitoring.db"), "--listen", listen],
  ]);

  t.is(exit, 1);
  t.is(stdout, "");
  t.regex(stderr, new RegExp(`parsl-collector serve: listen on ${listen}: the port is in use .* port 0`));
});

test.serial(
  "a collector that waits for its database, and has been given nothing, ends at once when it is told",
  async (t) => {
    const database = "postgresql://user@127.0.0.1:1/monitoring"; // where nobody listens
    const collector = await startCollector(t, { database });
    t.regex(collector.stderr, /ECONNREFUSED.*database cannot be written for now/s);

    t.is(await collector.stop(), 0);
  },
);
