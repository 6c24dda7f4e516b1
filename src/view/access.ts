import { createHash } from "node:crypto";

import type { MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";

import type { ApiError } from "./api.js";

/** Who may look at the page. */
export interface PageAccess {
  /** Each request must show one of these, by Authorization or by the cookie that ?token= leaves. Default: none is asked
   *  for. */
  readonly tokens?: readonly string[] | undefined;
  /** Whether the page is for this machine alone. */
  readonly isLoopback: boolean;
  readonly isTls: boolean;
}

const cookieName = "parsl_collector_token";

const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Lets in who may read, and only to read. */
export function guard({ tokens, isLoopback, isTls }: PageAccess): MiddlewareHandler {
  // By hashes, so that how long a look-up takes says nothing of the tokens.
  const known = tokens && new Set(tokens.map(hashOf));
  return async (context, next) => {
    const { req: request } = context;
    const refuse = (status: 401 | 403 | 405, error: string) =>
      context.json({ error } satisfies ApiError, status);
    if (request.method !== "GET" && request.method !== "HEAD") {
      context.header("Allow", "GET, HEAD");
      return refuse(405, `${request.method} ${request.path}: this is for reading; use GET or HEAD`);
    }
    // A page of anybody's that gives its own name the address of this machine (DNS rebinding) would be let in otherwise.
    if (isLoopback && known === undefined && !loopbackNames.test(request.header("Host") ?? "")) {
      return refuse(403, "open the page by another name than this machine's own: use http://127.0.0.1:PORT");
    }
    if (known !== undefined) {
      const asked = request.query("token");
      if (asked !== undefined && known.has(hashOf(asked))) {
        setCookie(context, cookieName, asked, {
          httpOnly: true,
          sameSite: "Strict",
          secure: isTls,
          path: "/",
        });
        const address = new URL(request.url);
        address.searchParams.delete("token");
        return context.redirect(`${address.pathname}${address.search}`, 302);
      }
      const bearer = /^Bearer (.+)$/i.exec(request.header("Authorization") ?? "")?.[1];
      const shown = bearer ?? getCookie(context, cookieName);
      if (shown === undefined) {
        return refuse(401, "open the page: it wants a token; add ?token=TOKEN to the address, once");
      }
      if (!known.has(hashOf(shown)))
        return refuse(401, "open the page: the token is not known here; ask for another");
    }
    return next();
  };
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
