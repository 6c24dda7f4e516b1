import type { CSSProperties, JSX } from "react";

import type { TaskState } from "../view/api.js";
import { count } from "./format.js";

interface Look {
  readonly label: string;
  /** Tells the state without its colour, which is --state-… in style.css. */
  readonly symbol: string;
  readonly meaning: string;
}

/** The states of a task in the order in which it passes through them, as all pages list, stack and colour them. */
export const states: Readonly<Record<TaskState, Look>> = {
  exec_done: { label: "done", symbol: "✓", meaning: "It returned a result." },
  memo_done: { label: "memoized", symbol: "≡", meaning: "Its result was known from an earlier call." },
  running_ended: {
    label: "run ended",
    symbol: "◕",
    meaning: "The worker has run it; its result is on its way.",
  },
  running: { label: "running", symbol: "▶", meaning: "A worker runs it." },
  joining: { label: "joining", symbol: "⋈", meaning: "It waits for the tasks that it submitted." },
  launched: { label: "launched", symbol: "◔", meaning: "An executor has it; no worker runs it yet." },
  pending: { label: "pending", symbol: "○", meaning: "It waits for the tasks that it depends on." },
  unsched: { label: "unscheduled", symbol: "·", meaning: "It is not submitted to Parsl's scheduling yet." },
  fail_retryable: { label: "to be retried", symbol: "↻", meaning: "A try failed; another one follows." },
  failed: { label: "failed", symbol: "✗", meaning: "It failed, and is not tried again." },
  dep_fail: {
    label: "dependency failed",
    symbol: "⊘",
    meaning: "It never ran: a task that it depends on failed.",
  },
};

export const stateNames = Object.keys(states) as TaskState[];

/** A state's name with its symbol in its colour. */
export function StateLabel({ state }: { readonly state: TaskState }): JSX.Element {
  const { label, symbol } = states[state];
  return (
    <span className="state" style={colored(state)} title={titleOf(state)}>
      <span aria-hidden="true">{symbol}</span>
      {label}
    </span>
  );
}

/** The same where React does not draw. */
export function stateElement(state: TaskState): HTMLElement {
  const { label, symbol } = states[state];
  const name = document.createElement("span");
  name.className = "state";
  name.style.setProperty("--state", colorOf(state));
  name.title = titleOf(state);
  const sign = document.createElement("span");
  sign.ariaHidden = "true";
  sign.textContent = symbol;
  name.append(sign, label);
  return name;
}

type Counts = Readonly<Partial<Record<TaskState, number>>>;

/** How many tasks are in each state, as shares of a bar; in words for those who do not see it. */
export function StatesBar({ counts }: { readonly counts: Counts }): JSX.Element {
  const some = stateNames.filter((state) => (counts[state] ?? 0) > 0);
  const words = some.map((state) => `${count(counts[state] ?? 0)} ${states[state].label}`).join(", ");
  return (
    <div className="states" role="img" aria-label={words === "" ? "no tasks" : words} title={words}>
      {some.map((state) => (
        <span key={state} style={{ ...colored(state), flexGrow: counts[state] }} />
      ))}
    </div>
  );
}

/** How many tasks are in each state, in words. */
export function StateCounts({ counts }: { readonly counts: Counts }): JSX.Element {
  return (
    <ul className="counts">
      {stateNames
        .filter((state) => (counts[state] ?? 0) > 0)
        .map((state) => (
          <li key={state}>
            <StateLabel state={state} /> {count(counts[state] ?? 0)}
          </li>
        ))}
    </ul>
  );
}

function colored(state: TaskState): CSSProperties {
  return { "--state": colorOf(state) } as CSSProperties;
}

function colorOf(state: TaskState): string {
  return `var(--state-${state})`;
}

function titleOf(state: TaskState): string {
  return `${state}: ${states[state].meaning}`;
}
