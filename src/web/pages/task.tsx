import { useQuery } from "@tanstack/react-query";
import { useMemo, type JSX, type ReactNode } from "react";
import { Link } from "wouter";

import type { TaskDetail, TaskLink, Try } from "../../view/api.js";
import { runAddress, taskAddress } from "../addresses.js";
import { queries } from "../api.js";
import { Disclosure } from "../chart.js";
import { CopyButton, Verbatim } from "../copy.js";
import { count, counted, duration, unknown } from "../format.js";
import { Answered, DataTable, Figures, Page, Panel, useZone } from "../page.js";
import { StateLabel } from "../states.js";
import { TaskResources } from "./task-resources.js";
import { TaskTimeline } from "./task-timeline.js";

export default function Task({
  runId,
  task,
}: {
  readonly runId: string;
  readonly task: number;
}): JSX.Element {
  const { data: run } = useQuery(queries.run(runId));
  const detail = useQuery(queries.task(runId, task));
  const app = detail.data?.app;
  return (
    <Page
      title={`Task ${String(task)}${app === undefined ? "" : `: ${app}`}`}
      of={run?.workflow ?? undefined}
    >
      <Neighbours runId={runId} task={task} tasks={run?.tasks} />
      <Answered query={detail}>
        {(of) => (
          <>
            <Facts runId={runId} of={of} />
            <Failures of={of} />
            <TaskTimeline of={of} lastHeard={run?.completed ?? run?.lastHeard ?? null} />
            <Tries runId={runId} of={of} />
            <TaskResources tries={of.attempts} />
            <div className="columns wide">
              <Files of={of} />
              <Dependencies runId={runId} of={of} />
            </div>
          </>
        )}
      </Answered>
    </Page>
  );
}

/** Links to the tasks before and after it; Parsl counts them from 0. */
function Neighbours({
  runId,
  task,
  tasks,
}: {
  readonly runId: string;
  readonly task: number;
  readonly tasks: number | undefined;
}): JSX.Element {
  return (
    <nav className="neighbours" aria-label="Neighbouring tasks">
      {task === 0 ? null : <Link href={taskAddress(runId, task - 1)}>← Task {task - 1}</Link>}
      <Link href={runAddress(runId, "tasks")}>All tasks</Link>
      {tasks === undefined || task + 1 >= tasks ? null : (
        <Link href={taskAddress(runId, task + 1)}>Task {task + 1} →</Link>
      )}
    </nav>
  );
}

function Facts({ runId, of }: { readonly runId: string; readonly of: TaskDetail }): JSX.Element {
  const zone = useZone();
  return (
    <Figures
      of={{
        State: <StateLabel state={of.state} />,
        App: <Filtered runId={runId} by="app" value={of.app} />,
        Executor: <Filtered runId={runId} by="executor" value={of.executor} />,
        Block: <Filtered runId={runId} by="block" value={of.block} />,
        Host: <Filtered runId={runId} by="host" value={of.host} />,
        Submitted: zone.named(of.submitted),
        Began: zone.named(of.began),
        Ended: zone.named(of.ended),
        Took: duration(of.seconds),
        Tries: count(of.tries),
        Failures:
          of.failCount === of.failCost
            ? count(of.failCount)
            : `${count(of.failCount)} (cost ${count(of.failCost)})`,
        Memoized: of.memoized ? "yes" : "no",
      }}
    />
  );
}

function Filtered({
  runId,
  by,
  value,
}: {
  readonly runId: string;
  readonly by: "app" | "executor" | "block" | "host";
  readonly value: string | null;
}): JSX.Element {
  if (value === null) return <>{unknown}</>;
  return (
    <Link href={runAddress(runId, "tasks", `?${new URLSearchParams({ [by]: value }).toString()}`)}>
      {value}
    </Link>
  );
}

/** The text of the last failure in full, and those of the tries before it to open. */
function Failures({ of }: { readonly of: TaskDetail }): JSX.Element | null {
  const failures = of.attempts.flatMap(({ try: number, failure }) =>
    failure === null ? [] : [{ number, failure }],
  );
  if (failures.length === 0 && of.failure !== null) failures.push({ number: 0, failure: of.failure });
  const last = failures.pop();
  if (last === undefined) return null;
  const named = (number: number): string => `failure of try ${String(number)}`;
  return (
    <Panel title={of.attempts.length > 1 ? `Failure of try ${String(last.number)}` : "Failure"}>
      <Verbatim text={last.failure} what={named(last.number)} />
      {failures.reverse().map(({ number, failure }) => (
        <Disclosure key={number} summary={`Failure of try ${String(number)}`}>
          {() => <Verbatim text={failure} what={named(number)} />}
        </Disclosure>
      ))}
    </Panel>
  );
}

