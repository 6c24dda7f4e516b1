import { keepPreviousData, useQuery } from "@tanstack/react-query";
import {
  CellStyleModule,
  ColumnApiModule,
  createGrid,
  InfiniteRowModelModule,
  RowApiModule,
  RowSelectionModule,
  ScrollApiModule,
  themeQuartz,
  type CellKeyDownEvent,
  type ColDef,
  type FirstDataRenderedEvent,
  type GridApi,
  type GridOptions,
  type ICellRendererParams,
  type SortChangedEvent,
} from "ag-grid-community";
import { useEffect, useMemo, useRef, useState, type JSX } from "react";
import { useLocation, useSearchParams } from "wouter";

import type { TaskColumn, TaskRow } from "../../view/api.js";
import { taskAddress } from "../addresses.js";
import { queries } from "../api.js";
import { count, counted, duration, type Zone } from "../format.js";
import { Page, useZone } from "../page.js";
import { stateElement } from "../states.js";
import { filters, TaskFilters } from "./task-filters.js";
import { TaskRows, type Heard } from "./task-rows.js";

const modules = [
  CellStyleModule,
  ColumnApiModule,
  InfiniteRowModelModule,
  RowApiModule,
  RowSelectionModule,
  ScrollApiModule,
];

const theme = themeQuartz.withParams({
  accentColor: "var(--accent)",
  backgroundColor: "var(--page)",
  foregroundColor: "var(--text)",
  headerBackgroundColor: "var(--surface)",
  headerTextColor: "var(--text)",
  borderColor: "var(--line)",
  fontFamily: "inherit",
  fontSize: 13,
  spacing: 5,
  wrapperBorderRadius: 6,
});

/** Rows that are asked for together. Each change of the run asks anew for the blocks that are held: two or three. */
const blockRows = 100;
const blocksHeld = 3;

export default function Tasks({ runId }: { readonly runId: string }): JSX.Element {
  const zone = useZone();
  const [, navigate] = useLocation();
  const [parameters, setParameters] = useSearchParams();
  const { data: run } = useQuery(queries.run(runId));
  const [heard, setHeard] = useState<Heard>({});
  const place = useRef<HTMLDivElement>(null);
  const grid = useRef<GridApi<TaskRow>>(undefined);

  const asked = new URLSearchParams(
    filters.flatMap((name) => parameters.getAll(name).map((value) => [name, value])),
  );
  const matching = asked.toString();
  const rows = useMemo(() => {
    const wanted = new URLSearchParams(matching);
    return new TaskRows(
      runId,
      Object.fromEntries(filters.map((name) => [name, wanted.getAll(name)])),
      setHeard,
    );
  }, [runId, matching]);

  // News of the run invalidate this query as any other one; its answer is that the grid's rows are new. So the next news
  // wait until the rows of these have come.
  useQuery({
    queryKey: ["run", runId, "rows that the grid shows"],
    queryFn: async () => {
      if (grid.current !== undefined) await rows.refresh(grid.current);
      return null;
    },
    placeholderData: keepPreviousData,
  });

  const sort = parameters.get("sort");
  const order = parameters.get("order") === "desc" ? "desc" : "asc";

  function sorted({ api }: SortChangedEvent<TaskRow>): void {
    if (isSortedBy(api, sort, order)) return;
    const by = api.getColumnState().find((column) => column.sort != null);
    setParameters((now) => {
      now.delete("sort");
      now.delete("order");
      if (by?.sort != null) {
        now.set("sort", by.colId);
        now.set("order", by.sort);
      }
      return now;
    });
  }

  function open(row: TaskRow | undefined, index: number | null): void {
    if (row === undefined) return;
    history.replaceState({ row: index }, ""); // whoever comes back finds it where it was
    navigate(taskAddress(runId, row.task));
  }

  const latest = useRef({ sorted, open, navigate });
  latest.current = { sorted, open, navigate };

  useEffect(() => {
    if (place.current === null) return;
    const api = createGrid<TaskRow>(
      place.current,
      {
        ...gridOptions,
        columnDefs: columnsOf(runId, zone, (address) => latest.current.navigate(address)),
        onSortChanged: (event) => latest.current.sorted(event),
        onCellKeyDown: (event) => {
          const { data, rowIndex } = event as CellKeyDownEvent<TaskRow>;
          if ((event.event as KeyboardEvent | null)?.key === "Enter") latest.current.open(data, rowIndex);
        },
        onRowDoubleClicked: ({ data, rowIndex }) => latest.current.open(data, rowIndex),
      },
      { modules },
    );
    grid.current = api;
    return () => {
      grid.current = undefined;
      api.destroy();
    };
  }, [runId, zone]);
  useEffect(() => {
    if (grid.current !== undefined && !isSortedBy(grid.current, sort, order))
      sortBy(grid.current, sort, order);
  }, [sort, order]);
  useEffect(() => grid.current?.setGridOption("datasource", rows), [rows]);

  return (
    <Page title="Tasks" of={run?.workflow ?? undefined}>
      <TaskFilters
        run={run}
        chosen={asked}
        change={(change, options) =>
          setParameters((now) => {
            change(now);
            return now;
          }, options)
        }
      />
      <p role="status" className="muted">
        {heard.total === undefined
          ? "Loading…"
          : matching === "" || run === undefined
            ? counted(heard.total, "task")
            : `${count(heard.total)} of ${counted(run.tasks, "task")}`}
      </p>
      {heard.problem === undefined ? null : (
        <p className="problem" role="alert">
          {heard.problem}
        </p>
      )}
      <div className="grid" ref={place} />
      <p className="muted">
        Arrow keys move, Enter opens the task. A column&rsquo;s head sorts, with Enter too.
      </p>
    </Page>
  );
}

