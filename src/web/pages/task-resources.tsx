import { LineChart } from "echarts/charts";
import { DataZoomInsideComponent } from "echarts/components";
import { use } from "echarts/core";
import { useMemo, type JSX } from "react";

import type { Sample, Time, Try } from "../../view/api.js";
import { axis, byteTicks, Chart, TimeScale, useColors, type Colors } from "../chart.js";
import { bytes, count, counted, duration, figure, unknown } from "../format.js";
import { DataTable, Panel, useZone, type Column } from "../page.js";

use([LineChart, DataZoomInsideComponent]);

interface Unit {
  readonly shown: (value: number) => string;
  /** Of an axis from 0 to `most`, where ECharts' own are not round. */
  readonly ticks: (most: number) => object;
}

const cores: Unit = { shown: (value) => `${figure(value)} cores`, ticks: () => ({}) };
const ofSeconds: Unit = { shown: duration, ticks: () => ({}) };
const ofBytes: Unit = { shown: bytes, ticks: byteTicks };

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [Time, number | null])[];
  /** Each value is of the time since the point before it, as a rate is. */
  readonly since?: boolean;
}

interface Extent {
  readonly min: number;
  readonly max: number;
}

/** On both sides of the first and the last sample, of which there may be one only. */
const marginMs = 50;
/** Of a row of the legend. */
const rowPx = 20;
/** Fewer points than this are marked. */
const markedPoints = 60;
/** More points than this are more than a chart has pixels. */
const thinnedPoints = 2_000;
/** A table of more rows is of use to nobody. */
const tableRows = 500;

/** What each try took over time. */
export function TaskResources({ tries }: { readonly tries: readonly Try[] }): JSX.Element {
  const some = tries.filter(({ samples }) => samples.length > 0);
  const all = some.reduce((sum, { samples }) => sum + samples.length, 0);
  if (all === 0) {
    return (
      <Panel title="Resources">
        <p className="muted">
          No samples: Parsl&rsquo;s resource monitoring was off, or the task ended before the first one.
        </p>
      </Panel>
    );
  }
  const named = (one: Try, what: string): string =>
    some.length === 1 ? what : `${what}, try ${String(one.try)}`;
  return (
    <div className="columns">
      {some.some(({ samples }) => samples.length > 1) ? (
        <Usage
          title="CPU"
          columns={columnsOf.cpu}
          unit={cores}
          lines={some.map((one) => ({ name: named(one, "cores in use"), points: coresOf(one), since: true }))}
          tries={some}
        />
      ) : (
        <Usage
          title="CPU"
          columns={columnsOf.cpu}
          unit={ofSeconds}
          lines={some.map((one) => ({
            name: named(one, "CPU time"),
            points: pointsOf(one, (sample) => sample.cpuSeconds),
          }))}
          tries={some}
        />
      )}
      <Usage
        title="Memory"
        columns={columnsOf.memory}
        unit={ofBytes}
        lines={some.map((one) => ({
          name: named(one, "resident"),
          points: pointsOf(one, (sample) => sample.residentBytes),
        }))}
        tries={some}
      />
      <Usage
        title="Disk"
        columns={columnsOf.disk}
        unit={ofBytes}
        lines={some.flatMap((one) => [
          { name: named(one, "read"), points: pointsOf(one, (sample) => sample.readBytes) },
          { name: named(one, "written"), points: pointsOf(one, (sample) => sample.writtenBytes) },
        ])}
        tries={some}
      />
    </div>
  );
}

