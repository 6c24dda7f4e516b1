import { pino, type Logger as PinoLogger } from "pino";
import { PinoPretty } from "pino-pretty";

export type Logger = PinoLogger;

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Logs to stderr, for a person on a terminal and as JSON lines otherwise. stdout is for data. */
export function openLogger(level: LogLevel): Logger {
  const stderr = process.stderr.isTTY
    ? PinoPretty({
        destination: 2,
        sync: true,
        ignore: "pid,hostname",
        colorize: process.env["NO_COLOR"] === undefined,
      })
    : pino.destination({ dest: 2, sync: true });
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, stderr);
}
