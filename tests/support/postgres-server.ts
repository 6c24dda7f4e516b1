import { execFile, execFileSync, spawnSync } from "node:child_process";
import { chownSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { Client } from "pg";

import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";

const run = promisify(execFile);

/** Where Debian keeps the server's programs, one folder a version; elsewhere they are on the PATH. */
const debian = "/usr/lib/postgresql";

function programs(): string | undefined {
  try {
    const newest = readdirSync(debian).sort((a, b) => Number(b) - Number(a))[0];
    if (newest !== undefined) return join(debian, newest, "bin");
  } catch {
    // Not Debian.
  }
  return spawnSync("initdb", ["--version"]).error === undefined ? "" : undefined;
}

/** Why there is no server for tests, for the title of one that needs it; undefined where there is one. */
export function whyNoPostgres(): string | undefined {
  return programs() === undefined ? "PostgreSQL is not installed; apt-get install postgresql" : undefined;
}

/** A server of the tests' own, on a socket in a directory of its own. */
export class PostgresServer {
  readonly #programs: string;
  readonly #directory: string;
  readonly #user: { readonly uid?: number; readonly gid?: number };
  #databases = 0;

  private constructor(directory: string) {
    this.#programs = programs() ?? "";
    this.#directory = directory;
    // The server refuses to run as root.
    if (process.getuid?.() === 0) {
      const [uid, gid] = ["-u", "-g"].map((flag) =>
        Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" })),
      );
      if (uid !== undefined && gid !== undefined) {
        this.#user = { uid, gid };
        chownSync(directory, uid, gid);
        return;
      }
    }
    this.#user = {};
  }

  /** Runs one until the scope ends. `settings`, as ["fsync=on"], come beside those that make it fast. */
  static async start(t: Scope, settings: readonly string[] = []): Promise<PostgresServer> {
    const server = new PostgresServer(temporaryDirectory(t));
    await server.#run("initdb", [
      ...["--pgdata", server.#data, "--username", "postgres", "--auth", "trust"],
      ...["--no-sync", "--encoding", "UTF8", "--locale", "C"],
    ]);
    // A crash of a test machine costs nothing: no test asks for what is on the disk then.
    const all = [
      "listen_addresses=",
      `unix_socket_directories=${server.#directory}`,
      "fsync=off",
      ...settings,
    ];
    server.#options = all.flatMap((setting) => ["-c", `'${setting}'`]).join(" ");
    await server.start();
    t.teardown(() => server.stop());
    return server;
  }

  #options = "";

  /** Starts it again after a stop. */
  async start(): Promise<void> {
    const log = join(this.#directory, "log");
    await this.#run("pg_ctl", [
      "start",
      "--wait",
      "--pgdata",
      this.#data,
      "--log",
      log,
      "--options",
      this.#options,
    ]);
  }

  /** "immediate" is as a crash: nothing is written back, and every connection breaks. */
  async stop(mode: "fast" | "immediate" = "immediate"): Promise<void> {
    await this.#run("pg_ctl", ["stop", "--wait", "--mode", mode, "--pgdata", this.#data]).catch(
      () => undefined,
    );
  }

  /** The URL of a database. */
  url(database: string, user = "postgres"): string {
    return `postgresql://${user}@/${database}?host=${encodeURIComponent(this.#directory)}`;
  }

  /** Makes an empty database and returns its URL. */
  async newDatabase(): Promise<string> {
    this.#databases += 1;
    const name = `test_${String(this.#databases)}`;
    await this.execute(this.url("postgres"), `CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** Runs statements. */
  async execute(url: string, statements: string): Promise<void> {
    const client = new Client(url);
    await client.connect();
    try {
      await client.query(statements);
    } finally {
      await client.end();
    }
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    await run(join(this.#programs, program), args, { ...this.#user, cwd: this.#directory });
  }
}
