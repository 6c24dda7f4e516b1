import { useQuery } from "@tanstack/react-query";
import { CustomChart } from "echarts/charts";
import { DataZoomComponent } from "echarts/components";
import { graphic, use, type EChartsCoreOption } from "echarts/core";
import { useEffect, useMemo, useRef, useState, type JSX } from "react";
import { Link, useLocation } from "wouter";

import type { Time, Workers as Answer } from "../../view/api.js";
import { taskAddress } from "../addresses.js";
import { previous, queries } from "../api.js";
import { axis, Chart, TimeScale, tooltip, useColors, type Colors } from "../chart.js";
import { count, counted, duration, type Zone } from "../format.js";
import { Answered, DataTable, Page, Panel, useZone } from "../page.js";
import { StateLabel } from "../states.js";

use([CustomChart, DataZoomComponent]);

interface Range {
  readonly from: Time;
  readonly to: Time;
}

/** How long a zoom rests until what is in it is asked for, in ms. */
const restMs = 200;
const mostBars = 5000;
const lanePx = 18;
const mostPx = 640;

export default function Workers({ runId }: { readonly runId: string }): JSX.Element {
  const run = useQuery(queries.run(runId));
  const whole = useQuery({ ...queries.workers(runId, { most: mostBars }), ...previous });
  return (
    <Page title="Workers" of={run.data?.workflow ?? runId}>
      <p className="muted">
        Each bar is a try of a task, from when it began to run until it returned. Parsl does not record which
        worker of a node ran it: tries that overlap are in lanes of their own.
      </p>
      <Answered query={whole}>{(answer) => <Gantt runId={runId} whole={answer} />}</Answered>
    </Page>
  );
}

function Gantt({ runId, whole }: { readonly runId: string; readonly whole: Answer }): JSX.Element {
  const zone = useZone();
  const colors = useColors();
  const [, go] = useLocation();
  const [range, setRange] = useState<Range | null>(null);
  const isCut = whole.tries > whole.bars.length;
  const part = useQuery({
    ...queries.workers(runId, { ...(range ?? {}), most: mostBars }),
    ...previous,
    enabled: isCut && range !== null,
  });
  const shown = isCut && range !== null ? (part.data ?? whole) : whole;
  const scale = useMemo(() => new TimeScale(zone, whole.from), [zone, whole.from]);
  const option = useMemo(
    () => ganttOption(shown, whole, range, scale, zone, colors),
    [shown, whole, range, scale, zone, colors],
  );
  const settle = useSettled((from: number, to: number) =>
    setRange(within(whole, scale.at(from), scale.at(to))),
  );

  if (whole.tries === 0) return <p>No try of a task has begun to run on a worker yet.</p>;
  return (
    <Panel title={`${counted(whole.tries, "try", "tries")} on ${counted(whole.lanes.length, "lane")}`}>
      <ZoomTools whole={whole} range={range} onRange={setRange} />
      <p className={shown.tries > shown.bars.length ? "problem" : "muted"} role="status">
        {shown.tries > shown.bars.length
          ? `Of ${count(shown.tries)} tries in this time the ${count(shown.bars.length)} longest are shown. Zoom in to see the others.`
          : `All ${count(shown.tries)} tries in this time are shown.`}
      </p>
      <p className="muted">
        <StateLabel state="failed" />, in this colour, is a try that failed. A click on a try leads to its
        task.
      </p>
      <Chart
        height={Math.min(mostPx, Math.max(4, whole.lanes.length) * lanePx + 130)}
        label={`${counted(whole.tries, "try", "tries")} on ${counted(whole.lanes.length, "lane")} of workers, from ${zone.named(whole.from)} to ${zone.named(whole.to)}.`}
        option={option}
        onZoom={settle}
        onClick={({ value }) => go(taskAddress(runId, (value as BarValue)[3]))}
        table={() => <BarTable runId={runId} shown={shown} zone={zone} />}
      />
    </Panel>
  );
}

/** Calls `settled` with the last arguments once there were no others for a while. */
function useSettled<Values extends unknown[]>(
  settled: (...values: Values) => void,
): (...values: Values) => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (...values) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => settled(...values), restMs);
  };
}

