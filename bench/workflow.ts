import { runPython, scaled, type Setting } from "./part.js";
import { median, rounded, times, type Findings, type Target } from "./report.js";

/** Programs of no-op apps, how much slower than without monitoring each may be, in the first of its bursts, and how many
 *  times as many rounds as Parsl's own, which takes minutes, the others have: what a program on HTEX takes differs by half
 *  from round to round. */
const programs = [
  {
    name: "htex, a sample each 30 s",
    ...{ tasks: 300, executor: "htex", interval: 30, most: 1.5 },
    ...{ timesRounds: 4, bursts: 5 },
  },
  {
    name: "htex, no samples between",
    ...{ tasks: 300, executor: "htex", interval: 0, most: 1.4 },
    ...{ timesRounds: 4, bursts: 5 },
  },
  {
    name: "threads",
    ...{ tasks: 2_000, executor: "threads", interval: 30, most: 1.5 },
    ...{ timesRounds: 1, bursts: 1 },
  },
] as const;

/** What is less is left out of the tables of CPU time, in ms an app. */
const leastCpuMs = 0.005;

/** Fewer take less time than it takes to look at the clock twice. */
const leastTasks = 40;

/** What bench/parsl/workflow.py prints. */
interface WorkflowFigures {
  readonly off_tasks_per_s: number;
  /** Medians, as multiples of the time without monitoring. */
  readonly times_slower: Readonly<Record<"floor" | "ours" | "parsl", number>>;
  /** The same of each round. */
  readonly rounds: Readonly<Record<"ours" | "parsl", readonly number[]>>;
  /** Medians of what the same programs ran after it, where they did. */
  readonly later: Readonly<Partial<Record<"floor" | "ours", number>>>;
  /** CPU time of each process from the first app to the last, in ms an app. */
  readonly cpu_ms_a_task: Readonly<Record<Way, Readonly<Record<string, number>>>>;
}

const ways = ["off", "floor", "ours", "parsl"] as const;
type Way = (typeof ways)[number];

/** Real Parsl programs, without monitoring and with it. */
export async function measureWorkflow(setting: Setting): Promise<Findings> {
  const rows = [
    [
      "program",
      "apps",
      "without, apps/s",
      "floor",
      "ours",
      "of the rounds",
      "Parsl's",
      "floor later",
      "ours later",
    ],
  ];
  const targets: Target[] = [];
  const ratios: Record<string, number> = {};
  const panels = [];
  const cpuTables = [];
  for (const { name, tasks, executor, interval, most, timesRounds, bursts } of programs) {
    const count = String(scaled(tasks, setting, leastTasks));
    setting.say(`${count} apps, ${name}: without monitoring, with ours, with Parsl's`);
    const found = await runPython<WorkflowFigures>(
      setting,
      "workflow.py",
      ...[count, "--executor", executor, "--interval", String(interval)],
      ...["--rounds", String(setting.rounds * timesRounds), "--with-parsl", String(setting.rounds)],
      ...["--bursts", String(bursts), "--with-bursts", String(setting.rounds)],
    );
    const { floor, ours, parsl } = found.times_slower;
    rows.push([
      name,
      count,
      rounded(found.off_tasks_per_s),
      times(floor),
      times(ours),
      `${Math.min(...found.rounds.ours).toFixed(1)} to ${Math.max(...found.rounds.ours).toFixed(1)}`,
      times(parsl),
      ...[found.later.floor, found.later.ours].map((later) => (later === undefined ? "–" : times(later))),
    ]);
    targets.push({
      figure: `no-op apps, ${name}: slower than without`,
      wanted: `≤ ${times(most)}`,
      found: `${ours.toFixed(2)} times; Parsl's ${times(parsl)}`,
      isMet: ours <= most,
    });
    ratios[`${name}: Parsl's slowness by ours`] = parsl / ours;
    cpuTables.push({ title: `CPU of each process, ${name}: ms an app`, rows: cpuRows(found.cpu_ms_a_task) });
    panels.push({
      title: `No-op apps, ${name}: times slower than without monitoring (less is better)`,
      bars: [
        { label: "ours", value: ours, text: times(ours), isOurs: true },
        { label: "Parsl's", value: parsl, text: times(parsl), isOurs: false },
      ],
    });
  }
  const tables = [{ title: "Programs of no-op apps, two workers", rows }, ...cpuTables];
  return { tables, targets, ratios, panels };
}

