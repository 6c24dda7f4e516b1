import { BadRequest, countsOf, type Data, type IndexedRun } from "./answers.js";
import type { Graph } from "./api.js";
import { taskKey, taskOfKey } from "./index-file.js";
import { stateOf } from "./states.js";

/** Tasks that are shown one by one unless somebody asks for it. */
const fewTasks = 500;

/** Tasks that are shown one by one at most. */
const mostTasks = 5_000;

/** What depends on what in a run. Throws NotFound, and BadRequest for a run with too many tasks to show each. */
export function graphOf(data: Data, runId: string, asked: "task" | "app" | undefined): Graph {
  const run = data.run(runId);
  const { tasks = 0 } =
    data.row<{ tasks: number | null }>("SELECT sum(tasks) AS tasks FROM tally WHERE run = ?", run.id) ?? {};
  const count = tasks ?? 0;
  if ((asked ?? (count > fewTasks ? "app" : "task")) === "app") return byApp(data, run);
  if (count <= mostTasks) return byTask(data, run);
  throw new BadRequest(
    `show each task of run ${runId}: it has ${String(count)}, and more than ${String(mostTasks)} are no picture; ` +
      "ask for level=app",
  );
}

function byTask(data: Data, run: IndexedRun): Graph {
  const tasks = data.rows<{ id: number; app: number; state: number }>(
    "SELECT id, app, state FROM task WHERE run = ? ORDER BY id",
    run.id,
  );
  const edges = data.rows<{ parent: number; child: number }>(
    "SELECT parent, child FROM edge WHERE parent >= ? AND parent < ? ORDER BY parent, child",
    ...[taskKey(run.id, 0), taskKey(run.id + 1, 0)],
  );
  const there = new Set(tasks.map(({ id }) => id));
  const name = (key: number): string => String(taskOfKey(key));
  return {
    level: "task",
    nodes: tasks.map(({ id, app, state }) => ({
      ...{ id: name(id), label: `${data.word(app) ?? ""} ${name(id)}`, tasks: 1 },
      states: { [stateOf(state)]: 1 },
    })),
    edges: edges
      .filter(({ parent }) => there.has(parent))
      .map(({ parent, child }) => ({ from: name(parent), to: name(child), count: 1 })),
  };
}

function byApp(data: Data, run: IndexedRun): Graph {
  const tallies = data.rows<{ app: number; state: number; tasks: number }>(
    "SELECT app, state, tasks FROM tally WHERE run = ? AND tasks > 0",
    run.id,
  );
  const edges = data.rows<{ parent: number; child: number; edges: number }>(
    "SELECT parent, child, edges FROM app_edge WHERE run = ? AND edges > 0",
    run.id,
  );
  const apps = Map.groupBy(tallies, ({ app }) => app);
  const name = (app: number): string => data.word(app) ?? "";
  return {
    level: "app",
    nodes: [...apps]
      .map(([app, rows]) => ({
        ...{ id: name(app), label: name(app), states: countsOf(rows) },
        tasks: rows.reduce((sum, { tasks }) => sum + tasks, 0),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
    edges: edges
      .filter(({ parent, child }) => apps.has(parent) && apps.has(child))
      .map((edge) => ({ from: name(edge.parent), to: name(edge.child), count: edge.edges }))
      .sort((a, b) => (a.from === b.from ? (a.to < b.to ? -1 : 1) : a.from < b.from ? -1 : 1)),
  };
}