/** The grid is AG Grid's own, not its React component: React keeps, for each part of that whose state stays as it is, all
 *  refreshes until it is drawn anew, so that a page that is open overnight would grow. */
const gridOptions: GridOptions<TaskRow> = {
  theme,
  rowModelType: "infinite",
  cacheBlockSize: blockRows,
  maxBlocksInCache: blocksHeld,
  maxConcurrentDatasourceRequests: 2,
  blockLoadDebounceMillis: 40, // while the scroll bar is dragged, blocks fly by that nobody sees
  getRowId: ({ data }) => String(data.task),
  defaultColDef: { sortable: true, resizable: true, suppressHeaderMenuButton: true },
  suppressMultiSort: true,
  rowSelection: { mode: "singleRow", checkboxes: false, enableClickSelection: true },
  animateRows: false,
  overlayNoRowsTemplate: "<span>No task matches.</span>",
  onFirstDataRendered: restorePosition,
};

function columnsOf(runId: string, zone: Zone, navigate: (address: string) => void): ColDef<TaskRow>[] {
  const column = (field: TaskColumn, headerName: string, more: ColDef<TaskRow>): ColDef<TaskRow> => ({
    field,
    colId: field,
    headerName,
    ...more,
  });
  const time = (field: TaskColumn, name: string): ColDef<TaskRow> =>
    column(field, name, {
      width: 165,
      valueFormatter: ({ data, value }) => (data === undefined ? "" : zone.time(value as number | null)),
    });
  const number = { type: "rightAligned" };
  return [
    column("task", "Task", {
      ...{ width: 90, ...number },
      cellRenderer: ({ data }: ICellRendererParams<TaskRow>) =>
        data === undefined ? "…" : linkTo(taskAddress(runId, data.task), String(data.task), navigate),
    }),
    column("app", "App", { width: 160 }),
    column("state", "State", {
      width: 155,
      cellRenderer: ({ data }: ICellRendererParams<TaskRow>) =>
        data === undefined ? "" : stateElement(data.state),
    }),
    column("seconds", "Took", {
      width: 100,
      ...number,
      valueFormatter: ({ data, value }) => (data === undefined ? "" : duration(value as number | null)),
    }),
    column("tries", "Tries", { width: 75, ...number }),
    time("began", "Began"),
    column("host", "Host", { width: 150 }),
    column("block", "Block", { width: 75 }),
    column("failure", "Failure", { minWidth: 260, flex: 1 }),
    time("submitted", "Submitted"),
    time("ended", "Ended"),
    column("executor", "Executor", { width: 130 }),
  ];
}

/** A link that is followed within the page, unless a key says where else. */
function linkTo(address: string, text: string, navigate: (address: string) => void): HTMLElement {
  const link = document.createElement("a");
  link.href = address;
  link.tabIndex = -1;
  link.textContent = text;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0) return;
    event.preventDefault();
    navigate(address);
  });
  return link;
}

function isSortedBy(api: GridApi<TaskRow>, sort: string | null, order: "asc" | "desc"): boolean {
  const by = api.getColumnState().find((column) => column.sort != null);
  return by === undefined ? sort === null : by.colId === sort && by.sort === order;
}

function sortBy(api: GridApi<TaskRow>, sort: string | null, order: "asc" | "desc"): void {
  const state = sort === null ? [] : [{ colId: sort, sort: order }];
  api.applyColumnState({ state, defaultState: { sort: null } });
}

function restorePosition({ api }: FirstDataRenderedEvent<TaskRow>): void {
  const { row } = (history.state ?? {}) as { readonly row?: number };
  if (row === undefined || row >= api.getDisplayedRowCount()) return;
  api.ensureIndexVisible(row, "middle");
  api.setFocusedCell(row, "task");
}
