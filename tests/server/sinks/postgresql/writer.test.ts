import test, { type ExecutionContext } from "ava";

import type { Acknowledgement } from "../../../../src/model/envelope.js";
import type { PostgresWriter } from "../../../../src/server/sinks/postgresql/writer.js";
import {
  at,
  blockInfo,
  resourceInfo,
  runId,
  sample,
  taskInfo,
  workerTaskInfo,
  workflowStart,
} from "../../../support/builders.js";
import { envelopeOf } from "../../../support/encoded.js";
import { openPostgresWriter } from "../../../support/postgres-writer.js";
import {
  readPostgres,
  sharedPostgres,
  whyNoPostgres,
  type AsyncDatabase,
} from "../../../support/postgres.js";
import { arrivals } from "../../../support/writer.js";

const why = whyNoPostgres();
const unlessSkipped = why === undefined ? test : test.skip;
const reason = why === undefined ? "" : ` (skipped: ${why})`;
const server = sharedPostgres();

interface Opened {
  readonly writer: PostgresWriter;
  readonly database: AsyncDatabase;
  readonly url: string;
}

/** A writer on a database of its own. */
async function open(t: ExecutionContext): Promise<Opened> {
  const url = await server().newDatabase();
  return { url, writer: await openPostgresWriter(t, url), database: await readPostgres(t, url) };
}

async function store(writer: PostgresWriter, ...group: readonly Uint8Array[]): Promise<Acknowledgement[]> {
  const outcomes = await writer.store(arrivals(group));
  return outcomes.map((outcome) => {
    if ("acknowledgement" in outcome) return outcome.acknowledgement;
    throw new Error(`an envelope is refused: ${JSON.stringify(outcome)}`);
  });
}

unlessSkipped(
  `a number that a column does not take costs its own message only, which is kept with PostgreSQL's reason${reason}`,
  async (t) => {
    const { writer, database } = await open(t);
    const samples = Array.from({ length: 300 }, (_, n) =>
      resourceInfo({ timestamp: at(n), psutilProcessPid: n === 77 || n === 201 ? 2 ** 31 : n }),
    );

    const [first, second] = await store(
      writer,
      envelopeOf(samples, { senderId: "s1" }),
      envelopeOf([sample(1)], { senderId: "s2", lastSequence: 1 }),
    );

    t.deepEqual(first?.committed, { first: 1n, last: 300n });
    t.deepEqual(
      first?.rejections.map(({ sequence }) => sequence),
      [78n, 202n],
    );
    t.regex(first?.rejections[0]?.reason ?? "", /PostgreSQL refused it: .*2147483648.* out of range/);
    t.deepEqual(second?.rejections, []);
    t.true(second?.closed);
    t.is(await database.count("resource"), 299);
    t.deepEqual(
      await database.rows(
        "SELECT sender_id, stored, rejected, repeated FROM collector_sender ORDER BY sender_id",
      ),
      [
        { sender_id: "s1", stored: 298, rejected: 2, repeated: 0 },
        { sender_id: "s2", stored: 1, rejected: 0, repeated: 0 },
      ],
    );
    // A repeat is told of them again.
    const [again] = await store(writer, envelopeOf(samples, { senderId: "s1" }));
    t.deepEqual(again?.rejections, first?.rejections);
  },
);