/** A row for each process, with what it takes in each way, and one for all. */
function cpuRows(cpu: WorkflowFigures["cpu_ms_a_task"]): string[][] {
  const parts = [...new Set(ways.flatMap((way) => Object.keys(cpu[way])))].filter((part) =>
    ways.some((way) => (cpu[way][part] ?? 0) >= leastCpuMs),
  );
  const text = (ms: number | undefined): string => (ms === undefined ? "–" : ms.toFixed(2));
  return [
    ["process", "without", "floor", "ours", "Parsl's"],
    ...parts.map((part) => [part, ...ways.map((way) => text(cpu[way][part]))]),
    ["all", ...ways.map((way) => text(Object.values(cpu[way]).reduce((sum, ms) => sum + ms, 0)))],
  ];
}

/** Messages that a busy hub still holds when it is closed. */
const heldMessages = 20_000;

/** Longest close of an idle hub, in seconds. */
const mostIdleSeconds = 1;

/** What bench/parsl/close.py prints. */
interface CloseFigures {
  /** Null where it was not over within the script's LONGEST_S. */
  readonly seconds: number | null;
  readonly rows: number;
  /** Processes that are there after the close. */
  readonly left: number;
}

/** How long a hub takes to close: with nothing to do, and with messages that are on their way. */
export async function measureClose(setting: Setting): Promise<Findings> {
  const held = scaled(heldMessages, setting);
  const rows = [["hub", "messages on their way", "close", "of which hung", "rows", "processes left"]];
  const targets: Target[] = [];
  for (const count of [0, held]) {
    const found: Record<"ours" | "parsl", CloseFigures[]> = { ours: [], parsl: [] };
    for (let round = 1; round <= setting.rounds; round += 1) {
      for (const whose of ["ours", "parsl"] as const) {
        setting.say(`close of ${whose} with ${String(count)} messages, round ${String(round)}`);
        found[whose].push(await runPython<CloseFigures>(setting, "close.py", whose, String(count)));
      }
    }
    const of = (whose: "ours" | "parsl") => ({
      seconds: median(found[whose].map(({ seconds }) => seconds ?? Infinity)),
      hung: found[whose].filter(({ seconds }) => seconds === null).length,
      rows: Math.min(...found[whose].map((one) => one.rows)),
      left: Math.max(...found[whose].map(({ left }) => left)),
    });
    for (const [whose, name] of [
      ["ours", "ours"],
      ["parsl", "Parsl's"],
    ] as const) {
      const { seconds, hung, rows: least, left } = of(whose);
      rows.push([
        ...[name, rounded(count), secondsText(seconds)],
        ...[`${String(hung)} of ${String(found[whose].length)}`, rounded(least), String(left)],
      ]);
    }
    const ours = of("ours");
    targets.push(
      count === 0
        ? {
            figure: "close of an idle hub",
            wanted: `≤ ${String(mostIdleSeconds)} s`,
            found: secondsText(ours.seconds),
            isMet: ours.seconds <= mostIdleSeconds,
          }
        : {
            figure: `close with ${rounded(count)} messages on their way`,
            wanted: "all stored, nothing left behind",
            found: `${rounded(ours.rows)} rows in ${secondsText(ours.seconds)}, ${String(ours.left)} processes left`,
            isMet: ours.rows === count && ours.left === 0 && ours.hung === 0,
          },
    );
  }
  return { tables: [{ title: "Close of a hub", rows }], targets };
}

function secondsText(seconds: number): string {
  return seconds < Infinity ? `${seconds.toFixed(2)} s` : "never";
}
