import type { JSX } from "react";

import { Page } from "../page.js";

export default function Why({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Why">{runId}</Page>;
}
