import type { EChartsCoreOption } from "echarts/core";

import type { Graph, TaskState } from "../../view/api.js";
import type { Colors } from "../chart.js";
import { count, counted } from "../format.js";
import { stateNames, states } from "../states.js";
import type { Layout, Place } from "./graph-layout.js";

type Node = Graph["nodes"][number];

/** In px. */
export const drawnHeight = 560;
/** In px; in a window that has less, the graph is smaller. */
const drawnWidth = 1100;
/** A small graph is drawn so many times as large as its layout at most. */
const most = 1.4;

/** A box that is narrower, in px, is drawn as a dot. */
const leastBox = 80;

/** Draws the graph by its layout, which may be that of a moment ago: what is new is not drawn then. */
export function graphOption(graph: Graph, layout: Layout, colors: Colors): EChartsCoreOption {
  const { shape, places, middles } = layout;
  const across = Math.min(drawnWidth / layout.width, most);
  const down = Math.min(drawnHeight / layout.height, most);
  const drawn = ([x, y]: Place): Place => [x * across, y * down];
  const fit = Math.min(1, across, down);
  const boxed = shape.width * fit >= leastBox;
  const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
  const edges = new Map(graph.edges.map((edge) => [`${edge.from} ${edge.to}`, edge]));
  return {
    tooltip: { trigger: "item" },
    series: [
      {
        id: "graph",
        type: "graph",
        layout: "none",
        roam: true,
        scaleLimit: { min: 0.5, max: 40 },
        // Of the nodes' centres.
        width: `${String((100 * extent((layout.width - shape.width) * across)) / drawnWidth)}%`,
        height: `${String((100 * extent((layout.height - shape.height) * down)) / drawnHeight)}%`,
        ...{ left: "center", top: "middle", preserveAspect: "contain" },
        // A box is its label: arrows end at the symbol, which is as high as the box, and round.
        symbol: "circle",
        symbolSize: boxed ? boxHeight : Math.max(6, 22 * fit),
        edgeSymbol: ["none", "arrow"],
        edgeSymbolSize: boxed ? 8 : 5,
        lineStyle: { color: colors.muted, opacity: boxed ? 1 : 0.6 },
        edgeLabel: {
          show: graph.level === "app",
          color: colors.text,
          backgroundColor: colors.page,
          padding: 2,
          fontSize: 11,
        },
        emphasis: { focus: "adjacency" },
        data: shape.nodes.flatMap((id, index) => {
          const [node, place] = [nodes.get(id), places[index]];
          if (node === undefined || place === undefined) return [];
          const [x, y] = drawn(place);
          const color = colors.states[leading(node)];
          return {
            ...{ id, name: id, x, y },
            itemStyle: { color },
            label: boxed
              ? {
                  ...box(shape.width * fit),
                  formatter: boxText(graph, node),
                  color: colors.text,
                  backgroundColor: colors.page,
                  borderColor: color,
                }
              : {
                  show: true,
                  formatter: states[leading(node)].symbol,
                  color: colors.page,
                  fontSize: Math.max(5, 12 * fit),
                },
            tooltip: { formatter: described(graph, node) },
          };
        }),
        links: shape.edges.flatMap(([from, to], index) => {
          const [source = "", target = ""] = [shape.nodes[from], shape.nodes[to]];
          const [start, end, middle] = [places[from], places[to], middles[index]];
          const edge = edges.get(`${source} ${target}`);
          if (start === undefined || end === undefined || middle === undefined || edge === undefined)
            return [];
          return {
            ...{ source, target },
            lineStyle: {
              width: 1 + Math.log10(edge.count),
              // An edge to the next row has nothing in its way, but perhaps its like in the other direction.
              curveness:
                Math.abs(end[1] - start[1]) > 3 * shape.height
                  ? curveness(drawn(start), drawn(end), drawn(middle))
                  : edges.has(`${target} ${source}`)
                    ? 0.1
                    : 0,
            },
            label: { formatter: count(edge.count) },
            tooltip: { formatter: `${source} → ${target}\n${dependencies(edge.count)}` },
          };
        }),
      },
    ],
  };
}

/** In px: ECharts takes centres that are all on one line to be 2 apart across it, and draws nothing where they are given no
 *  room. */
function extent(length: number): number {
  return length === 0 ? 2 : length;
}

/** In px, of two lines. */
const boxHeight = 44;

/** A label that is a box so many px wide. */
function box(width: number): object {
  return {
    ...{ show: true, fontSize: 12, lineHeight: 16, align: "center", verticalAlign: "middle" },
    ...{ width: width - 16, height: boxHeight - 12, padding: [4, 6], overflow: "truncate" },
    ...{ borderWidth: 2, borderRadius: 4 },
  };
}

/** ECharts' measure of how far an edge is bent, so that it passes through `middle`. */
function curveness([x1, y1]: Place, [x2, y2]: Place, [x, y]: Place): number {
  // Its control point is the middle of the ends and so many times this normal; the curve comes half as far.
  const [acrossX, acrossY] = [y2 - y1, x1 - x2];
  const away = (x - (x1 + x2) / 2) * acrossX + (y - (y1 + y2) / 2) * acrossY;
  return (2 * away) / (acrossX ** 2 + acrossY ** 2);
}

function boxText(graph: Graph, node: Node): string {
  const state = leading(node);
  const { symbol, label } = states[state];
  const some = node.states[state] ?? 0;
  const all = `${symbol} ${graph.level === "app" ? counted(node.tasks, "task") : label}`;
  return `${node.label}\n${some === node.tasks ? all : `${counted(node.tasks, "task")}, ${symbol} ${count(some)}`}`;
}

function described(graph: Graph, node: Node): string {
  const own = graph.edges.find(({ from, to }) => from === node.id && to === node.id);
  return [
    node.label,
    ...stateNames.flatMap((state) => {
      const some = node.states[state] ?? 0;
      return some === 0 ? [] : `${states[state].symbol} ${count(some)} ${states[state].label}`;
    }),
    ...(own === undefined ? [] : [`${dependencies(own.count)} within the app`]),
  ].join("\n");
}

/** As "1 dependency" or "12 dependencies". */
export function dependencies(some: number): string {
  return some === 1 ? "1 dependency" : `${count(some)} dependencies`;
}

/** What somebody looks for first: failures, then what goes on, then what waits, then what is done. */
const leads: readonly TaskState[] = [
  ...(["failed", "dep_fail", "fail_retryable", "running", "joining", "launched"] as const),
  ...(["running_ended", "pending", "unsched", "exec_done", "memo_done"] as const),
];

function leading({ states: counts }: Node): TaskState {
  return leads.find((state) => (counts[state] ?? 0) > 0) ?? "unsched";
}