function Usage({
  title,
  unit,
  lines,
  columns,
  tries,
}: {
  readonly title: string;
  readonly unit: Unit;
  readonly lines: readonly Line[];
  readonly columns: readonly Column<SampleOfTry>[];
  readonly tries: readonly Try[];
}): JSX.Element {
  const zone = useZone();
  const colors = useColors();
  const option = useMemo(() => {
    const rows = legendRows(lines);
    const scale = new TimeScale(zone, lines[0]?.points[0]?.[0] ?? 0);
    return {
      grid: { left: 8, right: 24, top: 12 + rows * rowPx, bottom: 8, containLabel: true },
      legend: {
        type: "scroll",
        top: 0,
        left: 0,
        textStyle: { color: colors.text },
        icon: "roundRect",
        itemHeight: 4,
      },
      xAxis: {
        ...scale.axis(colors),
        min: ({ min }: Extent) => min - marginMs,
        max: ({ max }: Extent) => max + marginMs,
      },
      yAxis: {
        ...axis(colors),
        type: "value",
        min: 0,
        ...unit.ticks(most(lines)),
        axisLabel: { color: colors.text, formatter: unit.shown },
      },
      tooltip: {
        formatter: (
          points: readonly { axisValue: number; seriesName: string; value: [number, number | null] }[],
        ) =>
          [
            zone.milliseconds(scale.at(points[0]?.axisValue ?? 0)),
            ...points.map(
              ({ seriesName, value: [, value] }) =>
                `${seriesName}: ${value === null ? unknown : unit.shown(value)}`,
            ),
          ].join("\n"),
      },
      dataZoom: [
        {
          ...{ type: "inside", zoomOnMouseWheel: "ctrl" },
          // Lines reach the edges; but many points must be thinned anew for each stretch, or it shows no more than all did.
          filterMode: lines.some(({ points }) => points.length > thinnedPoints) ? "filter" : "none",
        },
      ],
      series: lines.map(({ name, points, since }, index) => ({
        id: name,
        name,
        type: "line",
        step: since === true ? "start" : false,
        showSymbol: points.length < markedPoints,
        sampling: "lttb", // where there are more than pixels
        lineStyle: { width: 1.5, type: index % 2 === 0 ? "solid" : "dashed" },
        itemStyle: { color: colorOf(colors, index) },
        data: points.map(([at, value]) => [scale.place(at), value]),
      })),
    };
  }, [lines, colors, zone, unit]);

  return (
    <Panel title={title}>
      <Chart
        label={`${title} over time: ${lines.map((line) => `${line.name} up to ${unit.shown(most([line]))}`).join(", ")}.`}
        option={option}
        height={170 + legendRows(lines) * rowPx}
        group="samples"
        table={() => <SampleTable title={title} columns={columns} tries={tries} />}
      />
    </Panel>
  );
}

/** Two names stand side by side above the chart. */
function legendRows(lines: readonly Line[]): number {
  return Math.ceil(lines.length / 2);
}

function most(lines: readonly Line[]): number {
  return lines.reduce(
    (high, { points }) => points.reduce((top, [, value]) => Math.max(top, value ?? 0), high),
    0,
  );
}

function colorOf({ accent, states }: Colors, index: number): string {
  return [accent, states.fail_retryable, states.exec_done, states.joining][index % 4] ?? accent;
}

interface SampleOfTry extends Sample {
  readonly try: number;
}

const columnsOf = {
  cpu: [{ name: "CPU time", numeric: true, cell: ({ cpuSeconds }) => duration(cpuSeconds) }],
  memory: [{ name: "Resident", numeric: true, cell: ({ residentBytes }) => bytes(residentBytes) }],
  disk: [
    { name: "Read", numeric: true, cell: ({ readBytes }) => bytes(readBytes) },
    { name: "Written", numeric: true, cell: ({ writtenBytes }) => bytes(writtenBytes) },
  ],
} satisfies Readonly<Record<string, readonly Column<SampleOfTry>[]>>;

function SampleTable({
  title,
  columns,
  tries,
}: {
  readonly title: string;
  readonly columns: readonly Column<SampleOfTry>[];
  readonly tries: readonly Try[];
}): JSX.Element {
  const zone = useZone();
  const rows = tries.flatMap((one) =>
    one.samples.map((sample): SampleOfTry => ({ ...sample, try: one.try })),
  );
  const shown = rows.slice(0, tableRows);
  const cut = shown.length < rows.length ? `the first ${count(tableRows)} of ` : "";
  return (
    <DataTable
      caption={`${title} in ${cut}${counted(rows.length, "sample")}, times in ${zone.name}`}
      columns={[
        { name: "Try", numeric: true, cell: (sample: SampleOfTry) => String(sample.try) },
        { name: "Time", cell: ({ at }) => zone.milliseconds(at) },
        ...columns,
      ]}
      rows={shown}
    />
  );
}

function pointsOf({ samples }: Try, value: (sample: Sample) => number | null): Line["points"] {
  return samples.map((sample) => [sample.at, value(sample)]);
}

/** Cores in use since the sample before; what the process had used before the first one is not of the task alone. */
function coresOf({ samples }: Try): Line["points"] {
  return samples.flatMap(({ at, cpuSeconds }, index): Line["points"] => {
    const before = samples[index - 1];
    if (before === undefined) return [[at, null]];
    const seconds = (at - before.at) / 1000;
    if (cpuSeconds === null || before.cpuSeconds === null || seconds <= 0) return [];
    // Children that have ended leave the sum on some systems, so that it may fall.
    return [[at, Math.max(cpuSeconds - before.cpuSeconds, 0) / seconds]];
  });
}
