import type { JSX } from "react";

import { Page } from "../page.js";

export default function Graph({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Graph">{runId}</Page>;
}
