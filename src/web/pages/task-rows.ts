import type { GridApi, IDatasource, IGetRowsParams } from "ag-grid-community";

import type { TaskPage, TaskRow } from "../../view/api.js";
import { get, type Parameters } from "../api.js";

/** What came of the last block that the grid asked for. */
export interface Heard {
  /** Tasks that match; undefined until the server has said. */
  readonly total?: number;
  readonly problem?: string;
}

/** Feeds the grid with the tasks of a run that match, a block at a time, as it scrolls to them. The server filters, sorts
 *  and searches; nothing is kept here. */
export class TaskRows implements IDatasource {
  readonly #runId: string;
  readonly #filters: Parameters;
  readonly #hear: (heard: Heard) => void;
  readonly #destroyed = new AbortController();
  #total: number | undefined;
  #asked = 0;
  #whenAnswered: (() => void)[] = [];

  constructor(runId: string, filters: Parameters, hear: (heard: Heard) => void) {
    this.#runId = runId;
    this.#filters = filters;
    this.#hear = hear;
  }

  getRows({ startRow, endRow, sortModel: [by], ...grid }: IGetRowsParams<TaskRow>): void {
    this.#asked++;
    void this.#page(startRow, endRow - startRow, by?.colId, by?.sort ?? undefined)
      .then(({ rows, total }) => {
        grid.successCallback([...rows], total);
        this.#heard(total);
      })
      .catch((error: unknown) => {
        grid.failCallback();
        this.#failed(error);
      })
      .finally(() => {
        this.#asked--;
        if (this.#asked > 0) return;
        for (const answered of this.#whenAnswered.splice(0)) answered();
      });
  }

  /** Asks anew for the blocks that the grid holds, and resolves when they have come: position and selection stay. */
  async refresh(api: GridApi<TaskRow>): Promise<void> {
    if (this.#total === undefined && this.#asked > 0) return; // the first answer is still on its way
    if (this.#total === 0) {
      // The grid holds no block that it could ask for, and would show an empty row meanwhile.
      const total = await this.#page(0, 1).then(
        (page) => page.total,
        () => 0,
      );
      if (total === 0) return;
    }
    const answered = new Promise<void>((resolve) => this.#whenAnswered.push(resolve));
    api.refreshInfiniteCache();
    await answered;
  }

  destroy(): void {
    this.#destroyed.abort();
    for (const answered of this.#whenAnswered.splice(0)) answered();
  }

  #page(offset: number, limit: number, sort?: string, order?: string): Promise<TaskPage> {
    const parameters = { ...this.#filters, offset, limit, sort, order };
    return get<TaskPage>(["runs", this.#runId, "tasks"], parameters, this.#destroyed.signal);
  }

  #heard(total: number): void {
    this.#total = total;
    this.#hear({ total });
  }

  #failed(error: unknown): void {
    if (this.#destroyed.signal.aborted || !(error instanceof Error)) return;
    this.#hear({ ...(this.#total === undefined ? {} : { total: this.#total }), problem: error.message });
  }
}
