import test, { type ExecutionContext } from "ava";

import type { Finding, Why } from "../../src/view/api.js";
import { why } from "../../src/why/why.js";
import { runId } from "../support/builders.js";
import { goldenRows } from "../support/golden.js";
import { ParslFile, tasksShownBy } from "../support/parsl-file.js";

const GiB = 2 ** 30;

/** What is said of the run, once each query was seen to return the tasks that are counted. */
function said(t: ExecutionContext, { db }: ParslFile, run = runId): Why {
  const answer = why(db, run);
  for (const { title, query, count, tasks } of answer.findings) {
    const shown = tasksShownBy(db, query);
    t.is(shown.length, count, title);
    t.deepEqual(shown.slice(0, 20), [...tasks], title);
  }
  return answer;
}

function briefly({ kind, severity, count, tasks }: Finding): object {
  return { kind, severity, count, tasks };
}

function ofKind({ findings }: Why, kind: Finding["kind"]): Finding[] {
  return findings.filter((finding) => finding.kind === kind);
}

function only(answer: Why, kind: Finding["kind"]): Finding {
  const [finding, ...others] = ofKind(answer, kind);
  if (finding === undefined || others.length > 0) throw new Error(`not one finding of ${kind}`);
  return finding;
}

test("of the run that Parsl's own hub recorded, each failure is named once, with its tasks", (t) => {
  const file = new ParslFile(t);
  for (const [table, rows] of Object.entries(goldenRows())) file.insert(table, ...rows);

  const { summary, findings } = said(t, file, "803afe5f-20d5-405c-985e-72a06e9b936c");

  t.deepEqual(findings.map(briefly), [
    { kind: "exception", severity: "failure", count: 1, tasks: [10] },
    { kind: "exit-code", severity: "failure", count: 1, tasks: [11] },
    { kind: "dependency", severity: "failure", count: 1, tasks: [12] },
    { kind: "retry-did-not-help", severity: "note", count: 2, tasks: [10, 11] },
  ]);
  t.is(
    summary,
    "Of 15 tasks 12 ended well, 2 failed and 1 could not run since one before failed. " +
      "Most of it: 1 task of app fails failed with ValueError.",
  );
});

const told: readonly (readonly [string, Finding["kind"], RegExp])[] = [
  ["ValueError('no good')", "exception", /failed with ValueError\.$/],
  [`MyError("it's 100 % [odd]")`, "exception", /failed with MyError\.$/],
  ["<o'dd one(>", "exception", /failed with <o'dd one\(>\.$/],
  ["", "exception", /the file does not say by which exception/],
  ["OSError(5, 'Input/output error')", "exception", /failed with OSError\.$/],
  ["AttributeError('x')", "exception", /failed with AttributeError\.$/],
  [
    "MissingOutputs('Missing outputs from app align', [<File>])",
    "exception",
    /failed with MissingOutputs\.$/,
  ],
  ["BashExitFailure('align', 3)", "exit-code", /exit code 3\.$/],
  ["BashExitFailure('align', 137)", "exit-code", /exit code 137\.$/],
  ["BashExitFailure('align', -11)", "exit-code", /exit code -11\.$/],
  ["BashExitFailure('align', 127)", "environment", /environment/],
  ["MemoryError()", "out-of-memory", /asked for more memory/],
  ["AppTimeout('App align exceeded walltime: 2 seconds')", "wall-time", /longer than `walltime` allows/],
  ["BadStateException(<htex>, TooManyJobFailuresError('Error 1'))", "block", /no more blocks/],
  ["ManagerLost(b'0e1f', 'n7')", "lost-node", /a node that was lost/],
  ["WorkerLost(0, 'n1')", "lost-worker", /lost the worker process/],
];

for (const [failure, kind, title] of told) {
  test(`a task that failed by ${failure || "nothing that was kept"} is counted as ${kind}`, (t) => {
    const file = new ParslFile(t);
    file.run();
    file.task({ state: "exec_done" });
    const task = file.task({ state: "failed", tries: [{ failure }] });

    const finding = only(said(t, file), kind);

    t.deepEqual(briefly(finding), { kind, severity: "failure", count: 1, tasks: [task] });
    t.regex(finding.title, title);
  });
}

test("all that an environment may lack is one finding, apart from exceptions of the same name", (t) => {
  const file = new ParslFile(t);
  file.run();
  const failures = [
    `ModuleNotFoundError("No module named 'x'")`,
    "ImportError('y')",
    "DeserializationError('z')",
    `AttributeError("Can't get attribute 'f' on <module 'm'>")`,
    "TypeError('code expected at most 16 arguments, got 18')",
    "BadStateException(<htex>, VersionMismatch('3.11', '3.12'))",
    "BashExitFailure('align', 126)",
  ];
  for (const failure of failures) file.task({ state: "failed", tries: [{ failure }] });
  for (const name of ["AttributeError('f')", "TypeError('f')", "BadStateException(<htex>, Error())"]) {
    file.task({ state: "failed", tries: [{ failure: name }] });
  }

  const answer = said(t, file);

  t.is(only(answer, "environment").count, failures.length);
  t.deepEqual(
    ofKind(answer, "exception").map(({ tasks }) => tasks),
    [[7], [8]],
  );
  t.deepEqual(only(answer, "block").tasks, [9]);
});

test("a signal that ended a command is named, with what it may mean", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.task({ state: "failed", tries: [{ failure: "BashExitFailure('align', 139)" }] });

  t.true(only(said(t, file), "exit-code").detail.join().includes("SIGSEGV: a crash in compiled code"));
});

