import type { CustomSeriesRenderItem } from "echarts";
import { CustomChart } from "echarts/charts";
import { graphic, use } from "echarts/core";
import { useMemo, type JSX } from "react";

import type { TaskDetail, TaskState, Time } from "../../view/api.js";
import { axis, Chart, TimeScale, useColors } from "../chart.js";
import { duration } from "../format.js";
import { DataTable, Panel, useZone } from "../page.js";
import { StateLabel, states } from "../states.js";

use([CustomChart]);

/** A state of a try, and until when it was in it; null for its last one, which it is in still or which ended it. */
interface Stay {
  readonly try: number;
  readonly state: TaskState;
  readonly from: Time;
  readonly to: Time | null;
}

/** States that a try stays in until the task's next try, or for ever: drawn as a mark. */
const final: ReadonlySet<TaskState> = new Set([
  "exec_done",
  "memo_done",
  "failed",
  "dep_fail",
  "fail_retryable",
]);

const rowPx = 34;

/** The states of each try over time. `lastHeard` is how long a state that goes on is drawn. */
export function TaskTimeline({
  of,
  lastHeard,
}: {
  readonly of: TaskDetail;
  readonly lastHeard: Time | null;
}): JSX.Element {
  const zone = useZone();
  const colors = useColors();
  const stays = useMemo(() => staysOf(of), [of]);
  const tries = useMemo(() => [...new Set(stays.map((stay) => stay.try))], [stays]);

  const option = useMemo(() => {
    const begin = stays[0]?.from ?? 0;
    const scale = new TimeScale(zone, begin);
    const end = (stay: Stay): Time =>
      stay.to ?? (final.has(stay.state) ? stay.from : Math.max(stay.from, lastHeard ?? stay.from));
    const draw: CustomSeriesRenderItem = ({ coordSys, dataIndex }, api) => {
      const stay = stays[dataIndex];
      if (stay === undefined) return null;
      const [left = 0, middle = 0] = api.coord([api.value(0), api.value(2)]);
      const [right = 0] = api.coord([api.value(1), api.value(2)]);
      const fill = colors.states[stay.state];
      const { label, symbol } = states[stay.state];
      if (final.has(stay.state)) {
        return {
          type: "text",
          style: {
            text: symbol,
            x: left + 4,
            y: middle,
            fill,
            align: "left",
            verticalAlign: "middle",
            font: "bold 18px system-ui",
          },
        };
      }
      const {
        x = 0,
        y = 0,
        width = 0,
        height = 0,
      } = coordSys as Partial<Record<"x" | "y" | "width" | "height", number>>;
      const shape = graphic.clipRectByRect(
        { x: left + 4, y: middle - rowPx / 3, width: Math.max(right - left, 1), height: (rowPx / 3) * 2 },
        { x, y, width, height },
      );
      if (shape === undefined) return null;
      return {
        type: "rect",
        shape,
        style: { fill, stroke: colors.page },
        textContent: {
          type: "text",
          style: { text: shape.width < 70 ? "" : `${symbol} ${label}`, fill: colors.page, fontSize: 11 },
        },
        textConfig: { position: "inside" },
      };
    };
    return {
      grid: { left: 8, right: 28, top: 8, bottom: 8, containLabel: true },
      // What ended it is marked behind its end.
      xAxis: {
        ...scale.axis(colors),
        max: ({ min, max }: { min: number; max: number }) => max + (max - min) * 0.03,
      },
      yAxis: {
        ...axis(colors),
        type: "category",
        inverse: true,
        data: tries.map((one) => `Try ${String(one)}`),
        splitLine: { show: false },
      },
      tooltip: {
        trigger: "item",
        formatter: ({ dataIndex }: { dataIndex: number }) => {
          const stay = stays[dataIndex];
          if (stay === undefined) return "";
          const lasted = stay.to === null ? "" : `\nfor ${lastedOf(stay)}`;
          return `Try ${String(stay.try)}: ${states[stay.state].label}\nfrom ${zone.milliseconds(stay.from)}${lasted}`;
        },
      },
      series: [
        {
          id: "stays",
          type: "custom",
          renderItem: draw,
          clip: true,
          encode: { x: [0, 1], y: 2 },
          data: stays.map((stay) => [
            scale.place(stay.from),
            scale.place(end(stay)),
            tries.indexOf(stay.try),
          ]),
        },
      ],
    };
  }, [stays, tries, colors, zone, lastHeard]);

  if (stays.length === 0) {
    return (
      <Panel title="Timeline">
        <p className="muted">No state of it is known.</p>
      </Panel>
    );
  }
  const last = stays.at(-1);
  return (
    <Panel title="Timeline">
      <Chart
        label={`Timeline of task ${String(of.task)}: ${stays.map(({ state }) => states[state].label).join(", then ")}.`}
        option={option}
        height={40 + tries.length * rowPx}
        table={() => (
          <DataTable
            caption={`States of task ${String(of.task)}, times in ${zone.name}`}
            columns={[
              { name: "Try", numeric: true, cell: (stay: Stay) => String(stay.try) },
              { name: "State", cell: (stay) => <StateLabel state={stay.state} /> },
              {
                name: "From",
                cell: (stay) => `${zone.time(stay.from)}${zone.milliseconds(stay.from).slice(8)}`,
              },
              { name: "For", numeric: true, cell: (stay) => (stay === last ? "" : lastedOf(stay)) },
            ]}
            rows={stays}
          />
        )}
      />
    </Panel>
  );
}

function lastedOf(stay: Stay): string {
  return stay.to === null ? "" : duration((stay.to - stay.from) / 1000);
}

function staysOf({ attempts }: TaskDetail): Stay[] {
  return attempts.flatMap(({ try: number, states: passed }) =>
    passed.map(({ at, state }, index) => ({
      try: number,
      state,
      from: at,
      to: passed[index + 1]?.at ?? null,
    })),
  );
}
