import { useQuery } from "@tanstack/react-query";
import { LineChart } from "echarts/charts";
import { use, type EChartsCoreOption } from "echarts/core";
import { useMemo, type JSX } from "react";
import { Link } from "wouter";

import type { AppSummary, BlockSummary, NodeSummary, RunDetail, Time, Timeline } from "../../view/api.js";
import { runAddress } from "../addresses.js";
import { previous, queries } from "../api.js";
import { axis, Chart, TimeScale, useColors, type Colors } from "../chart.js";
import { Ledger, runState } from "../completeness.js";
import { bytes, count, counted, duration, figure, percent, rate, unknown, type Zone } from "../format.js";
import { Answered, DataTable, Figures, Page, Panel, useZone, type Column } from "../page.js";
import { StateCounts, stateNames, states, StatesBar } from "../states.js";

use([LineChart]);

export default function Overview({ runId }: { readonly runId: string }): JSX.Element {
  const run = useQuery(queries.run(runId));
  const timeline = useQuery({ ...queries.timeline(runId), ...previous });
  return (
    <Page title="Overview" of={run.data?.workflow ?? runId}>
      <Answered query={run}>{(answer) => <Summary run={answer} />}</Answered>
      <Answered query={timeline}>{(answer) => <Charts timeline={answer} />}</Answered>
      <Answered query={run}>{(answer) => <Parts run={answer} />}</Answered>
    </Page>
  );
}

function Summary({ run }: { readonly run: RunDetail }): JSX.Element {
  const zone = useZone();
  const { began, completed, lastHeard, progress, tasks } = run;
  const ended = progress.done + progress.failed;
  return (
    <>
      <Figures
        of={{
          State: runState(completed, run.completeness),
          Began: zone.named(began),
          ...(completed === null
            ? { "Last heard of": zone.named(lastHeard) }
            : { Ended: zone.named(completed) }),
          Duration: duration(((completed ?? lastHeard) - began) / 1000),
          Tasks: `${count(ended)} of ${count(tasks)} ended`,
          Failed: count(progress.failed),
          Rate: rate(progress.perSecond),
          ...(progress.secondsLeft === null
            ? {}
            : { "Left for these tasks": `about ${duration(progress.secondsLeft)}` }),
        }}
      />
      <div>
        <StatesBar counts={run.states} />
        <StateCounts counts={run.states} />
      </div>
    </>
  );
}

/** All of one time axis: a pointer in one shows the same time in all. */
const group = "overview";

function Charts({ timeline }: { readonly timeline: Timeline }): JSX.Element {
  const zone = useZone();
  const colors = useColors();
  const options = useMemo(() => new Options(timeline, zone, colors), [timeline, zone, colors]);
  const period = `from ${zone.named(timeline.from)} to ${zone.named(timeline.to)}`;
  return (
    <>
      <Panel title="Tasks by state">
        <Chart
          group={group}
          height={300}
          label={`Tasks by state ${period}: at the end ${lastCounts(timeline)}.`}
          option={options.states()}
          table={() => <StatesTable timeline={timeline} zone={zone} />}
        />
      </Panel>
      <div className="columns">
        <Panel title="Tasks that ended, a second">
          <Chart
            group={group}
            height={190}
            label={`Tasks that ended, a second, ${period}: at most ${figure(highest(rates(timeline).values))}.`}
            option={options.rate()}
            table={() => (
              <TimeTable
                caption="Tasks that ended, a second"
                timeline={timeline}
                zone={zone}
                columns={[["A second", (index) => figure(timeline.endedPerSecond[index] ?? 0)]]}
              />
            )}
          />
        </Panel>
        <Panel title="Workers">
          <Chart
            group={group}
            height={190}
            label={`Workers and those that were busy ${period}. ${utilization(timeline)}`}
            option={options.workers()}
            table={() => (
              <TimeTable
                caption="Workers"
                timeline={timeline}
                zone={zone}
                columns={[
                  ["There", (index) => known(timeline.workers[index])],
                  ["Busy", (index) => known(timeline.busy[index])],
                ]}
              />
            )}
          />
          <p className="muted">{utilization(timeline)}</p>
        </Panel>
        <Panel title="Blocks and nodes">
          <Chart
            group={group}
            height={190}
            label={`Blocks and nodes that were there ${period}: at most ${counted(highest(timeline.blocks), "block")} and ${counted(highest(timeline.nodes), "node")}.`}
            option={options.nodes()}
            table={() => (
              <TimeTable
                caption="Blocks and nodes"
                timeline={timeline}
                zone={zone}
                columns={[
                  ["Blocks", (index) => known(timeline.blocks[index])],
                  ["Nodes", (index) => known(timeline.nodes[index])],
                ]}
              />
            )}
          />
        </Panel>
      </div>
    </>
  );
}

