import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

import { AxeBuilder } from "@axe-core/playwright";
import { chromium, type Browser, type Page } from "playwright-core";

import type { Scope } from "./scope.js";

/** Programs that are Chromium, by their names on PATH. */
const names = ["chromium", "chromium-browser", "google-chrome"];

const switches = [
  "--no-sandbox", // which root may not have, and the page is our own
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // The network is closed to everything but this machine's own address.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** Why there is no Chromium to test with; undefined when there is one. */
export function whyNoChromium(): string | undefined {
  return chromiumPath() === undefined ? "needs Chromium: apt-get install chromium" : undefined;
}

/** $PARSL_COLLECTOR_TEST_CHROMIUM, or the first that is on PATH. */
function chromiumPath(): string | undefined {
  const named = process.env["PARSL_COLLECTOR_TEST_CHROMIUM"];
  if (named !== undefined) return named;
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return directories
    .flatMap((directory) => names.map((name) => join(directory, name)))
    .find((path) => existsSync(path));
}

/** Starts a Chromium without a window. `flags` are more switches of its own. */
export function startBrowser(flags: readonly string[] = []): Promise<Browser> {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error(`start a browser: ${whyNoChromium() ?? ""}`);
  return chromium.launch({ executablePath, args: [...switches, ...flags] });
}

/** A tab with what went wrong in it. */
export interface Tab {
  readonly page: Page;
  /** Errors on the console and those that nobody caught, requests to anybody but the collector, and loads that
   *  failed. */
  readonly problems: readonly string[];
}

export interface TabOptions {
  readonly theme?: "light" | "dark";
  /** In px. */
  readonly height?: number;
  /** Runs in the page before its own code. */
  readonly script?: string;
}

/** Opens a tab at an address of the collector's until the test ends. */
export async function openTab(
  t: Pick<Scope, "teardown">,
  browser: Browser,
  url: string,
  { theme = "light", height = 900, script }: TabOptions = {},
): Promise<Tab> {
  const context = await browser.newContext({
    colorScheme: theme,
    viewport: { width: 1280, height },
    locale: "en-GB",
    timezoneId: "Pacific/Apia", // far from every zone in the tests' files
  });
  t.teardown(() => context.close());
  const problems: string[] = [];
  const { origin } = new URL(url);
  context.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) {
      problems.push(`asked ${request.url()}`);
    }
  });
  if (script !== undefined) await context.addInitScript(script);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  return { page, problems };
}

/** What axe finds against the page as it is now, one line each. */
export async function axeFindings(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target }) => `${id}: ${help}: ${target.join(" ")}`),
  );
}
