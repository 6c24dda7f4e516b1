import type { UseQueryResult } from "@tanstack/react-query";
import { createContext, useContext, useEffect, type JSX, type ReactNode } from "react";

import type { Zone } from "./format.js";

/** What a page is about, for its heading and the browser's title. */
export function Page({
  title,
  of,
  children,
}: {
  readonly title: string;
  /** The run's name, say, for the browser's title. */
  readonly of?: string | undefined;
  readonly children: ReactNode;
}): JSX.Element {
  useEffect(() => {
    document.title = [title, of, "parsl-collector"].filter((part) => part !== undefined).join(" · ");
  }, [title, of]);
  return (
    <>
      <h1>{title}</h1>
      {children}
    </>
  );
}

export function Panel({
  title,
  children,
}: {
  readonly title: string;
  readonly children: ReactNode;
}): JSX.Element {
  return (
    <section className="panel">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** What the answer shows, also while a newer one is on its way or fails to come; until there is one, why. */
export function Answered<T>({
  query,
  children,
}: {
  readonly query: UseQueryResult<T>;
  readonly children: (answer: T) => ReactNode;
}): JSX.Element {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error !== null) {
    return (
      <p className="problem" role="alert">
        {query.error.message}
      </p>
    );
  }
  return (
    <p className="muted" role="status">
      Loading…
    </p>
  );
}

/** Figures with their names. */
export function Figures({ of }: { readonly of: Readonly<Record<string, ReactNode>> }): JSX.Element {
  return (
    <dl className="figures">
      {Object.entries(of).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface Column<Row> {
  readonly name: string;
  readonly cell: (row: Row) => ReactNode;
  readonly numeric?: boolean;
}

/** A table of some hundred rows at most; it scrolls in its place, by keyboard too. */
export function DataTable<Row>({
  caption,
  columns,
  rows,
}: {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
}): JSX.Element {
  return (
    <div className="scroll" role="group" aria-label={caption} tabIndex={0}>
      <table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ name, numeric }) => (
              <th key={name} scope="col" className={numeric === true ? "number" : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              {columns.map(({ name, cell, numeric }) => (
                <td key={name} className={numeric === true ? "number" : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const ZoneContext = createContext<Zone | null>(null);

/** The zone of the file's times. */
export function useZone(): Zone {
  const zone = useContext(ZoneContext);
  if (zone === null) throw new Error("read the zone of the file: no ZoneContext is around this component");
  return zone;
}