const grid = { left: 8, right: 16, top: 36, bottom: 4, containLabel: true };

/** The charts of one timeline. */
class Options {
  readonly #timeline: Timeline;
  readonly #scale: TimeScale;
  readonly #colors: Colors;

  constructor(timeline: Timeline, zone: Zone, colors: Colors) {
    this.#timeline = timeline;
    this.#scale = new TimeScale(zone, timeline.from);
    this.#colors = colors;
  }

  states(): EChartsCoreOption {
    const some = stateNames.filter((state) => timelineHas(this.#timeline, state));
    return this.#option(
      some.map((state) => ({
        ...this.#line(states[state].label, this.#timeline.states[state] ?? [], this.#colors.states[state]),
        step: false,
        stack: "tasks",
        areaStyle: { opacity: 0.9 },
        lineStyle: { width: 0 },
      })),
    );
  }

  rate(): EChartsCoreOption {
    const { times, values } = rates(this.#timeline);
    const line = {
      ...this.#line("tasks a second", [], this.#colors.states.exec_done),
      data: times.map((at, index) => [this.#scale.place(at), values[index]]),
    };
    return {
      ...this.#option([{ ...line, step: "start", areaStyle: { opacity: 0.25 } }]),
      grid: { ...grid, top: 12 },
      legend: { show: false },
    };
  }

  workers(): EChartsCoreOption {
    const { workers, busy } = this.#timeline;
    return this.#option([
      { ...this.#line("busy", busy, this.#colors.states.running), areaStyle: { opacity: 0.35 } },
      { ...this.#line("there", workers, this.#colors.text), lineStyle: { type: "dashed", width: 1.5 } },
    ]);
  }

  nodes(): EChartsCoreOption {
    const { blocks, nodes } = this.#timeline;
    return this.#option([
      this.#line("nodes", nodes, this.#colors.accent),
      { ...this.#line("blocks", blocks, this.#colors.text), lineStyle: { type: "dashed", width: 1.5 } },
    ]);
  }

  #line(name: string, values: readonly (number | null)[], color: string): object {
    return {
      type: "line",
      name,
      color,
      step: "end",
      symbol: "none",
      lineStyle: { width: 1.5 },
      data: this.#timeline.times.map((at, index) => [this.#scale.place(at), values[index] ?? null]),
    };
  }

  #option(series: readonly object[]): EChartsCoreOption {
    const { from, to } = this.#timeline;
    return {
      grid,
      legend: {
        top: 0,
        left: 0,
        icon: "roundRect",
        itemWidth: 12,
        itemHeight: 10,
        textStyle: { color: this.#colors.text },
      },
      xAxis: {
        ...this.#scale.axis(this.#colors),
        min: this.#scale.place(from),
        max: this.#scale.place(to),
      },
      yAxis: { type: "value", minInterval: 1, ...axis(this.#colors) },
      series,
    };
  }
}

function StatesTable({ timeline, zone }: { readonly timeline: Timeline; readonly zone: Zone }): JSX.Element {
  return (
    <TimeTable
      caption="Tasks by state"
      timeline={timeline}
      zone={zone}
      columns={stateNames
        .filter((state) => timelineHas(timeline, state))
        .map((state) => [states[state].label, (index) => count(timeline.states[state]?.[index] ?? 0)])}
    />
  );
}

/** At most so many of a timeline's times are rows of its table. */
const mostRows = 60;

function TimeTable({
  caption,
  timeline: { times },
  zone,
  columns,
}: {
  readonly caption: string;
  readonly timeline: Timeline;
  readonly zone: Zone;
  readonly columns: readonly (readonly [string, (index: number) => string])[];
}): JSX.Element {
  const step = Math.max(1, Math.ceil(times.length / mostRows));
  // Counted from the end, which is what people want to know.
  const rows = times.map((_, index) => index).filter((index) => (times.length - 1 - index) % step === 0);
  return (
    <DataTable
      caption={caption}
      rows={rows}
      columns={[
        { name: `Time (${zone.name})`, cell: (index) => zone.time(times[index] ?? null) },
        ...columns.map(([name, cell]) => ({ name, cell, numeric: true })),
      ]}
    />
  );
}

function Parts({ run }: { readonly run: RunDetail }): JSX.Element {
  const zone = useZone();
  return (
    <>
      <Panel title="Apps">
        <DataTable
          caption={counted(run.apps.length, "app")}
          columns={appColumns(run.runId)}
          rows={run.apps}
        />
      </Panel>
      <div className="columns wide">
        <Panel title="Blocks">
          <DataTable
            caption={counted(run.blocks.length, "block")}
            columns={blockColumns(zone)}
            rows={run.blocks}
          />
        </Panel>
        <Panel title="Nodes">
          <DataTable
            caption={counted(run.nodes.length, "node")}
            columns={nodeColumns(zone)}
            rows={run.nodes}
          />
        </Panel>
        <Panel title="Completeness">
          <Ledger of={run.completeness} />
        </Panel>
        <Panel title="Run">
          <Figures
            of={{
              Run: <code>{run.runId}</code>,
              "Run directory": <code>{run.rundir}</code>,
              By: `${run.user} on ${run.host}`,
              Executors: run.executors.length === 0 ? unknown : run.executors.join(", "),
              ...(run.version === null ? {} : { "Version of the workflow": run.version }),
            }}
          />
        </Panel>
      </div>
    </>
  );
}

function appColumns(runId: string): Column<AppSummary>[] {
  return [
    {
      name: "App",
      cell: ({ app }) => (
        <Link href={runAddress(runId, "tasks", `?${new URLSearchParams({ app }).toString()}`)}>{app}</Link>
      ),
    },
    { name: "Tasks", cell: ({ tasks }) => count(tasks), numeric: true },
    { name: "Median run time", cell: ({ medianSeconds }) => duration(medianSeconds), numeric: true },
    {
      name: "Tasks by state",
      cell: ({ states: counts }) => (
        <>
          <StatesBar counts={counts} />
          <StateCounts counts={counts} />
        </>
      ),
    },
  ];
}

function blockColumns(zone: Zone): Column<BlockSummary>[] {
  return [
    { name: "Executor", cell: ({ executor }) => executor },
    { name: "Block", cell: ({ block }) => block },
    { name: "Job", cell: ({ job }) => job ?? unknown },
    {
      name: `States (${zone.name})`,
      cell: ({ states: told }) =>
        told.map(({ at, status }) => <div key={at}>{`${zone.time(at)} ${status}`}</div>),
    },
  ];
}

function nodeColumns(zone: Zone): Column<NodeSummary>[] {
  return [
    { name: "Host", cell: ({ host }) => host },
    { name: "Block", cell: ({ block }) => block },
    { name: "Workers", cell: ({ workers }) => count(workers), numeric: true },
    { name: "CPUs", cell: ({ cpus }) => count(cpus), numeric: true },
    { name: "Memory", cell: ({ memoryBytes }) => bytes(memoryBytes), numeric: true },
    {
      name: `Seen (${zone.name})`,
      cell: ({ firstSeen, lastHeartbeat, active }) =>
        `${zone.time(firstSeen)} to ${active ? "now" : zone.time(lastHeartbeat)}`,
    },
  ];
}

/** Of a second at least, or what is a hundredth of the time: single tasks do not make a rate. */
function rates({ times, endedPerSecond }: Timeline): { readonly times: Time[]; readonly values: number[] } {
  const stepMs = (times[1] ?? 0) - (times[0] ?? 0);
  const size = Math.max(Math.ceil(times.length / 100), stepMs > 0 ? Math.ceil(1000 / stepMs) : 1);
  const ends = times.map((_, index) => index).filter((index) => index > 0 && index % size === 0);
  return {
    times: ends.map((end) => times[end] ?? 0),
    values: ends.map((end) => {
      const values = endedPerSecond.slice(end - size + 1, end + 1);
      return values.reduce((sum, value) => sum + value, 0) / size;
    }),
  };
}

function timelineHas({ states: values }: Timeline, state: (typeof stateNames)[number]): boolean {
  return values[state]?.some((value) => value > 0) ?? false;
}

function lastCounts({ states: values }: Timeline): string {
  const words = stateNames
    .map((state) => [values[state]?.at(-1) ?? 0, states[state].label] as const)
    .filter(([value]) => value > 0)
    .map(([value, label]) => `${count(value)} ${label}`);
  return words.length === 0 ? "none" : words.join(", ");
}

function highest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

function known(value: number | null | undefined): string {
  return value === null || value === undefined ? unknown : count(value);
}

/** Of the time that workers were there, how much of it they ran tasks, in a sentence. */
function utilization({ workers, busy }: Timeline): string {
  const there = workers.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  if (there === 0) return "How many workers there were is not recorded.";
  const ran = busy.reduce((sum, value, index) => sum + (workers[index] === null ? 0 : value), 0);
  return `Of the time that workers were there, they ran tasks for ${percent(Math.min(1, ran / there))}.`;
}