/** null for the whole of it. */
function within(whole: Range, from: Time, to: Time): Range | null {
  const range = { from: Math.max(whole.from, from), to: Math.min(whole.to, to) };
  return range.from <= whole.from && range.to >= whole.to ? null : range;
}

function ZoomTools({
  whole,
  range,
  onRange,
}: {
  readonly whole: Range;
  readonly range: Range | null;
  readonly onRange: (range: Range | null) => void;
}): JSX.Element {
  const { from, to } = range ?? whole;
  const span = to - from;
  /** Ends stay inside the whole, and a move keeps the length. */
  const show = (start: Time, length: number): void => {
    const begin = Math.min(Math.max(whole.from, start), Math.max(whole.from, whole.to - length));
    onRange(within(whole, begin, begin + length));
  };
  return (
    <div className="tools" role="group" aria-label="Zoom">
      <button type="button" onClick={() => show(from + span / 4, span / 2)}>
        Zoom in
      </button>
      <button type="button" disabled={range === null} onClick={() => show(from - span / 2, span * 2)}>
        Zoom out
      </button>
      <button type="button" disabled={range === null} onClick={() => show(from - span / 2, span)}>
        Earlier
      </button>
      <button type="button" disabled={range === null} onClick={() => show(from + span / 2, span)}>
        Later
      </button>
      <button type="button" disabled={range === null} onClick={() => onRange(null)}>
        Whole run
      </button>
    </div>
  );
}

/** Lane, from, to on the axis, task, try, whether it failed, whether it still runs. */
type BarValue = readonly [number, number, number, number, number, boolean, boolean];

function ganttOption(
  shown: Answer,
  whole: Answer,
  range: Range | null,
  scale: TimeScale,
  zone: Zone,
  colors: Colors,
): EChartsCoreOption {
  const apps = appsByCount(shown);
  const named = apps.slice(0, colors.apps.length - 1);
  const seriesOf = (app: string): string => (named.includes(app) ? app : "other apps");
  const values = new Map<string, BarValue[]>();
  for (const { lane, from, to, task, try: attempt, app, failed } of shown.bars) {
    const value: BarValue = [
      lane,
      scale.place(from),
      scale.place(to ?? whole.to),
      task,
      attempt,
      failed,
      to === null,
    ];
    const name = seriesOf(app);
    const some = values.get(name);
    if (some === undefined) values.set(name, [value]);
    else some.push(value);
  }
  const appOf = new Map(shown.bars.map(({ task, app }) => [task, app]));
  const hasManyLanes = whole.lanes.length * lanePx + 130 > mostPx;
  const zoomed = range ?? whole;
  return {
    grid: { left: 8, right: hasManyLanes ? 36 : 16, top: 36, bottom: 52, containLabel: true },
    legend: { top: 0, left: 0, type: "scroll", textStyle: { color: colors.text } },
    tooltip: {
      ...tooltip(colors),
      trigger: "item",
      formatter: ({ value }: { readonly value: BarValue }) => barText(value, shown, appOf, scale, zone),
    },
    xAxis: { ...scale.axis(colors), min: scale.place(whole.from), max: scale.place(whole.to) },
    yAxis: {
      type: "category",
      inverse: true,
      data: shown.lanes.map(({ host, lane }) => `${host} ${String(lane + 1)}`),
      ...axis(colors),
    },
    dataZoom: [
      {
        type: "inside",
        xAxisIndex: 0,
        filterMode: "none",
        startValue: scale.place(zoomed.from),
        endValue: scale.place(zoomed.to),
      },
      {
        type: "slider",
        xAxisIndex: 0,
        filterMode: "none",
        height: 22,
        bottom: 8,
        brushSelect: false,
        showDataShadow: false,
        labelFormatter: (place: number) => zone.clock(scale.at(place)),
        textStyle: { color: colors.text },
        startValue: scale.place(zoomed.from),
        endValue: scale.place(zoomed.to),
      },
      ...(hasManyLanes
        ? [
            {
              type: "slider",
              yAxisIndex: 0,
              filterMode: "none",
              width: 18,
              right: 4,
              showDetail: false,
              brushSelect: false,
            },
          ]
        : []),
    ],
    series: [...values].map(([name, data], index) => ({
      type: "custom",
      name,
      color: colors.apps[name === "other apps" ? colors.apps.length - 1 : index],
      encode: { x: [1, 2], y: 0 },
      dimensions: ["lane", "from", "to", "task", "try", "failed", "open"],
      renderItem: (parameters: RenderParameters, api: RenderApi) => drawBar(parameters, api, colors),
      data,
    })),
  };
}

