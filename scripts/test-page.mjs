/** Runs the test of what an open page holds by itself, for as many updates as one likes.
 *
 *  usage: node scripts/test-page.mjs [--updates 10000] */
import { parseArgs } from "node:util";

import { runAvaAlone } from "./lib/ava-alone.mjs";

const { values } = parseArgs({ options: { updates: { type: "string", default: "10000" } } });
if (!/^[1-9]\d*$/.test(values.updates)) {
  console.error(`test-page: --updates must be a whole number from 1 up, got ${values.updates}`);
  process.exit(2);
}
// Each page's updates take minutes, in which ava hears nothing.
process.exitCode = runAvaAlone("web/memory.test.js", { PARSL_COLLECTOR_TEST_PAGE_UPDATES: values.updates }, [
  "--timeout=60m",
]);