test("the most frequent exceptions have findings of their own, all others one", (t) => {
  const file = new ParslFile(t);
  file.run();
  for (let name = 0; name < 14; name++) {
    for (let task = 0; task < (name < 9 ? 2 : 1); task++) {
      file.task({ state: "failed", tries: [{ failure: `Error${String(name)}('x')` }] });
    }
  }

  const findings = ofKind(said(t, file), "exception");

  t.is(findings.length, 11);
  t.is(findings.find(({ title }) => title.includes("other exceptions"))?.count, 4);
});

test("of more tasks than 20 the first are named, and all are counted and grouped", (t) => {
  const file = new ParslFile(t);
  file.run();
  for (let task = 0; task < 30; task++) {
    const host = task < 29 ? "n1" : "n2";
    file.task({
      app: task % 2 ? "sort" : "align",
      state: "failed",
      tries: [{ failure: "ValueError('x')", host }],
    });
  }

  const { count, tasks, groups } = only(said(t, file), "exception");

  t.is(count, 30);
  t.deepEqual(
    tasks,
    Array.from({ length: 20 }, (_, task) => task),
  );
  t.deepEqual(groups, {
    exception: [{ value: "ValueError('x')", count: 30 }],
    app: [
      { value: "align", count: 15 },
      { value: "sort", count: 15 },
    ],
    host: [
      { value: "n1", count: 29 },
      { value: "n2", count: 1 },
    ],
    block: [{ value: "0", count: 30 }],
  });
});

test("a node on which all fails, while others do well, is told", (t) => {
  const file = new ParslFile(t);
  file.run();
  for (const host of ["n1", "n2", "n3"]) file.task({ state: "exec_done", tries: [{ host }] });
  for (let task = 0; task < 3; task++) {
    file.task({ state: "failed", tries: [{ failure: "OSError(5, 'x')", host: "n4" }] });
  }

  const { detail } = only(said(t, file), "exception");

  t.true(detail.includes("All on n4; on other nodes 3 tries ended well. Look at that node first."));
});

test("a worker that was lost while the tasks of its node filled its memory was killed for it", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.node({});
  const failure = "WorkerLost(0, 'n1')";
  file.task({ state: "exec_done", tries: [{ ran: [1, 50], memory: [[9, 0.5 * GiB]] }] });
  file.task({ state: "exec_done", tries: [{ ran: [1, 5], memory: [[4, 0.9 * GiB]] }] }); // was over
  file.task({ state: "exec_done", tries: [{ host: "n2", ran: [1, 50], memory: [[9, 0.9 * GiB]] }] });
  const killed = file.task({
    state: "failed",
    tries: [
      {
        failure,
        ran: [5, 12],
        memory: [
          [6, 1],
          [10, 0.4 * GiB],
          [11, 0],
        ],
      },
    ],
  });
  const small = file.task({
    state: "failed",
    tries: [{ failure, ran: [60, 72], memory: [[70, 0.4 * GiB]] }],
  });
  const unknown = file.task({ state: "failed", tries: [{ failure, ran: [60, 72] }] });

  const answer = said(t, file);

  t.deepEqual(only(answer, "out-of-memory").tasks, [killed]);
  t.regex(
    only(answer, "out-of-memory").detail.join(),
    /the 2 tasks on n1 had 922 MiB of its node's 1\.0 GiB \(90 %\)/,
  );
  t.deepEqual(only(answer, "lost-worker").tasks, [small, unknown]);
  t.regex(only(answer, "lost-worker").detail.join(), /410 MiB of 1\.0 GiB \(40 %\) at most/);
});

