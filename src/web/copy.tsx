import { useEffect, useState, type JSX } from "react";

/** How long the button says that it has copied, in ms. */
const saidMs = 2_000;

/** Puts a text on the clipboard. `what` says for a screen reader which of several. */
export function CopyButton({ text, what }: { readonly text: string; readonly what: string }): JSX.Element {
  const [said, setSaid] = useState<string>();

  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), saidMs);
    return () => clearTimeout(timer);
  }, [said]);

  function copy(): void {
    navigator.clipboard.writeText(text).then(
      () => setSaid("Copied"),
      () => setSaid("Not allowed"),
    );
  }

  return (
    <>
      <button type="button" className="copy" onClick={copy} aria-label={`Copy ${what}`}>
        {said ?? "Copy"}
      </button>
      <span role="status" className="unseen">
        {said === undefined ? "" : `${said}: ${what}`}
      </span>
    </>
  );
}

/** A text as it is, in full. */
export function Verbatim({ text, what }: { readonly text: string; readonly what: string }): JSX.Element {
  return (
    <div className="verbatim">
      <pre tabIndex={0} role="group" aria-label={what}>
        {text}
      </pre>
      <CopyButton text={text} what={what} />
    </div>
  );
}
