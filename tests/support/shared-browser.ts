import test from "ava";
import type { Browser } from "playwright-core";

import { startBrowser, whyNoChromium } from "./browser.js";

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
