import type { JSX } from "react";

import { Page } from "../page.js";

export default function Task({ runId }: { readonly runId: string; readonly task: number }): JSX.Element {
  return <Page title="Task">{runId}</Page>;
}
