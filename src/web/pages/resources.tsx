import { useQuery } from "@tanstack/react-query";
import { BoxplotChart, ScatterChart } from "echarts/charts";
import { use } from "echarts/core";
import { useMemo, type JSX } from "react";
import { Link, useLocation } from "wouter";

import type { Distribution, Resources as Answer } from "../../view/api.js";
import { runAddress } from "../addresses.js";
import { queries } from "../api.js";
import { axis, byteTicks, Chart, useColors } from "../chart.js";
import { bytes, count, counted, duration, figure } from "../format.js";
import { Answered, DataTable, Page, Panel } from "../page.js";

use([BoxplotChart, ScatterChart]);

type App = Answer["apps"][number];

interface Measure {
  readonly name: string;
  readonly of: (app: App) => Distribution | null;
  readonly shown: (value: number) => string;
  /** Of a logarithmic axis: its ticks are powers of it. */
  readonly base: number;
  readonly tick: (value: number) => string;
  /** Of a linear axis from 0 to `most`, where ECharts' own are not round. */
  readonly ticks: (most: number) => object;
}

const time = {
  shown: duration,
  base: 10,
  tick: (seconds: number) => `${figure(seconds)} s`,
  ticks: () => ({}),
};
const size = { shown: bytes, base: 4, tick: bytes, ticks: byteTicks };

const measures: readonly Measure[] = [
  { name: "Wall time", of: (app) => app.wallSeconds, ...time },
  { name: "CPU time", of: (app) => app.cpuSeconds, ...time },
  { name: "Peak memory", of: (app) => app.peakResidentBytes, ...size },
  { name: "Read", of: (app) => app.readBytes, ...size },
  { name: "Written", of: (app) => app.writtenBytes, ...size },
];

export default function Resources({ runId }: { readonly runId: string }): JSX.Element {
  const { data: run } = useQuery(queries.run(runId));
  const resources = useQuery(queries.resources(runId));
  return (
    <Page title="Resources by app" of={run?.workflow ?? undefined}>
      <Answered query={resources}>
        {({ apps }) =>
          apps.length === 0 ? (
            <p>
              No task of this run has told what it took: Parsl&rsquo;s resource monitoring was off, or none
              ended.
            </p>
          ) : (
            <>
              <p className="muted">
                A box spans the middle half of the tasks with the median as its line, whiskers reach from the
                least to the most, and a diamond is where 95 % are below.
              </p>
              <Sampled runId={runId} apps={apps} />
              <div className="columns wide">
                {measures.map((measure) => (
                  <MeasurePanel key={measure.name} runId={runId} measure={measure} apps={apps} />
                ))}
              </div>
            </>
          )
        }
      </Answered>
    </Page>
  );
}

/** From how many tasks the figures of each app are. */
function Sampled({ runId, apps }: { readonly runId: string; readonly apps: readonly App[] }): JSX.Element {
  return (
    <ul className="counts" aria-label="Tasks of each app with samples">
      {apps.map(({ app, tasks, sampled }) => (
        <li key={app}>
          <Link href={runAddress(runId, "tasks", `?${new URLSearchParams({ app }).toString()}`)}>{app}</Link>:{" "}
          {from(tasks, sampled)}
        </li>
      ))}
    </ul>
  );
}

function from(tasks: number, sampled: number): string {
  if (tasks === 0) return "no samples, wall time alone";
  return sampled < tasks ? `from ${count(sampled)} of ${counted(tasks, "task")}` : counted(tasks, "task");
}

interface Box {
  readonly app: string;
  readonly of: Distribution;
}

/** The most that the axis may span before it is logarithmic: beyond, the small boxes would be lines. */
const linearSpread = 50;

