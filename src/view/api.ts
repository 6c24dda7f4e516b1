/** What the page and whoever else asks over HTTP gets: the JSON of each address under /api. Types only: the browser's code
 *  imports them too.
 *
 *  Times are milliseconds since 1970 in UTC, with fractions; the page shows them in `Source.timezone`. Durations are
 *  seconds, sizes bytes. What is not known is null, never 0. All addresses take GET, and change nothing. An error is
 *  `ApiError` with its HTTP status. */

/** A time, in ms since 1970 in UTC. */
export type Time = number;

/** Parsl's names of a task's states (parsl.dataflow.states.States). */
export type TaskState =
  | "unsched"
  | "pending"
  | "launched"
  | "joining"
  | "running"
  | "running_ended"
  | "exec_done"
  | "memo_done"
  | "failed"
  | "dep_fail"
  | "fail_retryable";

/** GET /api/source: the file behind the page, and how far it has been read into the index. */
export interface Source {
  /** The file's name without its directory. */
  readonly file: string;
  /** Whether a collector wrote it (then there is a ledger), or Parsl's own hub. */
  readonly hasLedger: boolean;
  /** IANA name of the zone of the times in the file. */
  readonly timezone: string;
  readonly version: string;
  readonly indexed: Indexed;
}

/** Rows of the file's status table that are in the index, and that there are. Pages are right for what is indexed. */
export interface Indexed {
  readonly rows: number;
  readonly ofRows: number;
}

/** Whether messages of a run are missing, from the ledger. */
export interface Completeness {
  readonly state: "running" | "completed" | "lost";
  /** Each of its senders has said how many messages it sent, and all of them are stored or kept as rejected. */
  readonly complete: boolean;
  readonly stored: number;
  readonly rejected: number;
  readonly missing: number;
  readonly lost: number;
  /** Why it is not complete, in sentences; empty when it is. */
  readonly lacks: readonly string[];
}

/** GET /api/runs → RunSummary[], the latest first. */
export interface RunSummary {
  readonly runId: string;
  readonly workflow: string | null;
  readonly version: string | null;
  readonly host: string;
  readonly user: string;
  readonly began: Time;
  readonly completed: Time | null;
  /** The latest time that any row of it bears. */
  readonly lastHeard: Time;
  readonly tasks: number;
  /** Tasks that are in each state now; states without any are left out. */
  readonly states: Readonly<Partial<Record<TaskState, number>>>;
  /** null where there is no ledger. */
  readonly completeness: Completeness | null;
}

/** GET /api/runs/RUN */
export interface RunDetail extends RunSummary {
  readonly rundir: string;
  readonly apps: readonly AppSummary[];
  readonly executors: readonly string[];
  readonly hosts: readonly string[];
  readonly blocks: readonly BlockSummary[];
  readonly nodes: readonly NodeSummary[];
  readonly progress: Progress;
}

export interface AppSummary {
  readonly app: string;
  readonly tasks: number;
  readonly states: Readonly<Partial<Record<TaskState, number>>>;
  /** Of its tries that have ended: from running to returned. */
  readonly medianSeconds: number | null;
}

export interface BlockSummary {
  readonly executor: string;
  readonly block: string;
  readonly job: string | null;
  /** Each status that the provider told, in order of time. */
  readonly states: readonly { readonly at: Time; readonly status: string }[];
}

export interface NodeSummary {
  readonly host: string;
  readonly block: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly workers: number;
  readonly firstSeen: Time;
  readonly lastHeartbeat: Time;
  readonly active: boolean;
}

/** How far a run is, by the tasks submitted so far. */
export interface Progress {
  readonly done: number;
  readonly failed: number;
  readonly open: number;
  /** Tasks that ended, a second, over the last minute that had any (a whole finished run: over all of it). */
  readonly perSecond: number | null;
  /** Seconds until the open tasks have ended at that rate; null when that cannot be said (no rate, or it has ended). */
  readonly secondsLeft: number | null;
}

/** GET /api/runs/RUN/timeline?from=&to=&points=600: what was at each of `times`, which are evenly spaced. */
export interface Timeline {
  readonly from: Time;
  readonly to: Time;
  readonly times: readonly Time[];
  /** Tasks in each state at each time. */
  readonly states: Readonly<Partial<Record<TaskState, readonly number[]>>>;
  /** Tasks that ended a second, between the time before and this one. */
  readonly endedPerSecond: readonly number[];
  /** Workers of the nodes that were there; null where no node row says. */
  readonly workers: readonly (number | null)[];
  /** Tries that ran. */
  readonly busy: readonly number[];
  readonly nodes: readonly number[];
  readonly blocks: readonly number[];
}

export type TaskColumn =
  | "task"
  | "app"
  | "state"
  | "executor"
  | "block"
  | "host"
  | "submitted"
  | "began"
  | "ended"
  | "seconds"
  | "tries"
  | "failure";

/** GET /api/runs/RUN/tasks?offset=0&limit=100&sort=COLUMN&order=asc|desc&search=TEXT&state=&app=&executor=&block=&host=
 *  `search`: a task's number, or a part of app, host, block or failure. A filter may be repeated: any of its values. */
export interface TaskPage {
  /** Tasks that match, of all pages. */
  readonly total: number;
  readonly offset: number;
  readonly rows: readonly TaskRow[];
}

