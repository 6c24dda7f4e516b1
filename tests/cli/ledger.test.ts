import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { runId, sample, taskInfo, workflowEnd, workflowStart } from "../support/builders.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf, type EnvelopeFields } from "../support/encoded.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../support/writer.js";

/** What `parsl-collector status` and `rejected` say of a file. */

const senderId = "a".repeat(32);

/** A file into which one sender sent these messages, from sequence 1 on. */
function fileWith(
  t: ExecutionContext,
  messages: Parameters<typeof envelopeOf>[0],
  fields: EnvelopeFields = {},
): string {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  acknowledgementsOf(writer, [envelopeOf(messages, { senderId, hostname: "n1", ...fields })]);
  writer.close();
  return path;
}

test.serial(
  "status of a run whose senders have all said their last word is complete, and exits with 0",
  async (t) => {
    const database = fileWith(t, [workflowStart(), taskInfo(), workflowEnd()], { lastSequence: 3 });

    const { exit, stdout } = await runToEnd(t, ["status", "--database", database]);

    t.is(exit, 0);
    t.regex(
      stdout,
      new RegExp(`^run ${runId} .*: completed, last heard \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d UTC`),
    );
    t.regex(stdout, /aaaaaaaaaaaa +n1 +grpc +3 +3 +0 +0 +0 +0 +3 /);
    t.regex(stdout, /3 of 3 messages stored: complete\n$/);
  },
);

test.serial(
  "case 24: status of a run whose driver vanished says lost and when it was last heard, and exits with 3",
  async (t) => {
    const database = fileWith(t, [workflowStart(), taskInfo({ taskId: 0 }), taskInfo({ taskId: 1 })]);
    const db = new Database(database);
    db.exec("UPDATE collector_sender_run SET last_received_at = '2026-01-02 03:04:05.000000'");
    db.close();

    const { exit, stdout } = await runToEnd(t, ["status", "--database", database]);

    t.is(exit, 3);
    t.regex(stdout, /: lost, last heard 2026-01-02 03:04:05 UTC/);
    t.regex(stdout, /not complete \(1 run lost before the end, 1 sender without a last word\)/);
    t.is(openDatabase(t, database).value("SELECT time_completed FROM workflow"), null);
  },
);

test.serial("status names the gaps and the losses by kind", async (t) => {
  const database = fileWith(t, [workflowStart(), taskInfo(), workflowEnd()], {
    lastSequence: 20,
    losses: [{ first: 10, last: 14, kind: "RESOURCE_INFO" }],
  });

  const asText = await runToEnd(t, ["status", "--database", database, "--run", runId]);
  const asJson = await runToEnd(t, ["status", "--database", database, "--json"]);
  const said = JSON.parse(asJson.stdout) as Record<string, unknown>;

  t.is(asText.exit, 3);
  t.regex(asText.stdout, /missing: 4–9 15–20\n/);
  t.regex(asText.stdout, /lost: 5 RESOURCE_INFO\n/);
  t.regex(asText.stdout, /3 of 20 messages stored: not complete \(12 messages missing, 5 messages lost\)/);
  t.is(asJson.exit, 3);
  t.like(said, { complete: false, total: { stored: 3, missing: 12, lost: 5 } });
  t.like((said["runs"] as unknown[])[0], { runId, state: "completed" });
});

test.serial("status of what is no collector's file says so, and changes nothing", async (t) => {
  const folder = temporaryDirectory(t);
  const parsls = join(folder, "parsl.db");
  new Database(parsls).exec("CREATE TABLE workflow (run_id TEXT)").close();
  const text = join(folder, "text.db");
  writeFileSync(text, "no database, but long enough to be taken for one ".repeat(100));
  const before = readFileSync(parsls);

  const missing = await runToEnd(t, ["status", "--database", join(folder, "none.db")]);
  const without = await runToEnd(t, ["status", "--database", parsls]);
  const noDatabase = await runToEnd(t, ["status", "--database", text]);
  const noRun = await runToEnd(t, ["status", "--database", fileWith(t, [taskInfo()]), "--run", "other"]);
  const noOption = await runToEnd(t, ["status"]);

  for (const { exit, stdout } of [missing, without, noDatabase, noRun]) t.deepEqual([exit, stdout], [1, ""]);
  t.regex(
    missing.stderr,
    /^parsl-collector status: read database .*none\.db: there is no such file; name the file/,
  );
  t.regex(without.stderr, /it has no ledger; no collector has written it/);
  t.regex(noDatabase.stderr, /file is not a database; name the file/);
  t.regex(noRun.stderr, new RegExp(`it has no run other; it has ${runId}`));
  t.is(noOption.exit, 2);
  t.deepEqual(readFileSync(parsls), before);
});

