import type { JSX } from "react";

import { Page } from "../page.js";

export default function Workers({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Workers">{runId}</Page>;
}
