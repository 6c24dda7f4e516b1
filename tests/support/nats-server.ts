import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import type { Scope } from "./scope.js";
import { waitUntil } from "./wait.js";

/** Why there is no NATS server here; undefined where there is one. */
export const noNatsServer =
  spawnSync("nats-server", ["--version"]).status === 0
    ? undefined
    : "there is no nats-server here: sudo apt-get install nats-server";

export interface NatsServer {
  readonly address: string;
  kill(): Promise<void>;
}

/** A server with JetStream that keeps its streams in `directory`, until the test ends. */
export async function startNatsServer(t: Scope, directory: string, port = -1): Promise<NatsServer> {
  const ports = join(directory, "ports");
  const child = spawn(
    "nats-server",
    ["--jetstream", "--store_dir", directory, "--addr", "127.0.0.1", "--port", String(port)].concat([
      ...["--ports_file_dir", directory, "--log", join(directory, `log-${String(process.hrtime.bigint())}`)],
    ]),
    { stdio: "ignore" },
  );
  const exited = once(child, "exit");
  const kill = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  t.teardown(kill);
  const [address = ""] = await waitUntil(`the server's ports are in ${ports}`, () => {
    const name = readdirSync(directory).find((one) => one === `nats-server_${String(child.pid)}.ports`);
    if (name === undefined) return undefined;
    const text = readFileSync(join(directory, name), "utf8");
    return text === "" ? undefined : (JSON.parse(text) as { readonly nats: string[] }).nats;
  });
  return { address: address.replace("nats://", ""), kill };
}
