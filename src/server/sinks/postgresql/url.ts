import type { ClientConfig } from "pg";
import { parse, toClientConfig } from "pg-connection-string";

import { CollectorError, reasonOf } from "../../../base/errors.js";

/** As SQLAlchemy writes it, too: postgresql+psycopg2://. */
const scheme = /^postgres(?:ql)?(?:\+\w+)?:\/\//;

/** How long a connection may take to be made, in s, where the URL has no `connect_timeout`. */
const defaultConnectTimeoutSeconds = 10;

/** Whether a database is named by a URL of PostgreSQL, and not as a file. */
export function isPostgresUrl(database: string): boolean {
  return scheme.test(database);
}

/** The name of a database without what nobody else shall know: its password, and all options. */
export function withoutSecrets(url: string): string {
  const [head = ""] = url.split("?");
  return head.replace(/^([^:]+:\/\/[^:@/]*):.*@/, "$1@");
}

/** How to connect to the database that a URL names. Options mean what they mean to libpq: sslmode, sslrootcert, sslcert,
 *  sslkey, application_name, connect_timeout, options, and host for a socket's directory. Without sslmode, and with
 *  `prefer`, nothing is encrypted. Throws a CollectorError for a URL that cannot be read. */
export function connectionOf(url: string): ClientConfig {
  try {
    const normal = url.replace(scheme, "postgresql://");
    const {
      connect_timeout: timeout,
      sslmode,
      ...parsed
    } = parse(normal, { useLibpqCompat: true }) as Record<string, unknown>;
    const isPlain = sslmode === undefined || sslmode === "prefer" || sslmode === "allow";
    const seconds = Number(timeout ?? defaultConnectTimeoutSeconds);
    return {
      application_name: "parsl-collector",
      ...toClientConfig(parsed as unknown as Parameters<typeof toClientConfig>[0]),
      ...(isPlain && { ssl: false }),
      connectionTimeoutMillis: seconds * 1000,
      keepAlive: true,
    };
  } catch (cause) {
    throw new CollectorError(
      "invalid-argument",
      `read the URL ${withoutSecrets(url)}: ${reasonOf(cause)}; write postgresql://USER@HOST:PORT/DATABASE`,
      { cause },
    );
  }
}
