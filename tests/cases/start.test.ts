import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

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
  writeFileSync(path, "dear diary, ".repeat(1_000));

  const { exit, stderr } = await runToEnd(t, ["serve", "--database", path]);

  t.is(exit, 1);
  t.regex(stderr, /^parsl-collector serve: open database .*: file is not a database; move it aside, or name/);
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
