import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";
import { isExceptionSql, isExitCodeSql, isKindSql, isOtherExceptionSql } from "./causes.js";
import { exitCodeMeaning } from "./exit-codes.js";
import { type Counts, countsOf } from "./groups.js";
import { fateOf, nameOf, type Place } from "./places.js";
import type { RunFacts } from "./run-facts.js";
import { isNearSql, killedSql, memorySql, minutesBefore } from "./tables.js";
import { counted, cut, digits, listed, percent, second, size } from "./text.js";

/** Places that are described one by one. */
const mostPlaces = 5;

/** Texts of exceptions that are told. */
const mostTexts = 3;

/** What is known of the tries of one finding. */
interface Failed extends Counts {
  readonly finding: string;
  readonly kind: Finding["kind"];
  /** What the finding is of: an exception's name, an exit code. */
  readonly exception: string;
  readonly code: number;
  /** Of the tasks: ended well in the end, after another try. */
  readonly recovered: number;
  readonly failed: number;
}

/** A finding's words and the condition on rows of `try` that its query has. */
interface Told {
  readonly title: string;
  readonly detail: readonly string[];
  readonly query: string;
}

/** Tries that failed by what they did or by where they were, each in one finding. */
export function failures(db: Database.Database, run: RunFacts): Finding[] {
  const counts = countsOf(db, "SELECT * FROM why_failure");
  return db
    .prepare<[], Omit<Failed, keyof Counts>>(
      `SELECT finding, kind, exception, code,
        count(DISTINCT task_id) FILTER (WHERE task_id NOT IN (SELECT task_id FROM why_state)) AS recovered,
        count(DISTINCT task_id) FILTER (WHERE task_id IN (SELECT task_id FROM why_state WHERE failed)) AS failed
      FROM why_failure WHERE finding <> 'dependency' GROUP BY finding`,
    )
    .all()
    .map((row) => {
      const failed = { ...row, ...(counts.get(row.finding) ?? { count: 0, tasks: [], groups: {} }) };
      const { kind, count, tasks, groups } = failed;
      const { title, detail, query } = told(db, run, failed);
      return {
        kind,
        severity: failed.failed > 0 ? "failure" : "warning",
        title,
        detail: [...said(failed), ...detail, ...where(db, run, failed), ...outcome(failed)],
        ...{ count, tasks, groups, query },
      };
    });
}

function told(db: Database.Database, run: RunFacts, failed: Failed): Told {
  const { finding, kind, code, exception } = failed;
  const who = tasksOf(failed);
  const [was, them] = failed.count === 1 ? ["was", "it"] : ["were", "them"];
  switch (finding) {
    case "lost-node":
      return {
        title: `${who} ${was} on a node that was lost (ManagerLost).`,
        detail: [...places(db, run, failed), ...memoryOfLost(db)],
        query: lostNodeQuery(run),
      };
    case "lost-worker":
      return {
        title: `${who} lost the worker process that ran ${them} (WorkerLost), while its node lived on.`,
        detail: [
          "The file does not say what ended it: a crash in compiled code (segmentation fault), a call of os._exit, or a " +
            "kill, as by the kernel when memory is short.",
          ...memoryNotNear(db),
          "The end of the worker's log in the run's directory, and `dmesg` on the node, may say more.",
        ],
        query: triesQuery(run, isKindSql("lost-worker") + butKilled(db, run)),
      };
    case "memory-killer":
      return {
        title: `${who} ${was} killed while the memory of the node was nearly full.`,
        detail: [
          ...memoryNear(db),
          "That it was the kernel's memory killer, or the batch system's, is not in the file: `dmesg` on the node, or " +
            "`sacct -j JOB -o State,MaxRSS` with Slurm, says so.",
          "Run fewer tasks on a node at a time (max_workers_per_node or mem_per_worker of the executor), or ask for nodes " +
            "with more memory.",
        ],
        query: killedQuery(db, run),
      };
    case "out-of-memory":
      return {
        title: `${who} asked for more memory than there was to have.`,
        detail: [
          "The system refused it: memory was used up, there is a limit (`ulimit -v`), or the size asked for was wrong.",
        ],
        query: triesQuery(run, isKindSql("out-of-memory")),
      };
    case "wall-time":
      return {
        title: `${who} ran longer than \`walltime\` allows, and Parsl ended ${them} (AppTimeout).`,
        detail: [...ranFor(db, finding), "Give the app a longer `walltime`, or find what it waits for."],
        query: failedQuery(run, isKindSql("wall-time"), ranForSql),
      };
    case "environment":
      return {
        title: `${who} failed for what the worker's environment lacks or has in another version.`,
        detail: [
          ...missingCommands(failed),
          "What a worker can import and call is set by `worker_init` of the executor's provider: it must be the same Python " +
            "and the same packages as where the workflow was started.",
        ],
        query: failedQuery(run, isKindSql("environment")),
      };
    case "block":
      return {
        title: `${who} failed because the executor could get no more blocks.`,
        detail: [
          "What the batch system said of them is in the exception, and in submit_scripts of the run's directory.",
        ],
        query: failedQuery(run, isKindSql("block")),
      };
    case "other-exceptions":
      return {
        title: `${who} failed with other exceptions.`,
        detail: [],
        query: failedQuery(run, isOtherExceptionSql(toldExceptions(db))),
      };
  }
  if (kind === "exit-code") {
    return {
      title: `${who} ended with exit code ${String(code)}.`,
      detail: [
        exitCodeMeaning(code),
        "What the command said is in the files named by `stderr` and `stdout` of the app, if it has any.",
      ],
      query: failedQuery(run, isExitCodeSql(code) + butKilled(db, run, code), "task_stderr"),
    };
  }
  return {
    title:
      exception === ""
        ? `${who} failed, and the file does not say by which exception.`
        : `${who} failed with ${exception}.`,
    detail:
      exception === "MissingOutputs"
        ? ["The command itself ended well, but files of its `outputs` were not there."]
        : [],
    query: failedQuery(run, isExceptionSql(exception)),
  };
}

