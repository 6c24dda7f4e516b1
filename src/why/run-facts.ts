/** What is asked of a run once, and how many of its tasks came to which end. */
export interface RunFacts {
  readonly runId: string;
  /** The same, as SQL has it. */
  readonly sql: string;
  readonly completed: string | null;
  readonly rundir: string;
  readonly tasks: number;
  /** Dependent ones included. */
  readonly failed: number;
  /** Failed since another did. */
  readonly dependent: number;
  /** Have no end. */
  readonly open: number;
}
