import type { JSX } from "react";

import { Page } from "../page.js";

export default function Runs(): JSX.Element {
  return <Page title="Runs">runs</Page>;
}
