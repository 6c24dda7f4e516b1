import { useQuery } from "@tanstack/react-query";
import type { JSX } from "react";
import { Link } from "wouter";

import type { Finding } from "../../view/api.js";
import { runAddress, taskAddress } from "../addresses.js";
import { queries } from "../api.js";
import { Disclosure } from "../chart.js";
import { Verbatim } from "../copy.js";
import { count, counted } from "../format.js";
import { Answered, Page } from "../page.js";

const severities = [
  ["failure", "Failures"],
  ["warning", "Warnings"],
  ["note", "Notes"],
] as const;

export default function Why({ runId }: { readonly runId: string }): JSX.Element {
  const { data: run } = useQuery(queries.run(runId));
  const why = useQuery(queries.why(runId));
  return (
    <Page title="Why it failed" of={run?.workflow ?? undefined}>
      <Answered query={why}>
        {({ summary, findings }) => (
          <>
            <p className="summary">{summary}</p>
            {severities.map(([severity, name]) => {
              const some = findings.filter((finding) => finding.severity === severity);
              if (some.length === 0) return null;
              return (
                <section key={severity} className="findings" data-severity={severity} aria-label={name}>
                  <h2>{name}</h2>
                  {some.map((finding) => (
                    <FindingPanel key={`${finding.kind} ${finding.title}`} runId={runId} finding={finding} />
                  ))}
                </section>
              );
            })}
          </>
        )}
      </Answered>
    </Page>
  );
}

function FindingPanel({
  runId,
  finding,
}: {
  readonly runId: string;
  readonly finding: Finding;
}): JSX.Element {
  const { kind, title, detail, count: total, tasks, groups, query } = finding;
  return (
    <article className="panel finding" aria-label={title}>
      <header>
        <h3>{title}</h3>
        <span className="tag">{kind.replaceAll("-", " ")}</span>
      </header>
      {detail.map((sentence, index) => (
        <p key={index}>
          {sentence.split("`").map((part, code) => (code % 2 === 1 ? <code key={code}>{part}</code> : part))}
        </p>
      ))}
      <Groups runId={runId} groups={groups} />
      {tasks.length === 0 ? null : (
        <p>
          {counted(total, "task")}:{" "}
          {tasks.map((task, index) => (
            <span key={task}>
              {index === 0 ? "" : ", "}
              <Link href={taskAddress(runId, task)}>{String(task)}</Link>
            </span>
          ))}
          {total > tasks.length ? ` and ${count(total - tasks.length)} more` : ""}
        </p>
      )}
      <Disclosure summary="The query that shows it">
        {() => <Verbatim text={query} what={`query: ${title}`} />}
      </Disclosure>
    </article>
  );
}

const groupNames = { exception: "By exception", app: "By app", host: "By host", block: "By block" } as const;

/** Only so many values of a group are listed: the most frequent ones. */
const listedValues = 10;

function Groups({
  runId,
  groups,
}: {
  readonly runId: string;
  readonly groups: Finding["groups"];
}): JSX.Element | null {
  const some = (["exception", "app", "host", "block"] as const).flatMap((by) => {
    const values = groups[by] ?? [];
    return values.length === 0 ? [] : [{ by, values }];
  });
  if (some.length === 0) return null;
  return (
    <dl className="groups">
      {some.map(({ by, values }) => (
        <div key={by}>
          <dt>{groupNames[by]}</dt>
          <dd>
            <ul>
              {values.slice(0, listedValues).map(({ value, count: tasks }) => (
                <li key={value}>
                  <Link href={runAddress(runId, "tasks", tasksOf(by, value))}>{value}</Link> {count(tasks)}
                </li>
              ))}
              {values.length > listedValues ? (
                <li className="muted">and {count(values.length - listedValues)} more</li>
              ) : null}
            </ul>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** The tasks of a group that failed; an exception is found in the text of the failure. */
function tasksOf(by: keyof Finding["groups"], value: string): string {
  const query = new URLSearchParams(by === "exception" ? { search: value } : { [by]: value });
  return `?${query.toString()}`;
}
