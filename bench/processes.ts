import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

/** CPU of /proc/PID/stat is in ticks; Linux has had 100 a second everywhere for twenty years. */
const ticksPerSecond = 100;

/** What the collector says on stdout when it is ready. */
interface Ready {
  readonly address: string;
  readonly radios: Readonly<Record<string, string>>;
  readonly web?: string;
}

/** A command of ours in a process of its own, as a user has it, with its figures from /proc. */
class BenchProcess {
  readonly #process: ChildProcess;

  protected constructor(process: ChildProcess) {
    this.#process = process;
  }

  get pid(): number {
    return this.#process.pid ?? NaN;
  }

  cpuSeconds(): number {
    const [user = 0, system = 0] = cpuTicks(String(this.pid));
    return (user + system) / ticksPerSecond;
  }

  peakMebibytes(): number {
    return this.#mebibytes("VmHWM");
  }

  residentMebibytes(): number {
    return this.#mebibytes("VmRSS");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** A second time it does nothing. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** As a crash does. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill(signal);
    await exited;
  }

  #mebibytes(name: string): number {
    const status = readFileSync(`/proc/${String(this.pid)}/status`, "utf8");
    return Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  }
}

/** A collector. */
export class BenchCollector extends BenchProcess {
  /** Of gRPC. */
  readonly address: string;
  /** Where the radios that were asked for listen, by name. */
  readonly radios: Readonly<Record<string, string>>;
  /** Its page's, with --web. */
  readonly web: string | undefined;

  private constructor(process: ChildProcess, { address, radios, web }: Ready) {
    super(process);
    this.web = web;
    this.address = address;
    this.radios = radios;
  }

  /** `options` are more ones of `serve`. */
  static async start(database: string, options: readonly string[] = []): Promise<BenchCollector> {
    const { child, ready } = await started([
      ...["serve", "--database", database, "--exit-with-parent"],
      ...options,
    ]);
    return new BenchCollector(child, ready as Ready);
  }
}

/** A node's agent, with a collector upstream. */
export class BenchAgent extends BenchProcess {
  readonly socket: string;

  private constructor(process: ChildProcess, socket: string) {
    super(process);
    this.socket = socket;
  }

  static async start(upstream: string, socket: string): Promise<BenchAgent> {
    const { child, ready } = await started([...["agent", "--upstream", upstream, "--socket", socket]]);
    return new BenchAgent(child, (ready as { readonly socket: string }).socket);
  }
}

/** Starts a command, and waits for its line on stdout. */
async function started(
  command: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly ready: unknown }> {
  const main = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
  const child = spawn(process.execPath, [main, ...command, "--log-level", "warn"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit").then(() => undefined);
  const line = await Promise.race([once(child.stdout, "data") as Promise<[Buffer]>, ended]);
  if (line === undefined) {
    throw new Error(`start ${command[0] ?? ""}: it ended at once; its reason is above`);
  }
  return { child, ready: JSON.parse(line[0].toString()) as unknown };
}

/** Ticks of a process: its own in user and system mode, then those of the children that it waited for. */
function cpuTicks(process: string): number[] {
  const stat = readFileSync(`/proc/${process}/stat`, "utf8");
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
}

/** Seconds of CPU that this process spent, with all that it started and that has ended. */
export function ownSeconds(): number {
  return cpuTicks("self").reduce((sum, ticks) => sum + ticks, 0) / ticksPerSecond;
}

/** Seconds of CPU that the machine spent since it was started, on whatever. */
export function machineBusySeconds(): number {
  const [user, nice, system, , , irq, softirq] = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "")
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (
    [user, nice, system, irq, softirq].reduce((sum: number, part) => sum + (part ?? 0), 0) / ticksPerSecond
  );
}

/** The machine, for whoever compares figures. */
export function machine(): string {
  const all = cpus();
  return `${String(all.length)} cores, ${all[0]?.model ?? "unknown CPU"}, Node ${process.versions.node}`;
}