test.serial("a file that is damaged further in is an error in a line", async (t) => {
  const path = fileWith(t, [workflowStart(), taskInfo(), workflowEnd()]);
  const page = Number(
    openDatabase(t, path).value("SELECT rootpage FROM sqlite_master WHERE name = 'collector_sender'"),
  );
  writeFileSync(path, readFileSync(path).fill(0xff, (page - 1) * 8192, page * 8192));

  const { exit, stdout, stderr } = await runToEnd(t, ["status", "--database", path]);

  t.deepEqual([exit, stdout], [1, ""]);
  t.regex(
    stderr,
    /^parsl-collector status: use the database: .*malformed; see what `parsl-collector doctor.*\n$/,
  );
});

test.serial("rejected messages are listed, shown, and become rows when their table takes them", async (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  const asUser = (sql: string): void => void new Database(path).exec(sql).close();
  asUser("CREATE TRIGGER no_sample BEFORE INSERT ON resource BEGIN SELECT RAISE(ABORT, 'not today'); END");
  acknowledgementsOf(writer, [
    envelopeOf([taskInfo(), sample(1), sample(2), taskInfo({ taskStatusName: undefined })], { senderId }),
  ]);
  writer.close();
  const on = ["--database", path];

  const list = await runToEnd(t, ["rejected", "list", ...on]);
  const show = await runToEnd(t, ["rejected", "show", "1", ...on, "--json"]);
  const inVain = await runToEnd(t, ["rejected", "retry", "1", "7", ...on]);
  asUser("DROP TRIGGER no_sample");
  const retry = await runToEnd(t, ["rejected", "retry", ...on]);
  const left = await runToEnd(t, ["rejected", "list", ...on, "--json"]);

  t.is(list.exit, 0);
  t.regex(list.stdout, /\n +1 .* RESOURCE_INFO +aaaaaaaaaaaa 2 +SQLite refused it: not today\n/);
  t.regex(list.stdout, /3 rejected messages\n$/);
  t.like(JSON.parse(show.stdout), {
    kind: "RESOURCE_INFO",
    sequence: 2,
    message: { kind: { $case: "resourceInfo" } },
  });
  t.is(inVain.exit, 3);
  t.regex(
    inVain.stdout,
    /^1 is refused still: SQLite refused it: not today\n7 is refused still: no rejected message/,
  );
  t.is(retry.exit, 3);
  t.regex(
    retry.stdout,
    /^3 is refused still: TASK_INFO lacks task_status_name.*\n2 of 3 rejected messages stored\n$/,
  );
  t.is((JSON.parse(left.stdout) as unknown[]).length, 1);
  const db = openDatabase(t, path);
  t.is(db.count("resource"), 2);
  t.deepEqual(db.rows("SELECT stored, rejected FROM collector_sender"), [{ stored: 3, rejected: 1 }]);
  t.is(db.value("PRAGMA integrity_check"), "ok");
});

test.serial("a retry in a file that a collector writes to is no end of either", async (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  new Database(path)
    .exec("CREATE TRIGGER no_task BEFORE INSERT ON task BEGIN SELECT RAISE(ABORT, 'no'); END")
    .close();
  acknowledgementsOf(writer, [envelopeOf([taskInfo()], { senderId })]);
  new Database(path).exec("DROP TRIGGER no_task").close();

  const { exit } = await runToEnd(t, ["rejected", "retry", "--database", path]);
  acknowledgementsOf(writer, [envelopeOf([taskInfo(), taskInfo({ taskId: 1 })], { senderId })]);

  t.is(exit, 0);
  t.like(writer.status("").senders[0]?.counts, { stored: 2n, rejected: 0n, repeated: 1n });
  t.is(openDatabase(t, path).count("task"), 2);
});
