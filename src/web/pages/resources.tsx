import type { JSX } from "react";

import { Page } from "../page.js";

export default function Resources({ runId }: { readonly runId: string }): JSX.Element {
  return <Page title="Resources">{runId}</Page>;
}