function Tries({ runId, of }: { readonly runId: string; readonly of: TaskDetail }): JSX.Element {
  const zone = useZone();
  const columns = useMemo(
    () => [
      { name: "Try", numeric: true, cell: (one: Try) => String(one.try) },
      { name: "Executor", cell: (one: Try) => one.executor },
      { name: "Block", cell: (one: Try) => one.block ?? unknown },
      { name: "Host", cell: (one: Try) => <Filtered runId={runId} by="host" value={one.host} /> },
      { name: "Launched", cell: (one: Try) => zone.time(one.launched) },
      { name: "Waited", numeric: true, cell: (one: Try) => duration(between(one.launched, one.began)) },
      { name: "Ran", numeric: true, cell: (one: Try) => duration(between(one.began, one.returned)) },
      { name: "Joins", cell: (one: Try) => <Joins runId={runId} joins={one.joins} /> },
    ],
    [runId, zone],
  );
  return (
    <Panel title="Tries">
      {of.attempts.length === 0 ? (
        <p className="muted">It was never tried.</p>
      ) : (
        <DataTable
          caption="Where and how long it was tried"
          columns={of.attempts.some(({ joins }) => joins !== null) ? columns : columns.slice(0, -1)}
          rows={of.attempts}
        />
      )}
    </Panel>
  );
}

/** The tasks that a join app waits for, which Parsl writes as "13,14". */
function Joins({ runId, joins }: { readonly runId: string; readonly joins: string | null }): JSX.Element {
  const tasks = joins === null || joins === "" ? [] : joins.split(",");
  return (
    <>
      {tasks.map((task, index) => (
        <span key={task}>
          {index === 0 ? "" : ", "}
          <Link href={taskAddress(runId, Number(task))}>{task}</Link>
        </span>
      ))}
    </>
  );
}

/** In seconds. */
function between(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : (to - from) / 1000;
}

function Files({ of }: { readonly of: TaskDetail }): JSX.Element {
  const paths = {
    Inputs: of.inputs,
    Outputs: of.outputs,
    stdin: of.stdin,
    stdout: of.stdout,
    stderr: of.stderr,
  };
  const known = Object.entries({ ...paths, "Hash of the call": of.hashsum }).filter(
    (entry): entry is [string, string] => entry[1] !== null && entry[1] !== "",
  );
  return (
    <Panel title="Inputs and outputs">
      {known.length === 0 ? <p className="muted">It names no files.</p> : null}
      <dl className="paths">
        {known.map(([name, path]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <code>{path}</code> <CopyButton text={path} what={name} />
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}

function Dependencies({ runId, of }: { readonly runId: string; readonly of: TaskDetail }): JSX.Element {
  const { dependsOn, dependents, dependentCount } = of;
  return (
    <Panel title="Dependencies">
      <Links runId={runId} tasks={dependsOn}>
        {dependsOn.length === 0
          ? "It depends on no task."
          : `It depends on ${counted(dependsOn.length, "task")}`}
      </Links>
      <Links runId={runId} tasks={dependents}>
        {dependentCount === 0
          ? "No task depends on it."
          : dependentCount > dependents.length
            ? `${count(dependentCount)} tasks depend on it, of which the first are`
            : `${counted(dependentCount, "task")} ${dependentCount === 1 ? "depends" : "depend"} on it`}
      </Links>
    </Panel>
  );
}

function Links({
  runId,
  tasks,
  children,
}: {
  readonly runId: string;
  readonly tasks: readonly TaskLink[];
  readonly children: ReactNode;
}): JSX.Element {
  return (
    <>
      <h3>{children}</h3>
      {tasks.length === 0 ? null : (
        <ul className="scroll links" tabIndex={0}>
          {tasks.map(({ task, app, state }) => (
            <li key={task}>
              <Link href={taskAddress(runId, task)}>
                {String(task)} {app}
              </Link>{" "}
              <StateLabel state={state} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
