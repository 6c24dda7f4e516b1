import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useRef, useSyncExternalStore, type JSX } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import type { Source } from "../view/api.js";
import { runAddress, type RunPage } from "./addresses.js";
import { Problem, queries } from "./api.js";
import { Zone } from "./format.js";
import { Live } from "./live.js";
import { Answered, Page, ZoneContext } from "./page.js";

const Runs = lazy(() => import("./pages/runs.js"));
const Overview = lazy(() => import("./pages/overview.js"));
const Tasks = lazy(() => import("./pages/tasks.js"));
const Task = lazy(() => import("./pages/task.js"));
const Graph = lazy(() => import("./pages/graph.js"));
const Workers = lazy(() => import("./pages/workers.js"));
const Resources = lazy(() => import("./pages/resources.js"));
const Why = lazy(() => import("./pages/why.js"));

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Infinity, // until the server says that something changed
      gcTime: 30_000, // a page left open for a night keeps nothing that it does not show
      retry: (failures, error) => failures < 2 && !(error instanceof Problem && error.status >= 400),
    },
  },
});
const live = new Live(client);

export function App(): JSX.Element {
  return (
    <QueryClientProvider client={client}>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Opened />
    </QueryClientProvider>
  );
}

function Opened(): JSX.Element {
  const source = useQuery(queries.source());
  useEffect(() => {
    if (source.data !== undefined) live.indexed(source.data.indexed);
  }, [source.data]);
  return (
    <>
      <Header source={source.data} />
      <Route path="/runs/:run/*?">{({ run }) => <RunTabs runId={run} />}</Route>
      <Content>
        <Answered query={source}>{({ timezone }) => <Pages timezone={timezone} />}</Answered>
      </Content>
    </>
  );
}

function Header({ source }: { readonly source: Source | undefined }): JSX.Element {
  const state = useSyncExternalStore(live.subscribe, live.state);
  return (
    <header className="bar">
      <Link className="home" href="/">
        parsl-collector
      </Link>
      {source === undefined ? null : <span>{source.file}</span>}
      <Route path="/runs/:run/*?">{({ run }) => <RunName runId={run} />}</Route>
      <span className="end">
        {source === undefined ? null : `Times in ${source.timezone}`}{" "}
        <span className="live" data-state={state.split(" ")[0]} role="status">
          {state}
        </span>
      </span>
    </header>
  );
}

function RunName({ runId }: { readonly runId: string }): JSX.Element {
  const { data: run } = useQuery(queries.run(runId));
  return (
    <Link href={runAddress(runId)} title={runId}>
      {run?.workflow ?? "run"} {runId.slice(0, 8)}
    </Link>
  );
}

const tabs: readonly (readonly [RunPage, string])[] = [
  ["", "Overview"],
  ["tasks", "Tasks"],
  ["graph", "Graph"],
  ["workers", "Workers"],
  ["resources", "Resources"],
  ["why", "Why it failed"],
];

function RunTabs({ runId }: { readonly runId: string }): JSX.Element {
  const [location] = useLocation();
  return (
    <nav className="tabs" aria-label="Pages of this run">
      {tabs.map(([page, name]) => {
        const href = runAddress(runId, page);
        const here = location === href || (page !== "" && location.startsWith(`${href}/`));
        return (
          <Link key={page} href={href} aria-current={here ? "page" : undefined}>
            {name}
          </Link>
        );
      })}
    </nav>
  );
}

/** Takes the focus when another page comes, so that keyboard and screen reader go on there. */
function Content({ children }: { readonly children: JSX.Element }): JSX.Element {
  const main = useRef<HTMLElement>(null);
  const [location] = useLocation();
  const shown = useRef(location);
  useEffect(() => {
    if (shown.current === location) return;
    shown.current = location;
    main.current?.focus();
  }, [location]);
  return (
    <main id="content" tabIndex={-1} ref={main}>
      {children}
    </main>
  );
}

function Pages({ timezone }: { readonly timezone: string }): JSX.Element {
  const zone = useMemo(() => new Zone(timezone), [timezone]);
  return (
    <ZoneContext value={zone}>
      <Suspense fallback={<p role="status">Loading…</p>}>
        <Switch>
          <Route path="/">
            <Runs />
          </Route>
          <Route path="/runs/:run">{({ run }) => <Overview key={run} runId={run} />}</Route>
          <Route path="/runs/:run/tasks">{({ run }) => <Tasks key={run} runId={run} />}</Route>
          <Route path="/runs/:run/tasks/:task">
            {({ run, task }) => <Task key={`${run}/${task}`} runId={run} task={Number(task)} />}
          </Route>
          <Route path="/runs/:run/graph">{({ run }) => <Graph key={run} runId={run} />}</Route>
          <Route path="/runs/:run/workers">{({ run }) => <Workers key={run} runId={run} />}</Route>
          <Route path="/runs/:run/resources">{({ run }) => <Resources key={run} runId={run} />}</Route>
          <Route path="/runs/:run/why">{({ run }) => <Why key={run} runId={run} />}</Route>
          <Route>
            <Page title="There is no such page">
              <p>
                <Link href="/">All runs of the file</Link>
              </p>
            </Page>
          </Route>
        </Switch>
      </Suspense>
    </ZoneContext>
  );
}
