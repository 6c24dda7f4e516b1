import test from "ava";
import type { Browser } from "playwright-core";

import { startBrowser, whyNoChromium } from "./browser.js";

/** Tests that want a browser, one after the other; without one they are skipped, and their titles end in the reason. `why`
 *  says why they cannot run, if they cannot. */
export function testsWithBrowser(why = whyNoChromium()): {
  readonly why: string | undefined;
  readonly unlessSkipped: typeof test.serial | typeof test.serial.skip;
  readonly reason: string;
} {
  return {
    why,
    unlessSkipped: why === undefined ? test.serial : test.serial.skip,
    reason: why === undefined ? "" : ` (skipped: ${why})`,
  };
}

/** Runs one browser for all tests of the calling file. The function that is returned may be called in tests only. */
export function sharedBrowser(): () => Browser {
  let browser: Browser | undefined;
  test.before(async () => {
    if (whyNoChromium() === undefined) browser = await startBrowser();
  });
  test.after.always(() => browser?.close());
  return () => {
    if (browser === undefined) throw new Error("the browser of this file has not started yet");
    return browser;
  };
}