test("of a worker that was lost without any sample the memory is said to be unknown", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.task({ state: "failed", tries: [{ failure: "WorkerLost(0, 'n1')" }] });

  t.regex(only(said(t, file), "lost-worker").detail.join(), /how much memory they had is not known/);
});

test("samples of the whole node say that its memory was full, where tasks' samples do not", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.node({});
  file.db
    .exec(`CREATE TABLE collector_node_usage (hostname TEXT, timestamp DATETIME, memory_total_bytes FLOAT,
    memory_available_bytes FLOAT)`);
  const sample = { hostname: "n1", memory_total_bytes: 100 };
  file.insert("collector_node_usage", {
    ...sample,
    timestamp: "2026-03-01 12:00:08.000000",
    memory_available_bytes: 4,
  });
  const killed = file.task({
    state: "failed",
    tries: [{ failure: "BashExitFailure('align', 137)", ran: [5, 12] }],
  });
  const later = file.task({
    state: "failed",
    tries: [{ failure: "BashExitFailure('align', 137)", ran: [9, 12] }],
  });

  const answer = said(t, file);

  t.deepEqual(only(answer, "out-of-memory").tasks, [killed]);
  t.regex(only(answer, "out-of-memory").detail.join(), /N1 as a whole used up to 96 % of its memory/i);
  t.deepEqual(only(answer, "exit-code").tasks, [later]);
});

test("a lost node is told with its last heartbeat and what became of its block, also if all tasks ended well", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.node({ heartbeat: 30 });
  file.node({ heartbeat: 30, at: 150, active: false });
  file.block("RUNNING", 1);
  file.block("TIMEOUT", 40);
  const failure = "ManagerLost(b'uid-n1', 'n1')";
  const task = file.task({
    state: "exec_done",
    tries: [
      { failure, ran: [20, 150] },
      { host: "n2", block: "1" },
    ],
  });
  const waiting = file.task({
    state: "exec_done",
    tries: [
      { failure, host: null, block: null, ran: [null, 150] },
      { host: "n2", block: "1" },
    ],
  });

  const answer = said(t, file);

  t.deepEqual(briefly(only(answer, "lost-node")), {
    ...{ kind: "lost-node", severity: "warning", count: 2, tasks: [task, waiting] },
  });
  t.true(
    only(answer, "lost-node").detail.includes(
      "2 tasks on n1 in block 0: its last heartbeat came at 2026-03-01 12:00:30, and it was gone at 2026-03-01 12:02:30; " +
        "block 0 (job 4711) ran out of its wall time (TIMEOUT) at 2026-03-01 12:00:40.",
    ),
    only(answer, "lost-node").detail.join("\n"),
  );
  t.deepEqual(only(answer, "retry-helped").tasks, [task, waiting]);
  t.deepEqual(only(answer, "block").tasks, [task]);
});

