import { useQuery } from "@tanstack/react-query";
import { GraphChart } from "echarts/charts";
import { use, type EChartsType } from "echarts/core";
import { useEffect, useMemo, useRef, useState, type JSX } from "react";
import { Link, useLocation, useSearchParams } from "wouter";

import type { Graph as Answer, TaskState } from "../../view/api.js";
import { runAddress, taskAddress } from "../addresses.js";
import { previous, queries } from "../api.js";
import { Chart, Disclosure, useColors } from "../chart.js";
import { count, counted } from "../format.js";
import { Answered, DataTable, Page } from "../page.js";
import { StateCounts, stateNames } from "../states.js";
import type { Layout, Shape } from "./graph-layout.js";
import { dependencies, drawnHeight, graphOption } from "./graph-option.js";

use([GraphChart]);

/** Above so many tasks nobody could tell them apart, and a layout would take minutes. */
const drawnTasks = 2_000;
/** A table of more rows is of use to nobody. */
const tableRows = 1_000;
type Node = Answer["nodes"][number];

export default function Graph({ runId }: { readonly runId: string }): JSX.Element {
  const { data: run } = useQuery(queries.run(runId));
  const [parameters, setParameters] = useSearchParams();
  const wanted = parameters.get("level");
  const level = wanted === "task" || wanted === "app" ? wanted : undefined;
  const graph = useQuery({ ...queries.graph(runId, level), ...previous });
  const tooMany = run !== undefined && run.tasks > drawnTasks;

  return (
    <Page title="Graph" of={run?.workflow ?? undefined}>
      <fieldset className="switch">
        <legend>A node for each</legend>
        {(["app", "task"] as const).map((one) => (
          <label key={one}>
            <input
              type="radio"
              name="level"
              checked={(level ?? graph.data?.level) === one}
              disabled={one === "task" && tooMany}
              onChange={() => setParameters({ level: one })}
            />
            {one}
          </label>
        ))}
        {tooMany ? (
          <span className="muted">Of more than {count(drawnTasks)} tasks each one is not drawn.</span>
        ) : null}
      </fieldset>
      <Answered query={graph}>
        {(answer) =>
          answer.nodes.length === 0 ? (
            <p>This run has no task yet.</p>
          ) : (
            <Drawing runId={runId} graph={answer} />
          )
        }
      </Answered>
    </Page>
  );
}

function Drawing({ runId, graph }: { readonly runId: string; readonly graph: Answer }): JSX.Element {
  const [, navigate] = useLocation();
  const colors = useColors();
  const chart = useRef<EChartsType>(undefined);
  const layout = useLayout(graph);
  const total = useMemo(() => sum(graph.nodes), [graph]);
  const address = (node: Node): string => addressOf(runId, graph.level, node);

  const option = useMemo(
    () => (layout === undefined ? undefined : graphOption(graph, layout, colors)),
    [graph, layout, colors],
  );

  const label = `${counted(graph.nodes.length, graph.level)} and ${dependencies(graph.edges.length)} between them, what is depended on above what depends on it.`;
  return (
    <>
      <StateCounts counts={total} />
      {option === undefined ? (
        <p role="status" className="muted" style={{ height: drawnHeight }}>
          Laying {counted(graph.nodes.length, graph.level)} out…
        </p>
      ) : (
        <>
          <div className="panel">
            <Zoom chart={chart} />
            <Chart
              label={label}
              option={option}
              height={drawnHeight}
              instance={chart}
              onClick={({ dataType, name }) => {
                const node = dataType === "node" ? graph.nodes.find(({ id }) => id === name) : undefined;
                if (node !== undefined) navigate(address(node));
              }}
            />
          </div>
          <p className="muted">
            A click opens {graph.level === "app" ? "an app's tasks" : "a task"}; the wheel zooms, dragging
            moves.
          </p>
        </>
      )}
      <Disclosure summary="As tables">{() => <Tables graph={graph} address={address} />}</Disclosure>
    </>
  );
}

