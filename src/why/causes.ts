import type { Finding } from "../view/api.js";

/** What Parsl keeps of a failed try: `repr` of its exception (DataFlowKernel.handle_exec_update), as
 *  "BashExitFailure('align', 3)". */
const history = "task_fail_history";

/** Causes that can be told by an exception, as patterns of GLOB. The first that matches holds: an error of a bash app that
 *  says "command not found" is one of the environment, another exit code is not. */
const patterns = {
  dependency: ["DependencyError(*", "JoinError(*"],
  "lost-node": ["ManagerLost(*"],
  "lost-worker": ["WorkerLost(*"],
  "out-of-memory": ["MemoryError(*", "_ArrayMemoryError(*", "OutOfMemoryError(*", "OSError(12, *"],
  "wall-time": ["AppTimeout(*"],
  environment: [
    "ModuleNotFoundError(*",
    "ImportError(*",
    "DeserializationError(*",
    "DeserializerPluginError(*",
    "UnpicklingError(*",
    `AttributeError("Can't get attribute*`, // a pickle that names what the worker's module does not have
    "TypeError(*code*argument*", // a function of another Python: its code object has other parts
    "BadStateException(*VersionMismatch(*",
    "BashExitFailure(*, 126)",
    "BashExitFailure(*, 127)",
  ],
  block: ["BadStateException(*", "ScalingFailed(*"],
  "exit-code": ["BashExitFailure(*"],
} as const satisfies Partial<Record<Finding["kind"], readonly string[]>>;

type ToldKind = keyof typeof patterns;

/** Kinds of which each try counts, also one whose task ended well in the end: what broke them was not the task. */
export const ofThePlace: readonly string[] = ["lost-node", "lost-worker", "out-of-memory"];

/** The kind of a failed try, as an expression over its row; "exception" for what is no other. */
export const kindSql = `CASE ${Object.entries(patterns)
  .map(([kind, globs]) => `WHEN ${anyOf(globs)} THEN ${quoted(kind)}`)
  .join(" ")} ELSE 'exception' END`;

/** Whether a try failed by this kind, as a condition that stands alone. */
export function isKindSql(kind: ToldKind): string {
  const globs: readonly string[] = patterns[kind];
  return without(
    kind,
    globs.map((glob) => nameOf(glob)),
    anyOf(globs),
  );
}

/** Exit code of a bash app; negative for the signal that ended its shell. */
export const exitCodeSql = `CAST(substr(${history}, instr(${history}, ''', ') + 3) AS INTEGER)`;

export function isExitCodeSql(code: number): string {
  return `${history} GLOB ${quoted(`BashExitFailure(*, ${String(code)})`)}`;
}

/** Longest name of an exception, in characters; what is no name is cut there. */
const longestName = 60;

const head = `substr(${history}, 1, instr(${history}, '(') - 1)`;

/** Name of a try's exception. One with a `repr` of its own goes by the first characters of that, one that Parsl did not
 *  keep by ''. */
export const exceptionSql = `CASE WHEN ${history} GLOB '[A-Za-z_]*(*' AND ${head} NOT GLOB '*[^A-Za-z0-9_.]*' THEN ${head} ELSE substr(coalesce(${history}, ''), 1, ${String(longestName)}) END`;

/** Whether a try failed by an exception of this name that is none of the told kinds. */
export function isExceptionSql(name: string): string {
  if (name === "") return `coalesce(${history}, '') = ''`;
  if (/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) {
    return without("exception", [name], `${history} GLOB ${quoted(`${name}(*`)}`);
  }
  return `substr(${history}, 1, ${String(longestName)}) = ${quoted(name)}`;
}

/** An exception of none of these names and of no told kind. */
export function isOtherExceptionSql(names: readonly string[]): string {
  const ours = Object.values(patterns).flat();
  return `NOT coalesce(${anyOf(ours)}, 0) AND ${exceptionSql} NOT IN (${names.map(quoted).join(", ")})`;
}

/** A text as SQL has it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** The condition without what an earlier kind takes of the same exceptions. */
function without(kind: string, names: readonly string[], condition: string): string {
  const kinds = Object.keys(patterns);
  const earlier = Object.values(patterns).slice(0, kinds.includes(kind) ? kinds.indexOf(kind) : undefined);
  const taken = earlier.flat().filter((glob) => names.includes(nameOf(glob)));
  return taken.length === 0 ? `(${condition})` : `(${condition}) AND NOT (${anyOf(taken)})`;
}

function nameOf(glob: string): string {
  return glob.slice(0, glob.indexOf("("));
}

function anyOf(globs: readonly string[]): string {
  return globs.map((glob) => `${history} GLOB ${quoted(glob)}`).join(" OR ");
}
