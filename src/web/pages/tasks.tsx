import type { JSX } from "react";

import { Page } from "../page.js";

export default function Tasks({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Tasks">{runId}</Page>;
}