function MeasurePanel({
  runId,
  measure,
  apps,
}: {
  readonly runId: string;
  readonly measure: Measure;
  readonly apps: readonly App[];
}): JSX.Element {
  const { name, shown } = measure;
  const [, navigate] = useLocation();
  const colors = useColors();
  const boxes = useMemo(
    () =>
      apps.flatMap((one): Box[] => {
        const of = measure.of(one);
        return of === null ? [] : [{ app: one.app, of }];
      }),
    [apps, measure],
  );

  const option = useMemo(() => {
    const { base, tick, ticks } = measure;
    const [lowest, highest] = range(boxes);
    const logarithmic = highest / lowest > linearSpread;
    const power = (value: number, round: (exponent: number) => number): number =>
      base ** round(Math.log(value) / Math.log(base));
    const left = logarithmic ? power(lowest, Math.floor) : 0;
    // A logarithmic axis has no 0: it stands at the left end.
    const place = (value: number): number => Math.max(value, left);
    const values = axis(colors);
    return {
      grid: { left: 8, right: 24, top: 8, bottom: 28, containLabel: true },
      xAxis: {
        ...values,
        ...(logarithmic
          ? { type: "log", logBase: base, min: left, max: power(highest, Math.ceil) }
          : { type: "value", min: 0, ...ticks(highest) }),
        name: logarithmic ? "logarithmic" : "",
        nameLocation: "middle",
        nameGap: 24,
        axisLabel: { color: colors.text, hideOverlap: true, formatter: logarithmic ? tick : shown },
      },
      yAxis: {
        ...values,
        type: "category",
        inverse: true,
        data: boxes.map(({ app }) => app),
        axisLabel: { color: colors.text, width: 160, overflow: "truncate" },
      },
      tooltip: {
        trigger: "item",
        formatter: ({ dataIndex }: { dataIndex: number }) => told(boxes[dataIndex], shown),
      },
      series: [
        {
          id: "boxes",
          type: "boxplot",
          boxWidth: [6, 18],
          itemStyle: { color: colors.line, borderColor: colors.accent, borderWidth: 1.5 },
          data: boxes.map(({ of }) => [of.min, of.p25, of.median, of.p75, of.max].map(place)),
        },
        {
          id: "p95",
          type: "scatter",
          symbol: "diamond",
          symbolSize: 9,
          itemStyle: { color: colors.bad },
          data: boxes.map(({ of }, index) => [place(of.p95), index]),
        },
      ],
    };
  }, [boxes, colors, measure, shown]);

  if (boxes.length === 0) {
    return (
      <Panel title={name}>
        <p className="muted">No task has told it.</p>
      </Panel>
    );
  }
  return (
    <Panel title={name}>
      <Chart
        label={`${name} by app: ${boxes.map(({ app, of }) => `${app} ${shown(of.median)}`).join(", ")} in the median.`}
        option={option}
        height={60 + boxes.length * 30}
        onClick={({ dataIndex }) => {
          const app = boxes[dataIndex]?.app;
          if (app !== undefined)
            navigate(runAddress(runId, "tasks", `?${new URLSearchParams({ app }).toString()}`));
        }}
        table={() => <BoxTable measure={measure} boxes={boxes} />}
      />
    </Panel>
  );
}

function BoxTable({
  measure,
  boxes,
}: {
  readonly measure: Measure;
  readonly boxes: readonly Box[];
}): JSX.Element {
  const { name, shown } = measure;
  const value = (column: string, key: keyof Distribution) => ({
    name: column,
    numeric: true,
    cell: ({ of }: Box) => shown(of[key]),
  });
  return (
    <DataTable
      caption={`${name} of the tasks of each app`}
      columns={[
        { name: "App", cell: ({ app }: Box) => app },
        value("Least", "min"),
        value("25 %", "p25"),
        value("Median", "median"),
        value("75 %", "p75"),
        value("95 %", "p95"),
        value("Most", "max"),
      ]}
      rows={boxes}
    />
  );
}

/** The smallest and the largest of the values, without those that are 0. */
function range(boxes: readonly Box[]): [number, number] {
  const values = boxes.flatMap(({ of }) => [of.min, of.p25, of.median, of.max]).filter((value) => value > 0);
  return values.length === 0 ? [1, 1] : [Math.min(...values), Math.max(...values)];
}

function told(box: Box | undefined, shown: (value: number) => string): string {
  if (box === undefined) return "";
  const { app, of } = box;
  return [
    app,
    `least ${shown(of.min)}, most ${shown(of.max)}`,
    `half between ${shown(of.p25)} and ${shown(of.p75)}`,
    `median ${shown(of.median)}`,
    `95 % below ${shown(of.p95)}`,
  ].join("\n");
}