function Zoom({ chart }: { readonly chart: { readonly current: EChartsType | undefined } }): JSX.Element {
  function zoom(by: number): void {
    const [originX, originY] = [(chart.current?.getWidth() ?? 0) / 2, drawnHeight / 2];
    chart.current?.dispatchAction({ type: "graphRoam", seriesId: "graph", zoom: by, originX, originY });
  }
  return (
    <div className="zoom" role="group" aria-label="Zoom">
      <button type="button" aria-label="Zoom in" onClick={() => zoom(1.5)}>
        +
      </button>
      <button type="button" aria-label="Zoom out" onClick={() => zoom(1 / 1.5)}>
        −
      </button>
      <button
        type="button"
        onClick={() => chart.current?.setOption({ series: [{ id: "graph", zoom: 1, center: null }] })}
      >
        Fit
      </button>
    </div>
  );
}

function Tables({
  graph,
  address,
}: {
  readonly graph: Answer;
  readonly address: (node: Node) => string;
}): JSX.Element {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const link = (id: string): JSX.Element => {
    const node = nodes.get(id);
    return node === undefined ? <>{id}</> : <Link href={address(node)}>{node.label}</Link>;
  };
  const cut = (rows: number): string => (rows > tableRows ? `, the first ${count(tableRows)}` : "");
  return (
    <div className="columns wide">
      <DataTable
        caption={`${counted(graph.edges.length, "edge")}${cut(graph.edges.length)}`}
        columns={[
          { name: "This", cell: ({ from }: Answer["edges"][number]) => link(from) },
          { name: "is needed by", cell: ({ to }) => link(to) },
          { name: "Dependencies", numeric: true, cell: ({ count: some }) => count(some) },
        ]}
        rows={graph.edges.slice(0, tableRows)}
      />
      <DataTable
        caption={`${counted(graph.nodes.length, graph.level)}${cut(graph.nodes.length)}`}
        columns={[
          { name: graph.level === "app" ? "App" : "Task", cell: ({ id }: Node) => link(id) },
          { name: "Tasks", numeric: true, cell: ({ tasks }) => count(tasks) },
          { name: "States", cell: (node) => <StateCounts counts={node.states} /> },
        ]}
        rows={graph.nodes.slice(0, tableRows)}
      />
    </div>
  );
}

/** The latest layout of the graph that is done: states alone do not change it. */
function useLayout({ level, nodes, edges }: Answer): Layout | undefined {
  const [layout, setLayout] = useState<Layout & { readonly level: string }>();
  const worker = useRef<{ readonly ask: (shape: Shape, level: string) => void }>(undefined);

  useEffect(() => {
    const thread = new Worker(graphWorker, { type: "module" });
    let waiting: (() => void) | undefined;
    let busy = false;
    worker.current = {
      ask(shape, of) {
        const ask = (): void => {
          busy = true;
          thread.onmessage = ({ data }: MessageEvent<Layout>) => {
            busy = false;
            setLayout({ ...data, level: of });
            waiting?.();
          };
          thread.postMessage(shape);
          waiting = undefined;
        };
        // A run that grows faster than it is laid out: only its latest shape is worth the work.
        if (busy) waiting = ask;
        else ask();
      },
    };
    return () => thread.terminate();
  }, []);

  const shape = useMemo((): Shape => {
    const index = new Map(nodes.map(({ id }, place) => [id, place]));
    const size =
      level === "app" || nodes.length <= 40 ? { width: 150, height: 44 } : { width: 24, height: 24 };
    return {
      nodes: nodes.map(({ id }) => id),
      edges: edges.flatMap(({ from, to }) =>
        from === to ? [] : [[index.get(from) ?? 0, index.get(to) ?? 0] as const],
      ),
      ...size,
    };
  }, [level, nodes, edges]);
  const form = JSON.stringify(shape);
  useEffect(() => worker.current?.ask(JSON.parse(form) as Shape, level), [form, level]);

  return layout?.level === level ? layout : undefined;
}

function addressOf(runId: string, level: Answer["level"], { id }: Node): string {
  if (level === "task") return taskAddress(runId, Number(id));
  return runAddress(runId, "tasks", `?${new URLSearchParams({ app: id }).toString()}`);
}

function sum(nodes: readonly Node[]): Partial<Record<TaskState, number>> {
  const total: Partial<Record<TaskState, number>> = {};
  for (const node of nodes) {
    for (const state of stateNames) {
      const some = node.states[state];
      if (some !== undefined) total[state] = (total[state] ?? 0) + some;
    }
  }
  return total;
}

/** The address of graph-worker.ts, by scripts/lib/web.mjs. */
declare const graphWorker: string;