function missingCommands({ groups }: Failed): string[] {
  const of = (code: number): boolean =>
    groups.exception?.some(({ value }) => value.endsWith(`, ${String(code)})`)) === true;
  return [
    ...(of(127) ? ["Exit code 127 is what the shell says of a command that it does not find on PATH."] : []),
    ...(of(126) ? ["Exit code 126 is what the shell says of a file that it may not, or cannot, run."] : []),
  ];
}

/** "12 tasks of app align". */
function tasksOf({ count, groups }: Counts): string {
  const apps = groups.app ?? [];
  const [first] = apps;
  if (first === undefined) return counted(count, "task");
  if (apps.length === 1) return `${counted(count, "task")} of app ${first.value}`;
  const names = apps.length > 3 ? "several apps" : `apps ${listed(apps.map(({ value }) => value))}`;
  return `${counted(count, "task")} of ${names}`;
}

/** Kinds of which the exception says more than the title does. */
const telling: readonly string[] = ["exception", "environment", "out-of-memory", "block"];

/** What the exceptions said, the most frequent ones. */
function said({ kind, finding, count, groups }: Failed): string[] {
  const texts = groups.exception ?? [];
  if (!telling.includes(kind) || finding === "memory-killer" || texts.length === 0) return [];
  const shown = texts.slice(0, mostTexts).map(({ value, count: times }) => {
    const howOften = texts.length === 1 && times === count ? "" : ` (${counted(times, "task")})`;
    return `${cut(value)}${howOften}`;
  });
  const more = texts.length > mostTexts ? ", and others" : "";
  return [`The exception: ${shown.join("; ")}${more}.`];
}

/** Where it happened, when that says something: all on one of several nodes. */
function where(db: Database.Database, run: RunFacts, { finding, count, groups }: Failed): string[] {
  const hosts = groups.host ?? [];
  const [first] = hosts;
  if (first === undefined || finding === "lost-node") return [];
  if (hosts.length > 1) {
    const named = hosts.slice(0, mostPlaces).map(({ value, count: there }) => `${value} (${digits(there)})`);
    return [
      `${count === 1 ? "It" : "They"} ran on ${hosts.length > mostPlaces ? "many nodes, most on " : ""}${listed(named)}.`,
    ];
  }
  const { other } = db
    .prepare<[string, string], { other: number }>(
      `SELECT count(*) AS other FROM try WHERE run_id = ? AND hostname <> ? AND task_fail_history = ''
        AND task_try_time_returned IS NOT NULL`,
    )
    .get(run.runId, first.value) ?? { other: 0 };
  if (other === 0) return [`All on ${first.value}.`];
  const suspicion = count >= 3 ? " Look at that node first." : "";
  const well = other === 1 ? "1 try" : `${digits(other)} tries`;
  return [`All on ${first.value}; on other nodes ${well} ended well.${suspicion}`];
}

