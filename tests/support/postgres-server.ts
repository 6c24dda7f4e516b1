import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { Client } from "pg";

import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";
import { waitUntil, within } from "./wait.js";

const run = promisify(execFile);

/** Where Debian keeps the server's programs, one folder a version; elsewhere they are on the PATH. */
const debian = "/usr/lib/postgresql";

function programs(): string | undefined {
  try {
    const folders = readdirSync(debian).sort((a, b) => Number(b) - Number(a));
    const newest = folders.find((folder) => existsSync(join(debian, folder, "bin", "initdb")));
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

/** Runs a server until its own stdin ends. */
const untilStdinEnds = '"$@" <&- & server=$!; cat > /dev/null; kill -QUIT $server; wait $server';

/** A server of the tests' own, on a socket in a directory of its own. */
export class PostgresServer {
  readonly #programs: string;
  readonly #directory: string;
  readonly #user: { readonly uid?: number; readonly gid?: number };
  readonly #settings: readonly string[];
  #databases = 0;
  #end: () => Promise<void> = () => Promise.resolve();

  private constructor(directory: string, settings: readonly string[]) {
    this.#programs = programs() ?? "";
    this.#directory = directory;
    this.#settings = settings;
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
    const directory = temporaryDirectory(t);
    // A crash of a test machine costs nothing: no test asks for what is on the disk then.
    const quick = ["listen_addresses=", `unix_socket_directories=${directory}`, "fsync=off"];
    const server = new PostgresServer(directory, [...quick, ...settings]);
    const initdb = ["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C"];
    await run(join(server.#programs, "initdb"), ["--pgdata", server.#data, "--no-sync", ...initdb], {
      ...server.#user,
      cwd: directory,
    });
    await server.start();
    t.teardown(() => server.stop());
    return server;
  }

  /** Starts it again after a stop. */
  async start(): Promise<void> {
    const command = [join(this.#programs, "postgres"), "-D", this.#data];
    const settings = this.#settings.flatMap((setting) => ["-c", setting]);
    // A shell ends it when this process is gone, however that ends.
    const shell = spawn("sh", ["-c", untilStdinEnds, "sh", ...command, ...settings], {
      ...this.#user,
      cwd: this.#directory,
      stdio: ["pipe", "ignore", "ignore"],
    });
    const ended = once(shell, "close");
    this.#end = async () => {
      shell.stdin.end();
      await within("the end of PostgreSQL", ended);
    };
    await waitUntil("PostgreSQL takes connections", async () => {
      try {
        await this.execute(this.url("postgres"), "SELECT 1");
        return true;
      } catch {
        return false;
      }
    });
  }

  /** Stops it as a crash does: nothing is written back, and every connection breaks. */
  async stop(): Promise<void> {
    await this.#end();
  }

  /** The URL of a database. */
  url(database: string, user = "postgres"): string {
    const port = this.#settings.find((setting) => setting.startsWith("port="));
    const options = [`host=${encodeURIComponent(this.#directory)}`, ...(port === undefined ? [] : [port])];
    return `postgresql://${user}@/${database}?${options.join("&")}`;
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
}
