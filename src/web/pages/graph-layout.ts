import { Graph, layout, type Point } from "@dagrejs/dagre";

/** What depends on what, without what does not matter to where it is drawn. */
export interface Shape {
  readonly nodes: readonly string[];
  /** Pairs of indices into `nodes`. */
  readonly edges: readonly (readonly [number, number])[];
  /** Of each node, in px. */
  readonly width: number;
  readonly height: number;
}

/** From the left and from above, in px. */
export type Place = readonly [number, number];

/** Where the nodes are, by their index, in px; and how large all of it is. */
export interface Layout {
  readonly shape: Shape;
  readonly places: readonly Place[];
  /** The middle of each edge, by its index: it goes around the nodes between its ends. */
  readonly middles: readonly Place[];
  readonly width: number;
  readonly height: number;
}

/** Puts what is depended on above what depends on it, with few crossings. It takes seconds for 2,000 nodes. */
export function layOut(shape: Shape): Layout {
  const { nodes, edges, width, height } = shape;
  const graph = new Graph();
  graph.setGraph({ rankdir: "TB", nodesep: height / 2, ranksep: height, ranker: "tight-tree" });
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((_, index) => graph.setNode(String(index), { width, height }));
  for (const [from, to] of edges) graph.setEdge(String(from), String(to));
  layout(graph);
  const places = nodes.map((_, index) => placeOf(graph.node(String(index)) as Point));
  const wrapped = wrap(shape, places);
  const middles = edges.map(([from, to]): Place => {
    if (wrapped !== places) return between(wrapped[from], wrapped[to]);
    const { points } = graph.edge(String(from), String(to)) as { points: Point[] };
    const middle = points[Math.floor(points.length / 2)];
    return middle === undefined ? between(places[from], places[to]) : placeOf(middle);
  });
  return {
    ...{ shape, places: wrapped, middles },
    width: Math.max(...wrapped.map(([x]) => x), 0) + width / 2,
    height: Math.max(...wrapped.map(([, y]) => y), 0) + height / 2,
  };
}

/** A row of hundreds of nodes, such as all that depend on one or on none, is broken into rows of a width at which the
 *  whole is about twice as wide as high. Returns the same places where none is so long. */
function wrap({ nodes, width, height }: Shape, places: readonly Place[]): readonly Place[] {
  const [across, down] = [width + height / 2, height * 1.5];
  const most = Math.max(6, Math.ceil(Math.sqrt((2 * nodes.length * down) / across)));
  const rows = new Map<number, number[]>();
  places.forEach(([, y], index) => rows.set(y, [...(rows.get(y) ?? []), index]));
  if ([...rows.values()].every((row) => row.length <= 2 * most)) return places;

  const wrapped = [...places];
  let top = height / 2;
  for (const [, row] of [...rows].sort(([one], [other]) => one - other)) {
    const inOrder = row.sort((one, other) => (places[one]?.[0] ?? 0) - (places[other]?.[0] ?? 0));
    const lines = row.length <= 2 * most ? 1 : Math.ceil(row.length / most);
    const columns = Math.ceil(row.length / lines);
    inOrder.forEach((node, index) => {
      const x =
        lines === 1
          ? ((index + 0.5) * most * across) / row.length
          : (Math.floor(index / lines) + 0.5 + (most - columns) / 2) * across;
      wrapped[node] = [x, top + (index % lines) * down];
    });
    top += (lines - 1) * down + 2 * height;
  }
  return wrapped;
}

function between(one: Place | undefined, other: Place | undefined): Place {
  return [((one?.[0] ?? 0) + (other?.[0] ?? 0)) / 2, ((one?.[1] ?? 0) + (other?.[1] ?? 0)) / 2];
}

function placeOf({ x, y }: Point): Place {
  return [x, y];
}
