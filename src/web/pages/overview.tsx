import type { JSX } from "react";

import { Page } from "../page.js";

export default function Overview({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Overview">{runId}</Page>;
}
