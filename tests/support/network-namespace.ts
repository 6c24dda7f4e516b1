import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

import type { Scope } from "./scope.js";
import { within } from "./wait.js";

const isRoot = process.getuid?.() === 0;

/** Without root the right to a network of one's own comes with a user namespace, where there may be one. */
const unshare = isRoot ? ["unshare", "--net"] : ["unshare", "--map-root-user", "--net"];
const enter = isRoot ? ["--net"] : ["--user", "--preserve-credentials", "--net"];

/** By its path: npm has another program of this name, and puts it first. */
const nft = "/usr/sbin/nft";

const upAndFiltered = `ip link set lo up && ${nft} add table inet probe`;

/** Why this machine gives no network with rules of its own, for the title of a test that needs one; undefined where
 *  it does. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  for (const command of ["unshare", "nsenter", "ip", nft]) {
    if (spawnSync(command, ["--version"]).error !== undefined) {
      return `${command} is not installed; apt-get install util-linux iproute2 nftables`;
    }
  }
  const [program, ...args] = [...unshare, "sh", "-c", upAndFiltered];
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return status === 0 ? undefined : `no right to a network namespace: ${stderr.trim()}`;
}

/** A network of its own with nothing but a loopback, for programs that are started in it, and a packet filter that
 *  does to their packets what a test says. */
export class NetworkNamespace {
  readonly #pid: number;

  private constructor(pid: number) {
    this.#pid = pid;
  }

  /** Opens one until the test ends. A process holds it, which ends with this one. */
  static async open(t: Pick<Scope, "teardown">): Promise<NetworkNamespace> {
    const [program, ...args] = [...unshare, "sh", "-c", "ip link set lo up && echo up && exec cat"];
    const holder = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    const exited = once(holder, "close");
    t.teardown(async () => {
      holder.stdin.end();
      await exited;
    });
    await within("the network namespace", Promise.race([once(holder.stdout, "data"), exited]));
    if (holder.pid === undefined || holder.exitCode !== null)
      throw new Error("there is no network namespace");
    return new NetworkNamespace(holder.pid);
  }

  /** The command that runs `command` in it. */
  readonly inside = (command: readonly string[]): string[] => [
    "nsenter",
    ...["--target", String(this.#pid)],
    ...enter,
    "--",
    ...command,
  ];

  /** Runs a program in it to its end and returns what it said. Rejects when it fails. */
  async run(command: readonly string[], input = ""): Promise<string> {
    const [program = "", ...args] = this.inside(command);
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined); // it may end without having read anything, and its exit code tells why
    child.stdin.end(input);
    const [[code], stdout, stderr] = await Promise.all([
      once(child, "close") as Promise<[number | null]>,
      text(child.stdout),
      text(child.stderr),
    ]);
    if (code === 0) return stdout;
    throw new Error(`${command.join(" ")} ended with ${String(code)}: ${stderr}`);
  }

  /** Puts these rules in the place of all others: statements of nft for the chain of what comes in, with the named
   *  counters that they use. As ["tcp dport 7000 drop"] to close a port, and [] to open it again. */
  async filter(rules: readonly string[], counters: readonly string[] = []): Promise<void> {
    const lines = [
      "flush ruleset",
      "table inet test {",
      ...counters.map((name) => `counter ${name} { }`),
      "chain incoming { type filter hook input priority 0;",
      ...rules,
      "}",
      "}",
    ];
    await this.run([nft, "-f", "-"], `${lines.join("\n")}\n`);
  }

  /** Packets that a named counter has seen. */
  async packets(counter: string): Promise<number> {
    const shown = await this.run([nft, "list", "counter", "inet", "test", counter]);
    const [, packets] = /packets (\d+)/.exec(shown) ?? [];
    return Number(packets);
  }
}