export interface TaskRow {
  readonly task: number;
  readonly app: string;
  readonly state: TaskState;
  readonly executor: string | null;
  /** Of its last try. */
  readonly block: string | null;
  readonly host: string | null;
  readonly submitted: Time | null;
  /** When its last try began to run, and when it (or, without a run, the task) ended. */
  readonly began: Time | null;
  readonly ended: Time | null;
  readonly seconds: number | null;
  readonly tries: number;
  /** The exception of its last failure, cut at 200 characters. */
  readonly failure: string | null;
}

/** GET /api/runs/RUN/tasks/TASK */
export interface TaskDetail extends TaskRow {
  readonly inputs: string | null;
  readonly outputs: string | null;
  readonly stdin: string | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly memoized: boolean;
  readonly hashsum: string | null;
  readonly returned: Time | null;
  readonly failCount: number;
  readonly failCost: number;
  readonly attempts: readonly Try[];
  readonly dependsOn: readonly TaskLink[];
  /** The first 200 of them, and how many there are. */
  readonly dependents: readonly TaskLink[];
  readonly dependentCount: number;
}

export interface TaskLink {
  readonly task: number;
  readonly app: string;
  readonly state: TaskState;
}

export interface Try {
  readonly try: number;
  readonly executor: string;
  readonly block: string | null;
  readonly host: string | null;
  readonly launched: Time | null;
  readonly began: Time | null;
  readonly returned: Time | null;
  readonly failure: string | null;
  readonly joins: string | null;
  readonly states: readonly { readonly at: Time; readonly state: TaskState }[];
  readonly samples: readonly Sample[];
}

/** One row of the resource table: of a try's process and its descendants. Totals since the try began. */
export interface Sample {
  readonly at: Time;
  readonly cpuSeconds: number | null;
  readonly residentBytes: number | null;
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
}

/** GET /api/runs/RUN/graph?level=task|app: what depends on what. By app (an edge says how many dependencies of tasks it
 *  stands for) when there are more tasks than 500, unless `level` asks. */
export interface Graph {
  readonly level: "task" | "app";
  readonly nodes: readonly {
    /** The task's number or the app's name. */
    readonly id: string;
    readonly label: string;
    readonly tasks: number;
    readonly states: Readonly<Partial<Record<TaskState, number>>>;
  }[];
  readonly edges: readonly { readonly from: string; readonly to: string; readonly count: number }[];
}

/** GET /api/runs/RUN/workers?from=&to=&most=5000: when which worker ran what. Parsl does not say which worker of a node ran
 *  a try: tries that overlap are put on lanes of their own, as few as it takes. */
export interface Workers {
  readonly from: Time;
  readonly to: Time;
  readonly lanes: readonly { readonly block: string | null; readonly host: string; readonly lane: number }[];
  /** `lane` is an index into `lanes`. `to` is null for a try that runs still. */
  readonly bars: readonly {
    readonly lane: number;
    readonly from: Time;
    readonly to: Time | null;
    readonly task: number;
    readonly try: number;
    readonly app: string;
    readonly failed: boolean;
  }[];
  /** Tries in this time; more than `bars` when that had to be cut at `most` (then the longest are shown). */
  readonly tries: number;
}

/** GET /api/runs/RUN/resources: what the tasks of each app took, as distributions. */
export interface Resources {
  readonly apps: readonly {
    readonly app: string;
    /** Tasks with samples (an estimate where there are many), and those that these figures are from (2,000 at most, from all
     *  over the run). */
    readonly tasks: number;
    readonly sampled: number;
    readonly cpuSeconds: Distribution | null;
    readonly peakResidentBytes: Distribution | null;
    readonly readBytes: Distribution | null;
    readonly writtenBytes: Distribution | null;
    readonly wallSeconds: Distribution | null;
  }[];
}

export interface Distribution {
  readonly min: number;
  readonly p25: number;
  readonly median: number;
  readonly p75: number;
  readonly p95: number;
  readonly max: number;
}

/** GET /api/runs/RUN/why, and `parsl-collector why --json`: why tasks failed. */
export interface Why {
  readonly runId: string;
  /** One or two sentences that sum it up. */
  readonly summary: string;
  readonly findings: readonly Finding[];
}

export interface Finding {
  readonly kind:
    | "exception"
    | "exit-code"
    | "out-of-memory"
    | "wall-time"
    | "lost-node"
    | "lost-worker"
    | "dependency"
    | "environment"
    | "retry-helped"
    | "retry-did-not-help"
    | "never-ended"
    | "block";
  readonly severity: "failure" | "warning" | "note";
  /** One plain sentence: what, how many, where. */
  readonly title: string;
  /** More sentences: what is known, and what to do. */
  readonly detail: readonly string[];
  /** How many tasks it is about, and the first 20 of them; a block without tasks has none. */
  readonly count: number;
  readonly tasks: readonly number[];
  readonly groups: Readonly<
    Partial<
      Record<
        "exception" | "app" | "host" | "block",
        readonly { readonly value: string; readonly count: number }[]
      >
    >
  >;
  /** SQL over the file's tables that shows it, ready to paste into sqlite3. */
  readonly query: string;
}

/** GET /api/events: server-sent events. `event: change` with this as data, each with an `id`; whoever comes back with
 *  Last-Event-ID is told at once what changed since. At most four a second; a comment each 15 s of silence. */
export interface Change {
  readonly runs: readonly string[];
  readonly indexed: Indexed;
}

export interface ApiError {
  /** What failed, of what, why, and the cure. */
  readonly error: string;
}