unlessSkipped(
  `what a trigger, a check or a column of the user's refuses is kept as rejected${reason}`,
  async (t) => {
    const { writer, database, url } = await open(t);
    await server().execute(
      url,
      `CREATE FUNCTION no_third() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF new.task_id = 3 THEN RAISE EXCEPTION 'no third task here'; END IF; RETURN new; END $$;
    CREATE TRIGGER no_third BEFORE INSERT ON task FOR EACH ROW EXECUTE FUNCTION no_third();
    ALTER TABLE "try" ADD CHECK (task_executor <> 'forbidden');
    CREATE UNIQUE INDEX ON resource (psutil_process_pid)`,
    );

    const [acknowledgement] = await store(
      writer,
      envelopeOf([
        taskInfo({ taskId: 2 }),
        taskInfo({ taskId: 3 }),
        taskInfo({ taskId: 4, taskExecutor: "forbidden" }),
        resourceInfo({ timestamp: at(1) }),
        resourceInfo({ timestamp: at(2) }),
        taskInfo({ taskId: 5 }),
      ]),
    );

    t.deepEqual(
      acknowledgement?.rejections.map(({ sequence, reason: told }) => [
        Number(sequence),
        told.split(": ")[1]?.slice(0, 18),
      ]),
      [
        [2, "no third task here"],
        [3, "new row for relati"],
        [5, "duplicate key valu"],
      ],
    );
    t.deepEqual(
      (await database.rows("SELECT task_id FROM task ORDER BY 1")).map((row) => row["task_id"]),
      [2, 5],
    );
    t.is(await database.count("collector_rejected"), 3);
  },
);

unlessSkipped(
  `a NUL in a text is shown as \\x00, in names and keys too, and what is said again is found again${reason}`,
  async (t) => {
    const { writer, database } = await open(t);
    const named = { senderId: "s\0", runId: "run\0a", hostname: "h\0" };

    const [first] = await store(
      writer,
      envelopeOf([taskInfo({ taskStdout: "a\0b", taskFuncName: "f\0" })], named),
    );
    await store(
      writer,
      envelopeOf(
        [workerTaskInfo({ hostname: "\0n" }), taskInfo({ taskStatusName: "exec\0", taskStdout: "a\0b" })],
        {
          ...named,
          first: 2,
        },
      ),
    );

    t.is(first?.senderId, "s\0");
    t.deepEqual(await database.rows("SELECT run_id, task_func_name, task_stdout FROM task"), [
      { run_id: "run\\x00a", task_func_name: "f\\x00", task_stdout: "a\\x00b" },
    ]);
    t.is(await database.value('SELECT hostname FROM "try"'), "\\x00n");
    t.is(await database.value("SELECT stored FROM collector_sender WHERE sender_id = 's\\x00'"), 3);
    t.is(await database.count("collector_run"), 1);
  },
);

unlessSkipped(`texts that COPY and arrays have marks for are stored as they are${reason}`, async (t) => {
  const { writer, database } = await open(t);
  const texts = ["\\N", "\\.", "a\tb\nc\rd\\e\"f'", "{1,2}", "NULL", "", "\u{10ffff}", "$1", "%s"];
  const tasks = texts.map((taskFuncName, taskId) => taskInfo({ taskId, taskFuncName }));
  const samples = Array.from({ length: 300 }, (_, n) =>
    resourceInfo({
      timestamp: at(n),
      psutilProcessStatus: texts[n % texts.length] ?? "",
      psutilProcessTimeUser: Infinity,
    }),
  );

  await store(writer, envelopeOf(tasks), envelopeOf(samples));

  const said = await database.rows("SELECT task_func_name FROM task ORDER BY task_id");
  t.deepEqual(
    said.map((row) => row["task_func_name"]),
    texts,
  );
  const statuses = await database.rows("SELECT DISTINCT psutil_process_status AS text FROM resource");
  t.deepEqual(statuses.map(({ text }) => String(text)).sort(), texts.toSorted());
  t.is(await database.value("SELECT sum(psutil_process_time_user) FROM resource"), Infinity);
});

unlessSkipped(
  `two writers that write the same senders and runs at once store each message once${reason}`,
  async (t) => {
    const { writer, database, url } = await open(t);
    const other = await openPostgresWriter(t, url);
    const messages = (from: number) =>
      Array.from({ length: 10 }, (_, n) => taskInfo({ taskId: (from + n) % 30, timestamp: at(from + n) }));

    // Each envelope goes to both, in another order.
    const firsts = Array.from({ length: 30 }, (_, n) => 1 + 10 * n);
    const envelopes = firsts.map((first) =>
      envelopeOf(messages(first), { senderId: `s${String(first % 3)}`, first }),
    );
    await Promise.all([
      (async () => {
        for (const envelope of envelopes) await store(writer, envelope);
      })(),
      (async () => {
        for (const envelope of envelopes.toReversed()) await store(other, envelope);
      })(),
    ]);

    t.deepEqual(
      await database.rows(
        "SELECT sum(stored)::int AS stored, sum(repeated)::int AS repeated, sum(rejected)::int AS rejected FROM collector_sender",
      ),
      [{ stored: 300, repeated: 300, rejected: 0 }],
    );
    t.is(await database.count("status"), 300);
    t.is(await database.count("task"), 30);
    t.is(await database.count("collector_run"), 1);
  },
);

