import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

import { createAdaptorServer, type ServerType } from "@hono/node-server";

import { isLoopback, listenError, partsOfAddress, withPort } from "../base/address.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import type { Logger } from "../base/logger.js";
import { version } from "../base/version.js";
import { Data } from "./answers.js";
import { Events } from "./events.js";
import { openIndexForReading, openIndexForWriting } from "./index-file.js";
import type { IndexData, IndexReport } from "./index-messages.js";
import { Pages } from "./pages.js";
import { routes } from "./routes.js";
import { WhyReports } from "./why-reports.js";
import { readablePath, Source } from "./source.js";

export interface ViewOptions {
  /** The SQLite file: a collector's, or that of Parsl's own hub. */
  readonly database: string;
  /** As "127.0.0.1:0". */
  readonly listen: string;
  /** Zone of the times in the file, as Europe/Berlin. */
  readonly timezone: string;
  /** Directory for the index; by default the system's for temporary files. */
  readonly cache?: string | undefined;
  readonly tokens?: readonly string[] | undefined;
  readonly tls?: PageTls | undefined;
}

/** All in PEM. */
interface PageTls {
  readonly certificate: Uint8Array;
  readonly privateKey: Uint8Array;
  /** Who vouches for browsers: then they must show a certificate. */
  readonly clientCa?: Uint8Array | undefined;
}

/** The page of a file, open for browsers. */
export class View implements AsyncDisposable {
  /** As "http://127.0.0.1:41235/". */
  readonly url: string;
  readonly #closeAll: () => Promise<void>;
  #closed: Promise<void> | undefined;

  private constructor(url: string, closeAll: () => Promise<void>) {
    this.url = url;
    this.#closeAll = closeAll;
  }

  /** Serves the page. Rejects with a CollectorError for a file or an address that cannot be used. */
  static async open(options: ViewOptions, logger: Logger): Promise<View> {
    const pages = new Pages();
    /** What was opened so far, the last at the end. */
    const opened: (() => void | Promise<void>)[] = [];
    const closeAll = async (): Promise<void> => {
      for (const close of opened.splice(0).reverse()) await close();
    };
    try {
      const directory = temporaryDirectory(options.cache ?? tmpdir());
      opened.push(() => rmSync(directory, { recursive: true, force: true }));
      const data = openData(options, directory, logger, opened);
      const { listen, tls, tokens, timezone } = options;
      const app = routes({
        ...{ ...data, pages, timezone, version: version() },
        access: { tokens, isLoopback: isLoopback(listen), isTls: tls !== undefined },
      });
      const server = createAdaptorServer({ fetch: app.fetch, ...serverOf(tls) });
      const address = await listening(server, listen);
      opened.push(() => closed(server));
      return new View(`${tls === undefined ? "http" : "https"}://${address}/`, closeAll);
    } catch (cause) {
      await closeAll();
      throw cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#closeAll();
    await this.#closed;
  }
}

/** Opens the file, and starts the thread that keeps its index. */
function openData(
  { database, timezone }: ViewOptions,
  directory: string,
  logger: Logger,
  opened: (() => void | Promise<void>)[],
): { readonly data: Data; readonly events: Events; readonly whyReports: WhyReports } {
  const path = readablePath(database, directory);
  if (path !== database) {
    logger.warn(
      { database },
      "a copy of the file is shown, as it is now: the file's own journal cannot be used",
    );
  }
  const source = new Source(path);
  opened.push(() => source.close());
  const indexPath = join(directory, "index.db");
  openIndexForWriting(indexPath).close();
  const index = openIndexForReading(indexPath);
  opened.push(() => {
    index.close();
  });
  const workerData: IndexData = { path, indexPath, timezone };
  const worker = new Worker(new URL("./index-thread.js", import.meta.url), { workerData });
  opened.push(async () => {
    await worker.terminate();
  });
  const events = new Events();
  worker.once("message", () => {
    index.prepare("SELECT 1 FROM run").get();
    // Both have it open now: so nothing of it is left, however this process ends.
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${indexPath}${suffix}`, { force: true });
    if (path === database) rmSync(directory, { recursive: true, force: true }); // or the copy of the file is in it
  });
  worker.on("message", (report: IndexReport) => {
    if ("failed" in report)
      logger.warn({ reason: report.failed }, "the file cannot be read for now: trying again");
    else events.tell({ runs: report.changed, indexed: report.indexed });
  });
  worker.on("error", (cause) => {
    logger.fatal({ reason: reasonOf(cause) }, "the index of the page failed");
    process.exit(1);
  });
  return { data: new Data(source, index, timezone), events, whyReports: new WhyReports(path) };
}

function serverOf(tls: ViewOptions["tls"]) {
  if (tls === undefined) return { createServer: createHttpServer };
  const { certificate, privateKey, clientCa } = tls;
  const own = {
    cert: Buffer.from(certificate),
    key: Buffer.from(privateKey),
    minVersion: "TLSv1.2" as const,
  };
  const ofClients = clientCa && { ca: Buffer.from(clientCa), requestCert: true, rejectUnauthorized: true };
  return { createServer: createHttpsServer, serverOptions: { ...own, ...ofClients } };
}

/** Resolves to the address, with the port that the system chose. */
async function listening(server: ServerType, listen: string): Promise<string> {
  try {
    server.listen(partsOfAddress(listen));
    await once(server, "listening");
  } catch (cause) {
    throw listenError(`listen for browsers on ${listen}`, cause);
  }
  return withPort(listen, (server.address() as AddressInfo).port);
}

async function closed(server: ServerType): Promise<void> {
  const end = once(server, "close");
  server.close();
  if ("closeAllConnections" in server) server.closeAllConnections();
  await end;
}

function temporaryDirectory(parent: string): string {
  try {
    return mkdtempSync(join(parent, "parsl-collector-view-"));
  } catch (cause) {
    throw new CollectorError(
      "invalid-argument",
      `make the index in ${parent}: ${reasonOf(cause)}; name a directory with room for it by --cache`,
      { cause },
    );
  }
}
