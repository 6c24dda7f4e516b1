import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { Link } from "wouter";

import type { RunSummary } from "../../view/api.js";
import { runAddress } from "../addresses.js";
import { queries } from "../api.js";
import { CompletenessMark, runState } from "../completeness.js";
import { count, counted, duration, type Zone } from "../format.js";
import { Answered, DataTable, Page, useZone, type Column } from "../page.js";
import { StateCounts, StatesBar } from "../states.js";

export default function Runs(): JSX.Element {
  const zone = useZone();
  return (
    <Page title="Runs">
      <Answered query={useQuery(queries.runs())}>
        {(runs) =>
          runs.length === 0 ? (
            <p>The file has no run yet. It appears here as soon as one begins.</p>
          ) : (
            <DataTable
              caption={`${counted(runs.length, "run")}, the latest first`}
              columns={columns(zone)}
              rows={runs}
            />
          )
        }
      </Answered>
    </Page>
  );
}

function columns(zone: Zone): Column<RunSummary>[] {
  return [
    {
      name: "Run",
      cell: ({ runId, workflow, version }) => (
        <>
          <Link href={runAddress(runId)}>{workflow ?? "unnamed"}</Link>
          {version === null ? null : ` ${version}`}
          <div className="muted">{runId}</div>
        </>
      ),
    },
    { name: `Began (${zone.name})`, cell: ({ began }) => zone.time(began) },
    { name: "State", cell: ({ completed, completeness }) => runState(completed, completeness) },
    {
      name: "Duration",
      cell: ({ began, completed, lastHeard }) => duration(((completed ?? lastHeard) - began) / 1000),
      numeric: true,
    },
    { name: "Tasks", cell: ({ tasks }) => count(tasks), numeric: true },
    {
      name: "Tasks by state",
      cell: ({ states }) => (
        <>
          <StatesBar counts={states} />
          <StateCounts counts={states} />
        </>
      ),
    },
    { name: "Messages", cell: ({ completeness }) => <CompletenessMark of={completeness} /> },
    { name: "By", cell: ({ user, host }) => `${user} on ${host}` },
  ];
}
