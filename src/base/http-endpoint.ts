import { once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { listenError, partsOfAddress, withPort } from "./address.js";
import { reasonOf } from "./errors.js";

/** What the endpoint tells whoever asks. */
export interface EndpointSource {
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  /** Why the process does not serve; undefined while it does. */
  readonly notServing: () => string | undefined;
}

/** Longest that a request may take to arrive, in ms: a scraper's is one packet. */
const requestTimeoutMs = 10_000;

/** Connections at one time. A scraper has one. */
const mostConnections = 32;

/** HTTP for those who watch a process, and read only: /metrics for Prometheus, /healthz (the process answers), and
 *  /readyz (it serves; otherwise 503 with the reason). */
export class HttpEndpoint implements AsyncDisposable {
  readonly #server: Server;
  /** As "127.0.0.1:9464". */
  readonly address: string;

  private constructor(server: Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  /** Listens on "host:port"; port 0 lets the system choose. Rejects with a CollectorError when it cannot. */
  static async open(listen: string, source: EndpointSource): Promise<HttpEndpoint> {
    // Only now: this import takes 0.08 s of CPU, and most processes have no endpoint.
    const { createServer } = await import("node:http");
    const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
      void respond(source, request, response);
    });
    server.maxConnections = mostConnections;
    try {
      server.listen(partsOfAddress(listen));
      await once(server, "listening");
    } catch (cause) {
      throw listenError(`listen for metrics on ${listen}`, cause);
    }
    return new HttpEndpoint(server, withPort(listen, (server.address() as AddressInfo).port));
  }

  /** Ends the connections too: a scraper keeps its own open. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function respond(
  { metrics, notServing }: EndpointSource,
  { method, url = "" }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const answer = (status: number, text: string, headers: Record<string, string> = {}): void => {
    response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", ...headers }).end(text);
  };
  const [path] = url.split("?");
  if (path !== "/metrics" && path !== "/healthz" && path !== "/readyz") {
    answer(404, "there are /metrics, /healthz and /readyz\n");
  } else if (method !== "GET" && method !== "HEAD") {
    answer(405, "this is for reading: GET or HEAD\n", { Allow: "GET, HEAD" });
  } else if (path === "/healthz") {
    answer(200, "alive\n");
  } else if (path === "/readyz") {
    const reason = notServing();
    if (reason === undefined) answer(200, "serving\n");
    else answer(503, `not serving: ${reason}\n`);
  } else {
    try {
      answer(200, await metrics.text(), { "Content-Type": metrics.contentType });
    } catch (cause) {
      answer(500, `read the metrics: ${reasonOf(cause)}\n`);
    }
  }
}
