/** What one look at one thing found. */
export interface Check {
  readonly name: string;
  readonly state: "ok" | "warning" | "failed";
  readonly found: string;
  /** What to do about it; there is nothing to do when it is ok. */
  readonly cure?: string;
}

export function ok(name: string, found: string): Check {
  return { name, state: "ok", found };
}

/** It works, and not as well as it could. */
export function warning(name: string, found: string, cure: string): Check {
  return { name, state: "warning", found, cure };
}

/** It does not work. */
export function failed(name: string, found: string, cure: string): Check {
  return { name, state: "failed", found, cure };
}
