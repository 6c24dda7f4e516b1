import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import test from "ava";

import { checkRatios } from "../../bench/check.js";
import { chartName, chartOf, hasChart, mergeResults, pageOf } from "../../bench/pages.js";
import { parts } from "../../bench/parts.js";
import { asText, median, quantiles, type PartResult, type Results } from "../../bench/report.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const text = (...path: readonly string[]): string => readFileSync(join(root, ...path), "utf8");

const pages = ["PERFORMANCE.md", "TRANSPORTS.md"];

function result(part: string, more: Partial<PartResult> = {}): PartResult {
  const when = { date: "2026-01-01", machine: "2 cores", seconds: 10, othersShare: 0.5 };
  return { part, ...when, scale: 1, rounds: 3, tables: [], ...more };
}

function ratios(part: string, found: Record<string, number>): Results {
  return { parts: [result(part, { ratios: found })] };
}

test("the pages and charts in docs are what the figures on record make", (t) => {
  const record = JSON.parse(text("bench", "figures.json")) as Results;

  for (const page of pages) {
    t.is(text("docs", page), pageOf(text("bench", "pages", page), record), `${page}: npm run bench -- write`);
  }
  for (const part of record.parts.filter(hasChart)) {
    t.is(text("docs", basename(chartName(part.part))), chartOf(part));
  }
});

test("each part has its place on a page, and each place a part", (t) => {
  const places = pages.flatMap((page) =>
    [...text("bench", "pages", page).matchAll(/^<!-- bench: (\S+) -->$/gm)].map(([, name]) => name),
  );

  t.deepEqual(places.filter((name) => name !== "targets").sort(), Object.keys(parts).sort());
});

test("a ratio is lost when less than three quarters of it are left, or when it is not there any more", (t) => {
  const record = ratios("ingest", { kept: 8, lost: 8, gone: 8 });

  const found = checkRatios(record, ratios("ingest", { kept: 6, lost: 5.99, new: 1 }));

  t.deepEqual(
    found.map(({ name, isKept }) => [name, isKept]),
    [
      ["kept", true],
      ["lost", false],
      ["gone", false],
    ],
  );
});

test("a ratio that came out as no number is lost", (t) => {
  const [found] = checkRatios(ratios("ingest", { ours: 8 }), ratios("ingest", { ours: NaN }));

  t.false(found?.isKept);
});

test("parts that were not measured are not checked", (t) => {
  t.deepEqual(checkRatios(ratios("ingest", { ours: 8 }), ratios("latency", { ours: 8 })), []);
});

test("new figures of a part take the place of the old ones; other parts stay", (t) => {
  const record = { parts: [result("ingest"), result("latency")] };

  const { parts: merged } = mergeResults(record, { parts: [result("ingest", { date: "2026-02-02" })] });

  t.deepEqual(
    merged.map(({ part, date }) => [part, date]),
    [
      ["ingest", "2026-02-02"],
      ["latency", "2026-01-01"],
    ],
  );
});

test("a look goes not on record", (t) => {
  const looks = { parts: [result("ingest", { scale: 0.02 }), result("latency", { rounds: 1 })] };

  t.throws(() => mergeResults({ parts: [] }, looks), {
    message: /^put ingest, latency on record: .*--quick/,
  });
});

test("a page says what is met, what is missed, and what is not on record", (t) => {
  const target = { figure: "messages/s", wanted: "≥ 12 times", found: "10 times" };
  const targets = [
    { ...target, isMet: false },
    { ...target, found: "13 times", isMet: true },
  ];
  const table = { title: "Rates", rows: [["messages", "rate"], ["samples", "50"]] }; // prettier-ignore
  const record = { parts: [result("ingest", { targets, tables: [table] })] };
  const template = "<!-- bench: targets -->\n\n<!-- bench: ingest -->\n\n<!-- bench: latency -->\n";

  const page = pageOf(template, record);

  t.regex(page, /\| messages\/s \| ≥ 12 times \| 10 times \| missed \| ingest \|/);
  t.regex(page, /\| 13 times \| met {4}\|/);
  t.regex(page, /2026-01-01, 2 cores, .* other programs took 50 % of the CPU/);
  t.regex(page, /\*\*Rates\*\*\n\n\| messages \| rate \|\n\| -{8} \| -{4} \|\n\| samples {2}\| 50 {3}\|/);
  t.regex(page, /`npm run bench -- latency` measures it/);
});

test("the terminal says that figures are a look, and which targets are missed", (t) => {
  const targets = [{ figure: "memory", wanted: "≤ 200 MiB", found: "300 MiB", isMet: false }];

  const said = asText({ parts: [result("memory", { scale: 0.02, targets })] });

  t.regex(said, /A look, at a part of the size\./);
  t.regex(said, /memory +≤ 200 MiB +300 MiB +missed +memory/);
});

test("quantiles are of the values in order, and of none there are none", (t) => {
  t.deepEqual(quantiles([3, 1, 2]), { p50: 2, p99: 3 });
  t.is(median([]), NaN);
});