/** Of what ECharts hands to renderItem. */
interface RenderParameters {
  readonly coordSys: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  };
}
interface RenderApi {
  value(dimension: number): number;
  coord(values: readonly number[]): [number, number];
  size(values: readonly number[]): [number, number];
  visual(name: "color"): string;
}

function drawBar({ coordSys }: RenderParameters, api: RenderApi, colors: Colors): object | undefined {
  const [left, middle] = api.coord([api.value(1), api.value(0)]);
  const [right] = api.coord([api.value(2), api.value(0)]);
  const height = Math.max(2, api.size([0, 1])[1] * 0.78);
  const shape = graphic.clipRectByRect(
    { x: left, y: middle - height / 2, width: Math.max(1, right - left), height },
    coordSys,
  );
  if (shape === undefined) return undefined;
  const failed = Boolean(api.value(5));
  const bar = {
    type: "rect",
    shape,
    style: {
      fill: failed ? colors.states.failed : api.visual("color"),
      stroke: colors.page,
      lineWidth: shape.width > 4 && height > 8 ? 1 : 0,
    },
  };
  if (!failed || shape.width < 12 || height < 10) return bar;
  const mark = {
    type: "text",
    silent: true,
    style: {
      text: "✗",
      x: shape.x + 3,
      y: middle,
      align: "left",
      verticalAlign: "middle",
      fontSize: 11,
      fill: colors.page,
    },
  };
  return { type: "group", children: [bar, mark] };
}

function barText(
  [lane, from, to, task, attempt, failed, open]: BarValue,
  { lanes }: Answer,
  appOf: ReadonlyMap<number, string>,
  scale: TimeScale,
  zone: Zone,
): string {
  const { host = "", block = null } = lanes[lane] ?? {};
  const [began, ended] = [scale.at(from), scale.at(to)];
  return [
    `Task ${String(task)} (${appOf.get(task) ?? ""}), try ${String(attempt)}${failed ? ": failed" : ""}`,
    `${zone.named(began)}, ${open ? "running for" : "for"} ${duration((ended - began) / 1000)}`,
    `on ${host}${block === null ? "" : ` of block ${block}`}`,
  ].join("\n");
}

function appsByCount({ bars }: Answer): string[] {
  const counts = new Map<string, number>();
  for (const { app } of bars) counts.set(app, (counts.get(app) ?? 0) + 1);
  return [...counts].sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1)).map(([app]) => app);
}

/** At most so many bars are rows of the table. */
const mostRows = 500;

function BarTable({
  runId,
  shown: { bars, lanes },
  zone,
}: {
  readonly runId: string;
  readonly shown: Answer;
  readonly zone: Zone;
}): JSX.Element {
  const rows = [...bars].sort((a, b) => a.from - b.from).slice(0, mostRows);
  return (
    <DataTable
      caption={
        rows.length < bars.length
          ? `The first ${count(rows.length)} of the ${count(bars.length)} tries that are shown`
          : counted(rows.length, "try", "tries")
      }
      rows={rows}
      columns={[
        {
          name: "Task",
          cell: ({ task }) => <Link href={taskAddress(runId, task)}>{task}</Link>,
          numeric: true,
        },
        { name: "Try", cell: (bar) => bar.try, numeric: true },
        { name: "App", cell: ({ app }) => app },
        { name: "Host", cell: ({ lane }) => lanes[lane]?.host ?? "" },
        { name: "Lane", cell: ({ lane }) => (lanes[lane]?.lane ?? 0) + 1, numeric: true },
        { name: `Began (${zone.name})`, cell: ({ from }) => zone.time(from) },
        {
          name: "Run time",
          cell: ({ from, to }) => (to === null ? "running" : duration((to - from) / 1000)),
          numeric: true,
        },
        {
          name: "Result",
          cell: ({ failed, to }) => (failed ? "✗ failed" : to === null ? "running" : "✓ returned"),
        },
      ]}
    />
  );
}
