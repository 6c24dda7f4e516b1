import type { JSX } from "react";

import type { Completeness } from "../view/api.js";
import { count, counted } from "./format.js";

/** In a few words, whether messages of a run are missing. */
export function CompletenessMark({ of }: { readonly of: Completeness | null }): JSX.Element {
  if (of === null) return <span className="muted">no ledger</span>;
  const { complete, stored, missing, lost, rejected } = of;
  if (complete) return <span className="complete">all {counted(stored + rejected, "message")}</span>;
  const gone = missing + lost;
  return gone > 0 ? (
    <span className="incomplete">{counted(gone, "message")} missing</span>
  ) : (
    <span className="muted">{counted(stored, "message")} so far</span>
  );
}

/** The ledger of a run in words. */
export function Ledger({ of }: { readonly of: Completeness | null }): JSX.Element {
  if (of === null) {
    return (
      <p className="muted">
        Parsl&apos;s own hub wrote this file: it keeps no ledger, so nobody knows whether messages are
        missing.
      </p>
    );
  }
  return (
    <>
      <p>
        <CompletenessMark of={of} />
      </p>
      {of.lacks.length === 0 ? null : (
        <ul>
          {of.lacks.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      )}
      <p className="muted">
        {count(of.stored)} stored, {count(of.rejected)} kept as rejected, {count(of.missing)} missing,{" "}
        {count(of.lost)} lost.
      </p>
    </>
  );
}

/** What a run is doing, as far as its rows and its ledger say. */
export function runState(completed: number | null, completeness: Completeness | null): string {
  if (completed !== null) return "completed";
  if (completeness === null) return "no end recorded";
  return completeness.state === "lost" ? "lost: its driver is silent" : "running";
}