/** What came of the tasks whose tries count though they may have been run again. */
function outcome({ count, recovered, failed }: Failed): string[] {
  if (recovered === 0) return [];
  const rest = failed > 0 ? `; ${digits(failed)} failed in the end` : "";
  return [`${recovered === count ? "All" : digits(recovered)} of them ended well in another try${rest}.`];
}

function places(db: Database.Database, { completed }: RunFacts, { finding }: Failed): string[] {
  const rows = db
    .prepare<[string], Place>(
      // A task that waited for a worker there did not begin, but the exception names its manager, and so its block.
      `SELECT failure.host, coalesce(failure.block, node.block) AS block, executor,
        count(DISTINCT task_id) AS count
      FROM why_failure failure LEFT JOIN why_node node ON failure.block IS NULL
        AND uid = substr(text, 15, instr(text, ''',') - 15)
      WHERE finding = ? GROUP BY 1, 2, 3 ORDER BY count DESC`,
    )
    .all(finding);
  const told = rows
    .slice(0, mostPlaces)
    .map((place) => `${counted(place.count, "task")} on ${nameOf(place)}: ${fateOf(db, place, completed)}.`);
  return rows.length > mostPlaces
    ? [...told, `And ${counted(rows.length - mostPlaces, "more node")}, which the query shows.`]
    : told;
}

interface Memory {
  readonly host: string;
  readonly taskId: number;
  readonly sampled: string | null;
  readonly tasks: number;
  readonly own: number | null;
  readonly all: number | null;
  readonly used: number | null;
  readonly node: number | null;
  readonly before: number | null;
}

function memoryOf(db: Database.Database, finding: string, condition: string): Memory[] {
  return db
    .prepare<[string], Memory>(
      `SELECT memory.host, task_id AS taskId, sampled, tasks, own_bytes AS own, tasks_bytes AS "all", used_share AS used,
        node_bytes AS node, (julianday(returned) - julianday(sampled)) * 86400 AS before
      FROM why_memory memory JOIN why_failure USING (task_id, try_id) WHERE finding = ? AND ${condition}
      ORDER BY tasks_bytes DESC LIMIT 3`,
    )
    .all(finding);
}

function memoryNear(db: Database.Database): string[] {
  return memoryOf(db, "memory-killer", isNearSql).map((memory) => `${memorySentence(memory)}.`);
}

function memorySentence({ host, taskId, sampled, tasks, own, all, used, node, before }: Memory): string {
  const parts: string[] = [];
  if (all !== null && node !== null) {
    const ago = before === null ? "" : `, ${before.toFixed(1)} s before its end was known`;
    const whose =
      tasks > 1 ? `the ${digits(tasks)} tasks on ${host} had ${size(all)}` : `the task had ${size(all)}`;
    const share = `${size(node)} (${percent(all / node)})`;
    parts.push(`at ${second(sampled ?? "")} (task ${String(taskId)}${ago}) ${whose} of its node's ${share}`);
    if (tasks > 1 && own !== null) parts.push(`this task ${size(own)}`);
  }
  if (used !== null)
    parts.push(`${host} as a whole used up to ${percent(used)} of its memory shortly before`);
  return parts.join(", ").replace(/^./, (letter) => letter.toUpperCase());
}

function memoryNotNear(db: Database.Database): string[] {
  const [most] = memoryOf(db, "lost-worker", "tasks_bytes IS NOT NULL AND node_bytes IS NOT NULL");
  if (most?.all == null || most.node === null) {
    return ["Without samples of these tries, how much memory they had is not known."];
  }
  return [
    `Memory was not near the node's limit in the samples of the last ${String(minutesBefore)} minutes: ${size(most.all)} of ${size(most.node)} ` +
      `(${percent(most.all / most.node)}) at most, by all tasks there. What came after them is not known.`,
  ];
}