test("tasks that fail for others are counted down the graph at the task that failed first", (t) => {
  const file = new ParslFile(t);
  file.run();
  const failure = "DependencyError([...], 0)";
  const root = file.task({ app: "read", state: "failed", tries: [{ failure: "ValueError('x')" }] });
  const other = file.task({ app: "read", state: "failed", tries: [{ failure: "OSError(5, 'x')" }] });
  const fine = file.task({ state: "exec_done" });
  const dependent = (depends: string): number =>
    file.task({ depends, state: "dep_fail", tries: [{ failure, host: null, block: null, ran: [null, 9] }] });
  const left = dependent(String(root));
  const right = dependent(`${String(fine)},${String(root)}`);
  dependent(`${String(left)},${String(right)}`); // two ways from one root
  const join = file.task({
    state: "failed",
    tries: [{ failure: "JoinError([...], 6)", joins: String(other) }],
  });
  dependent(String(join));
  dependent(""); // of a future that is no task's

  const { count, detail, groups } = only(said(t, file), "dependency");

  t.is(count, 6);
  t.deepEqual(detail.slice(0, 3), [
    "Task 0 (read) failed with ValueError('x'); 3 tasks after it did not run, 2 of them directly.",
    "Task 1 (read) failed with OSError(5, 'x'); 2 tasks after it did not run, 1 of them directly.",
    "For 1 task no failed task that it depends on is in the file: it waited for a future of something else.",
  ]);
  t.deepEqual(groups.exception, [
    { value: "ValueError('x')", count: 3 },
    { value: "OSError(5, 'x')", count: 2 },
  ]);
});

test("a task that began and has no end is a failure once the run is over, and where its node is gone", (t) => {
  const answers = [
    { completed: 1000, gone: false },
    { completed: null, gone: true },
    { completed: null, gone: false },
  ].map(({ completed, gone }) => {
    const file = new ParslFile(t);
    file.run({ completed });
    file.node({ heartbeat: 30, active: !gone });
    file.task({ state: "running", tries: [{ failure: "ValueError('x')" }, { ran: [20, null] }] });
    file.task({ state: "pending", tries: [{ ran: [null, null], host: null, block: null }] });
    return said(t, file);
  });

  t.deepEqual(
    answers.map((answer) => ofKind(answer, "never-ended").map(briefly)),
    [
      [
        { kind: "never-ended", severity: "failure", count: 1, tasks: [0] },
        { kind: "never-ended", severity: "failure", count: 1, tasks: [1] },
      ],
      [{ kind: "never-ended", severity: "failure", count: 1, tasks: [0] }],
      [{ kind: "never-ended", severity: "note", count: 1, tasks: [0] }],
    ],
  );
  t.true(answers[1]?.findings[0]?.detail.join().includes("its last heartbeat came at 2026-03-01 12:00:30"));
});

test("retries that helped are told apart from those that did not", (t) => {
  const file = new ParslFile(t);
  file.run();
  const failure = "OSError(5, 'x')";
  const flaky = file.task({ state: "exec_done", tries: [{ failure }, { host: "n2" }] });
  const hopeless = file.task({ state: "failed", tries: [{ failure }, { failure }] });
  const changing = file.task({ state: "failed", tries: [{ failure }, { failure: "ValueError('y')" }] });
  file.task({ state: "failed", tries: [{ failure }] });

  const answer = said(t, file);

  t.deepEqual(only(answer, "retry-helped").tasks, [flaky]);
  t.deepEqual(only(answer, "retry-helped").detail, ["1 of them on another node than before."]);
  t.deepEqual(only(answer, "retry-did-not-help").tasks, [hopeless, changing]);
  t.regex(only(answer, "retry-did-not-help").detail.join(), /^1 failed by the same exception each time/);
});

test("blocks that did not end as meant are told by their last state, also without any task", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.block("PENDING", 1, { block: "0", job: null });
  file.block("FAILED", 2, { block: "0", job: null });
  file.block("MISSING", 3, { block: "1" });
  file.block("SCALED_IN", 4, { block: "2" });

  const findings = ofKind(said(t, file), "block");

  t.deepEqual(
    findings.map(({ title }) => title),
    ["1 block failed (FAILED).", "1 block ended before any of its workers reached Parsl (MISSING)."],
  );
});

test("a run in which all went well has no findings", (t) => {
  const file = new ParslFile(t);
  file.run();
  file.task({ state: "exec_done" });

  t.deepEqual(said(t, file), { runId, summary: "Of 1 task all ended well.", findings: [] });
});

test("a run that the file does not have is refused, and nothing is left in the connection", (t) => {
  const file = new ParslFile(t);
  file.run();

  t.throws(() => why(file.db, "other"), { message: /the file has no such run/ });
  said(t, file);
  t.is(file.db.prepare("SELECT count(*) FROM temp.sqlite_master").pluck().get(), 0);
});
