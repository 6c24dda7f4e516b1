import { AriaComponent, GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import {
  connect,
  init,
  use,
  type ECElementEvent,
  type EChartsCoreOption,
  type EChartsType,
} from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import {
  useEffect,
  useRef,
  useSyncExternalStore,
  useState,
  type JSX,
  type ReactNode,
  type RefObject,
} from "react";

import type { TaskState, Time } from "../view/api.js";
import type { Zone } from "./format.js";
import { stateNames } from "./states.js";

use([AriaComponent, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

interface ChartProps {
  /** What it shows, in a sentence, for those who do not see it. */
  readonly label: string;
  /** Made with the colours of `useColors`; its series are replaced, the rest is merged. */
  readonly option: EChartsCoreOption;
  /** In px. */
  readonly height?: number;
  readonly onClick?: (event: ECElementEvent) => void;
  /** Called after the user has zoomed, with where the first axis now begins and ends. */
  readonly onZoom?: (from: number, to: number) => void;
  /** Charts of one group show what is at one time together. */
  readonly group?: string;
  /** Holds ECharts' own object while the chart is there, for what its options cannot do. */
  readonly instance?: RefObject<EChartsType | undefined>;
  /** The same as a table; made when it is opened. */
  readonly table?: () => ReactNode;
}

/** A chart in the page's own theme, as wide as its place. */
export function Chart({
  label,
  option,
  height = 260,
  onClick,
  onZoom,
  group,
  instance,
  table,
}: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType>(undefined);
  const heard = useRef({ onClick, onZoom });
  heard.current = { onClick, onZoom };
  const colors = useColors();

  useEffect(() => {
    const place = box.current;
    if (place === null) return;
    const made = init(place);
    made.on("click", (event) => heard.current.onClick?.(event));
    made.on("datazoom", () => {
      const [zoom] = made.getOption()["dataZoom"] as { startValue: number; endValue: number }[];
      if (zoom !== undefined) heard.current.onZoom?.(zoom.startValue, zoom.endValue);
    });
    if (group !== undefined) {
      made.group = group;
      connect(group);
    }
    const observer = new ResizeObserver(() => {
      // It has no size while React hides it, until the next page's code is there; a graph cannot be drawn so.
      if (place.clientWidth > 0) made.resize();
    });
    observer.observe(place);
    chart.current = made;
    if (instance !== undefined) instance.current = made;
    return () => {
      if (instance !== undefined) instance.current = undefined;
      observer.disconnect();
      made.dispose();
    };
  }, [group, instance]);

  useEffect(() => {
    chart.current?.setOption({ ...basis(colors), ...option }, { replaceMerge: ["series"], lazyUpdate: true });
  }, [option, colors]);

  return (
    <figure className="chart">
      <div ref={box} role="img" aria-label={label} style={{ height }} />
      {table === undefined ? null : <Disclosure summary="As a table">{table}</Disclosure>}
    </figure>
  );
}

/** What is made only once it is opened. */
export function Disclosure({
  summary,
  children,
}: {
  readonly summary: string;
  readonly children: () => ReactNode;
}): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{summary}</summary>
      {open ? children() : null}
    </details>
  );
}

/** The theme's colours for what is drawn on a canvas, which knows no CSS variables. */
export interface Colors {
  readonly page: string;
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly accent: string;
  readonly bad: string;
  readonly good: string;
  readonly states: Readonly<Record<TaskState, string>>;
  readonly apps: readonly string[];
}

const darkTheme = matchMedia("(prefers-color-scheme: dark)");
let colors = readColors();

/** Changes, and is another object, only with the theme. */
export function useColors(): Colors {
  return useSyncExternalStore(subscribeColors, () => colors);
}

function subscribeColors(listener: () => void): () => void {
  const changed = (): void => {
    colors = readColors();
    listener();
  };
  darkTheme.addEventListener("change", changed);
  return () => darkTheme.removeEventListener("change", changed);
}

function readColors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    page: read("page"),
    text: read("text"),
    muted: read("muted"),
    line: read("line"),
    accent: read("accent"),
    bad: read("bad"),
    good: read("good"),
    states: Object.fromEntries(stateNames.map((state) => [state, read(`state-${state}`)])) as Record<
      TaskState,
      string
    >,
    apps: ["0", "1", "2", "3", "4", "5", "6"].map((index) => read(`app-${index}`)),
  };
}

function basis({ page, text, line }: Colors): EChartsCoreOption {
  return {
    animation: false,
    useUTC: true, // see TimeScale
    textStyle: { color: text, fontFamily: "system-ui, sans-serif" },
    tooltip: tooltip({ page, text, line }),
  };
}

/** Drawn on the canvas: nothing in it is taken for HTML. */
export function tooltip({ page, text, line }: Pick<Colors, "page" | "text" | "line">): object {
  return {
    trigger: "axis",
    renderMode: "richText",
    confine: true,
    backgroundColor: page,
    borderColor: line,
    textStyle: { color: text, fontSize: 12 },
  };
}

/** An axis of values in the theme's colours. */
export function axis({ text, muted, line }: Colors): object {
  return {
    axisLine: { lineStyle: { color: muted } },
    axisLabel: { color: text },
    nameTextStyle: { color: text },
    splitLine: { lineStyle: { color: line } },
  };
}

/** The ticks of an axis of bytes from 0 to `most`: round in KiB, MiB or GiB, where ECharts' own are round in tens. */
export function byteTicks(most: number): object {
  const interval = 2 ** Math.max(0, Math.ceil(Math.log2(most / 5)));
  return { interval, max: Math.max(1, Math.ceil(most / interval)) * interval };
}

/** Where times are on an axis, so that its round ticks are round in the file's zone: ECharts knows only UTC and the
 *  browser's zone. The offset is that of one time, so that no hour is twice in a night when clocks are put back. */
export class TimeScale {
  readonly #zone: Zone;
  readonly #offset: number;

  constructor(zone: Zone, from: Time) {
    this.#zone = zone;
    this.#offset = zone.offset(from);
  }

  /** Where a time is on the axis. */
  place(at: Time): number {
    return at + this.#offset;
  }

  /** The time at a place of the axis. */
  at(place: number): Time {
    return place - this.#offset;
  }

  axis(colors: Colors): object {
    return {
      type: "time",
      ...axis(colors),
      splitLine: { show: false },
      axisLabel: { color: colors.text, hideOverlap: true, formatter: (place: number) => this.tick(place) },
    };
  }

  /** A tick's label: as short as says it. */
  tick(place: number): string {
    const at = this.at(place);
    const clock = this.#zone.clock(at);
    if (at % 1000 !== 0) return this.#zone.milliseconds(at);
    if (clock === "00:00:00") return this.#zone.time(at).slice(5, 10);
    return clock.endsWith(":00") ? clock.slice(0, 5) : clock;
  }
}