unlessSkipped(
  `a row under whose key a group brings two others, one of them a repeat, is neither lost nor stored twice${reason}`,
  async (t) => {
    const { writer, database } = await open(t);
    const blockOf = (jobId: string) => blockInfo({ jobId, timestamp: at(1) });
    await store(writer, envelopeOf([blockOf("a")], { senderId: "s1" }));

    await store(writer, envelopeOf([blockOf("b"), blockOf("c"), blockOf("a")], { senderId: "s2" }));

    t.deepEqual(
      (await database.rows("SELECT job_id FROM block ORDER BY timestamp")).map((row) => row["job_id"]),
      ["a", "b", "c"],
    );
    t.is(await database.value("SELECT duplicate_rows FROM collector_sender WHERE sender_id = 's2'"), 1);
  },
);

unlessSkipped(
  `the log has what was committed by two writers, in one order, and only what is kept${reason}`,
  async (t) => {
    const { writer, database, url } = await open(t);
    const other = await openPostgresWriter(t, url, { logBytes: 64 * 1024 });
    await store(writer, envelopeOf([workflowStart()]));

    await other.keepLog();
    await store(writer, envelopeOf([taskInfo()], { senderId: "s1" }));
    await store(
      other,
      envelopeOf([taskInfo(), taskInfo({ taskId: 1, taskFuncName: undefined })], { senderId: "s1" }),
    );

    const log = await database.rows("SELECT radio, rejections FROM collector_log ORDER BY position");
    t.deepEqual(
      log.map(({ radio }) => radio),
      ["grpc", "grpc"],
    );
    t.regex(String(log[1]?.["rejections"]), /^\[\[2,"TASK_INFO lacks task_func_name/);

    const long = { taskStdout: "x".repeat(10_000) };
    for (let n = 0; n < 20; n += 1) await store(other, envelopeOf([taskInfo({ taskId: n, ...long })]));
    const bytes = Number(await database.value("SELECT sum(octet_length(envelope)) FROM collector_log"));
    t.true(bytes > 64 * 1024 && bytes < 90_000, String(bytes));
  },
);

for (const [what, urlOf, message] of [
  [
    "a user that it does not know",
    () => server().url("postgres", "nobody"),
    /role "nobody" does not exist; correct user or password/,
  ],
  [
    "a database that it does not have",
    () => server().url("nowhere"),
    /database "nowhere" does not exist; make the database with createdb/,
  ],
  [
    "TLS that it does not speak",
    () => "postgresql://postgres@127.0.0.1:1/x?sslmode=verify-ca",
    /verify-ca.*write postgresql:/,
  ],
] as const) {
  unlessSkipped(`${what}, is told with the cure${reason}`, async (t) => {
    await t.throwsAsync(openPostgresWriter(t, urlOf()), { message });
  });
}

unlessSkipped(
  `a user who may not make tables may write to those that are there, and is told where there are none${reason}`,
  async (t) => {
    const { url } = await open(t);
    const empty = await server().newDatabase();
    await server().execute(
      url,
      `CREATE ROLE writer LOGIN; REVOKE CREATE ON SCHEMA public FROM public;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer`,
    );

    const writer = await openPostgresWriter(t, url.replace("postgres@", "writer@"));
    await store(writer, envelopeOf([workflowStart(), sample(1)]));
    const status = await writer.status(runId);

    t.is(status.total?.stored, 2n);
    await t.throwsAsync(openPostgresWriter(t, empty.replace("postgres@", "writer@")), {
      message: /permission denied for schema public; GRANT the user CREATE/,
    });
  },
);
