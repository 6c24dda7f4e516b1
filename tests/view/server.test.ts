import { request } from "node:http";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import Database from "better-sqlite3";

import type { Change } from "../../src/view/api.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { within } from "../support/wait.js";
import { goldenRun, openPage, parslFile, type Page } from "./files.js";

/** The page's server: whom it lets in, what it gives, and what it tells of changes. */

interface Told {
  readonly id: string;
  readonly change: Change;
}

/** What is told on a stream of events, one by one. */
async function* eventsOf(t: ExecutionContext, page: Page, lastId?: string): AsyncGenerator<Told, undefined> {
  const end = new AbortController();
  t.teardown(() => end.abort());
  const headers: Record<string, string> = lastId === undefined ? {} : { "Last-Event-ID": lastId };
  const answer = await page.fetch("/api/events", { headers, signal: end.signal });
  t.is(answer.headers.get("content-type"), "text/event-stream");
  let text = "";
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    for (let blank = text.indexOf("\n\n"); blank !== -1; blank = text.indexOf("\n\n")) {
      const fields = new Map(
        text
          .slice(0, blank)
          .split("\n")
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      text = text.slice(blank + 2);
      if (fields.get("event") !== "change") continue;
      yield { id: fields.get("id") ?? "", change: JSON.parse(fields.get("data") ?? "") as Change };
    }
  }
  return undefined;
}

async function next(events: AsyncGenerator<Told, undefined>): Promise<Told> {
  const { value } = await within("an event", events.next());
  if (value === undefined) throw new Error("the events ended");
  return value;
}

function addStatus(path: string, status: string): void {
  const db = new Database(path);
  db.prepare("INSERT INTO status VALUES (0, ?, '2026-11-25 01:26:00.000000', ?, 0)").run(status, goldenRun);
  db.close();
}

test("who listens is told of each change, and who comes back of what changed since", async (t) => {
  const path = parslFile(t);
  const page = await openPage(t, path);
  await page.indexed(80);

  const events = eventsOf(t, page);
  const first = await next(events);
  t.deepEqual(first.change, { runs: [], indexed: { rows: 80, ofRows: 80 } });
  addStatus(path, "pending");
  const second = await next(events);
  t.deepEqual(second.change, { runs: [goldenRun], indexed: { rows: 81, ofRows: 81 } });

  t.deepEqual((await next(eventsOf(t, page, first.id))).change, second.change);
  t.deepEqual((await next(eventsOf(t, page, second.id))).change.runs, []);
  t.deepEqual((await next(eventsOf(t, page, "another-7"))).change.runs, [goldenRun], "of an earlier server");
});

test("a link to a run that is opened at once waits for the index to reach it, and one to none is told", async (t) => {
  const page = await openPage(t, parslFile(t));
  const [run, none] = await Promise.all([
    page.fetch(`/api/runs/${goldenRun}`),
    page.fetch("/api/runs/none/tasks"),
  ]);
  t.is(run.status, 200);
  t.is(none.status, 404);
});

test("a page for this machine is not given to who calls it by another name", async (t) => {
  const page = await openPage(t, parslFile(t));
  const statusFor = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request(page.url, { headers: { Host: host } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on("error", reject)
        .end();
    });

  t.is(await statusFor("evil.example"), 403);
  t.is(await statusFor("127.0.0.1.evil.example:80"), 403);
  t.is(await statusFor("localhost:8080"), 200);
  t.is(await statusFor("[::1]:8080"), 200);
});

test("a page with a token is given to who shows it, by header, or once in the address", async (t) => {
  const token = "a-token-that-nobody-guesses";
  const database = parslFile(t);
  const withToken = await openPage(t, database, { tokens: [token] });
  const fetchWith = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(new URL(path, withToken.url), { redirect: "manual", headers });

  t.is((await withToken.fetch("/api/runs")).status, 200);
  t.is((await fetchWith("/api/runs")).status, 401);
  t.is((await fetchWith("/")).status, 401);
  t.is((await fetchWith("/api/runs", { Authorization: "Bearer another" })).status, 401);
  t.is((await fetchWith("/?token=another")).status, 401);

  const answer = await fetchWith(`/runs/r?state=failed&token=${token}`);
  t.is(answer.status, 302);
  t.is(answer.headers.get("location"), "/runs/r?state=failed");
  const cookie = answer.headers.get("set-cookie") ?? "";
  t.regex(cookie, /HttpOnly/);
  t.regex(cookie, /SameSite=Strict/);
  t.is((await fetchWith("/api/runs", { Cookie: cookie.split(";")[0] ?? "" })).status, 200);
});

test("nothing but reading is answered, and nothing but the page's own files", async (t) => {
  const page = await openPage(t, parslFile(t));

  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    const answer = await page.fetch("/api/runs", { method });
    t.is(answer.status, 405, method);
    t.is(answer.headers.get("allow"), "GET, HEAD");
  }
  t.is((await page.fetch("/api/runs", { method: "HEAD" })).status, 200);
  for (const path of [
    "/assets/..%2findex.html",
    "/assets/%2e%2e/%2e%2e/package.json",
    "/assets/nothing.js",
  ]) {
    const answer = await page.fetch(path);
    const text = await answer.text();
    t.true(answer.status === 404 || text.includes("<!doctype html>"), path);
  }
});

test("each address of a page gives the page, which loads nothing from elsewhere", async (t) => {
  const page = await openPage(t, parslFile(t));
  const answer = await page.fetch(`/runs/${goldenRun}/tasks/3?search=x`);
  const html = await answer.text();
  const [, script = ""] = /<script type="module" src="([^"]+)"/.exec(html) ?? [];

  t.regex(answer.headers.get("content-security-policy") ?? "", /^default-src 'self';/);
  const asset = await page.fetch(script);
  t.is(asset.status, 200);
  t.regex(asset.headers.get("content-type") ?? "", /^text\/javascript/);
  t.regex(asset.headers.get("cache-control") ?? "", /immutable/);
  t.deepEqual(html.match(/(src|href)="(?!\/|data:)[^"]+"/g), null);
});

test("an index leaves no file behind, however its process ends", async (t) => {
  const cache = temporaryDirectory(t);
  const page = await openPage(t, parslFile(t), { cache });
  await page.indexed(80);

  t.deepEqual(readdirSync(cache), []);
  t.is((await page.get<unknown[]>("/api/runs")).length, 1);
});

test("view says why a file cannot be shown, and what to do", async (t) => {
  const directory = temporaryDirectory(t);
  const noDatabase = join(directory, "text.db");
  writeFileSync(
    noDatabase,
    "not a database at all, but long enough for a header of one hundred bytes".repeat(4),
  );
  const empty = join(directory, "empty.db");
  new Database(empty).exec("CREATE TABLE other (x)").close();

  for (const [file, sentence] of [
    [
      join(directory, "none.db"),
      /none\.db: there is no such file; name the file that the collector or Parsl writes/,
    ],
    [noDatabase, /text\.db: file is not a database; name the file/],
    [empty, /empty\.db: it has no table workflow; name the file/],
    ["postgresql://ada:secret@nowhere/db", /reads SQLite files only; ask PostgreSQL by SQL/],
  ] as const) {
    const { exit, stderr } = await runToEnd(t, ["view", file]);
    t.is(exit, 1, file);
    t.regex(stderr, sentence);
    t.false(stderr.includes("secret"));
  }
});
