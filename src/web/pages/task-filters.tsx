import { useEffect, useId, useRef, useState, type JSX } from "react";

import type { RunDetail, TaskState } from "../../view/api.js";
import { stateNames, states } from "../states.js";

const choices = ["state", "app", "executor", "block", "host"] as const;
type Choice = (typeof choices)[number];

/** What narrows the tasks, by its name in the page's address and in the API's. */
export const filters = ["search", ...choices] as const;

/** Above so many values a filter has a box to find one. */
const manyValues = 15;

interface TaskFiltersProps {
  readonly run: RunDetail | undefined;
  readonly chosen: URLSearchParams;
  readonly change: (change: (parameters: URLSearchParams) => void, options?: { replace: boolean }) => void;
}

/** Narrows the tasks; what is chosen is in the page's address. */
export function TaskFilters({ run, chosen, change }: TaskFiltersProps): JSX.Element {
  const values: Readonly<Record<Choice, readonly string[]>> = {
    state: stateNames.filter((state) => run === undefined || run.states[state] !== undefined),
    app: run?.apps.map(({ app }) => app) ?? [],
    executor: run?.executors ?? [],
    block: [...new Set(run?.blocks.map(({ block }) => block))],
    host: run?.hosts ?? [],
  };
  return (
    <search className="filters">
      <SearchBox
        value={chosen.get("search") ?? ""}
        onChange={(text) =>
          change((now) => (text === "" ? now.delete("search") : now.set("search", text)), { replace: true })
        }
      />
      {choices.map((name) => (
        <Filter
          key={name}
          name={name}
          values={values[name]}
          chosen={chosen.getAll(name)}
          onChange={(value, on) => change((now) => (on ? now.append(name, value) : now.delete(name, value)))}
        />
      ))}
      {chosen.size === 0 ? null : (
        <button type="button" onClick={() => change((now) => filters.forEach((name) => now.delete(name)))}>
          Show all tasks
        </button>
      )}
    </search>
  );
}

/** Asks once somebody pauses in typing: in ms. */
const typingMs = 150;

function SearchBox({
  value,
  onChange,
}: {
  readonly value: string;
  readonly onChange: (text: string) => void;
}): JSX.Element {
  const [text, setText] = useState(value);
  const told = useRef(value);
  const tell = useRef(onChange);
  tell.current = onChange;

  useEffect(() => {
    if (value === told.current) return; // it comes from here
    told.current = value;
    setText(value);
  }, [value]);

  useEffect(() => {
    if (text.trim() === told.current) return;
    const timer = setTimeout(() => {
      told.current = text.trim();
      tell.current(told.current);
    }, typingMs);
    return () => clearTimeout(timer);
  }, [text]);

  return (
    <label>
      Search{" "}
      <input
        type="search"
        size={32}
        placeholder="task, app, host, block or failure"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </label>
  );
}

const names: Readonly<Record<Choice, string>> = {
  state: "State",
  app: "App",
  executor: "Executor",
  block: "Block",
  host: "Host",
};

/** Any of the values that are ticked; without any, all. */
function Filter({
  name,
  values,
  chosen,
  onChange,
}: {
  readonly name: Choice;
  readonly values: readonly string[];
  readonly chosen: readonly string[];
  readonly onChange: (value: string, on: boolean) => void;
}): JSX.Element {
  const [part, setPart] = useState("");
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDetailsElement>(null);
  const heading = useId();
  const all = [...new Set([...chosen, ...values])]; // an address may ask for what this run does not have
  const shown = all.filter((value) => labelOf(name, value).toLowerCase().includes(part.toLowerCase()));

  useEffect(() => {
    if (!open) return;
    const close = ({ target }: Event): void => {
      if (!(target instanceof Node && box.current?.contains(target) === true)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [open]);

  return (
    <details
      ref={box}
      className="filter"
      open={open}
      onToggle={(event) => setOpen(event.currentTarget.open)}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        setOpen(false);
        box.current?.querySelector("summary")?.focus();
      }}
    >
      <summary id={heading}>
        {names[name]}:{" "}
        <b>{chosen.length === 0 ? "any" : chosen.map((value) => labelOf(name, value)).join(", ")}</b>
      </summary>
      <div role="group" aria-labelledby={heading}>
        {all.length <= manyValues ? null : (
          <input
            type="search"
            aria-label={`Find ${names[name].toLowerCase()}`}
            value={part}
            onChange={(event) => setPart(event.target.value)}
          />
        )}
        {shown.slice(0, 200).map((value) => (
          <label key={value}>
            <input
              type="checkbox"
              checked={chosen.includes(value)}
              onChange={(event) => onChange(value, event.target.checked)}
            />
            {labelOf(name, value)}
          </label>
        ))}
        {shown.length === 0 ? <span className="muted">none</span> : null}
        {shown.length > 200 ? <span className="muted">and {shown.length - 200} more</span> : null}
      </div>
    </details>
  );
}

function labelOf(name: Choice, value: string): string {
  return name === "state" && value in states ? states[value as TaskState].label : value;
}
