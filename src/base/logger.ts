import { pino, type Logger as PinoLogger } from "pino";

export type Logger = PinoLogger;

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Loaded only where somebody looks: it takes a tenth of an agent's start. */
const pretty = process.stderr.isTTY ? await import("pino-pretty") : undefined;

/** Logs to stderr, for a person on a terminal and as JSON lines otherwise. stdout is for data. */
export function openLogger(level: LogLevel): Logger {
  const stderr =
    pretty === undefined
      ? pino.destination({ dest: 2, sync: true })
      : pretty.PinoPretty({
          destination: 2,
          sync: true,
          ignore: "pid,hostname",
          colorize: (process.env["NO_COLOR"] ?? "") === "", // as no-color.org has it
        });
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, stderr);
}

/** Lets a signal turn the lines of level debug on while the program runs, and off again. */
export function toggleDebugBy(signal: NodeJS.Signals, logger: Logger): void {
  const usual = logger.level;
  const loggers = [logger];
  logger.onChild = (child) => loggers.push(child); // a child has a level of its own
  const change = (level: string): void => {
    for (const one of loggers) one.level = level;
  };
  process.on(signal, () => {
    const isOn = logger.level === "debug";
    change("debug"); // so that the line that tells is seen
    logger.info({ logLevel: isOn ? usual : "debug", by: signal }, "log level changed");
    if (isOn) change(usual);
  });
}