function memoryOfLost(db: Database.Database): string[] {
  return memoryOf(db, "lost-node", isNearSql)
    .slice(0, 1)
    .map(
      (memory) =>
        `Memory may be why: ${memorySentence(memory).replace(/^./, (letter) => letter.toLowerCase())}.`,
    );
}

function ranFor(db: Database.Database, finding: string): string[] {
  const { least, most } = db
    .prepare<[string], { least: number | null; most: number | null }>(
      `SELECT min(seconds) AS least, max(seconds) AS most FROM (
        SELECT (julianday(returned) - julianday(running)) * 86400 AS seconds FROM why_failure WHERE finding = ?)`,
    )
    .get(finding) ?? { least: null, most: null };
  if (least === null || most === null) return ["How long that was is not in the file."];
  const range = most - least < 0.1 ? least.toFixed(1) : `${least.toFixed(1)} to ${most.toFixed(1)}`;
  return [`From its start until Parsl knew of its end each took ${range} s.`];
}

const ranForSql =
  "round((julianday(task_try_time_returned) - julianday(task_try_time_running)) * 86400, 1) AS seconds";

function toldExceptions(db: Database.Database): string[] {
  return db
    .prepare<[], string>("SELECT DISTINCT exception FROM why_failure WHERE finding GLOB 'exception:*'")
    .pluck()
    .all();
}

/** Tries at which a task failed for good. */
function failedQuery({ sql }: RunFacts, condition: string, more = ""): string {
  return `SELECT task_id, try_id, task_func_name, hostname, block_id, task_fail_history${more === "" ? "" : `, ${more}`}
FROM try JOIN status USING (run_id, task_id, try_id) JOIN task USING (run_id, task_id)
WHERE run_id = ${sql} AND task_status_name = 'failed'
  AND ${condition}
ORDER BY task_id;`;
}

/** Tries that failed, also where another try of the task came after them. */
function triesQuery({ sql }: RunFacts, condition: string): string {
  return `SELECT task_id, try_id, hostname, block_id, task_try_time_running, task_try_time_returned, task_fail_history,
  (SELECT max(psutil_process_memory_resident) FROM resource WHERE resource.run_id = try.run_id
    AND resource.task_id = try.task_id AND resource.try_id = try.try_id) AS most_memory_bytes
FROM try
WHERE run_id = ${sql} AND ${condition}
ORDER BY task_id, try_id;`;
}

function lostNodeQuery({ sql }: RunFacts): string {
  return `SELECT task_id, try_id, hostname, block_id, task_try_time_running, last_heartbeat, task_try_time_returned,
  task_fail_history
FROM try LEFT JOIN (SELECT hostname, block_id, max(last_heartbeat) AS last_heartbeat FROM node
  WHERE run_id = ${sql} GROUP BY hostname, block_id) USING (hostname, block_id)
WHERE run_id = ${sql} AND ${isKindSql("lost-node")}
ORDER BY task_id, try_id;`;
}

/** Tries that were killed for memory are told in another finding: what leaves them out, where there are any. */
function butKilled(db: Database.Database, run: RunFacts, code?: number): string {
  const isAny = db
    .prepare("SELECT 1 FROM why_failure WHERE finding = 'memory-killer' AND (code = ? OR ? IS NULL)")
    .get(code ?? null, code ?? null);
  if (isAny === undefined) return "";
  const killed = killedSelect(db, run).replaceAll("\n", "\n    ");
  return `\n  AND (task_id, try_id) NOT IN (SELECT task_id, try_id FROM (\n    ${killed}))`;
}

function killedQuery(db: Database.Database, run: RunFacts): string {
  return `${killedSelect(db, run)}
ORDER BY killed.task_id, killed.try_id;`;
}

function killedSelect(db: Database.Database, { sql }: RunFacts): string {
  const suspects = `SELECT * FROM try WHERE run_id = ${sql} AND task_try_time_running IS NOT NULL
    AND ${killedSql}`;
  return `${memorySql(db, {
    suspects,
    beside: "JOIN try beside ON",
    nodes: `SELECT hostname, max(total_memory) AS bytes FROM node WHERE run_id = ${sql} GROUP BY hostname`,
  })}
HAVING ${isNearSql}`;
}
