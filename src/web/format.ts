import type { Time } from "../view/api.js";

/** What is shown for a figure that is not known. */
export const unknown = "–";

/** As "12,345". */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** With its noun, as "1 task" or "12,345 tasks". */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Three digits that matter, as "0.0123", "4.57" or "1,230". */
export function figure(value: number): string {
  return Math.abs(value) >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** A share, as "45 %". */
export function percent(share: number): string {
  return `${share > 0 && share < 0.01 ? "<1" : String(Math.floor(share * 100))} %`;
}

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** As "1.2 GiB". */
export function bytes(value: number | null): string {
  if (value === null) return unknown;
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), byteUnits.length - 1);
  const scaled = value / 1024 ** power;
  return `${scaled.toFixed(power === 0 || scaled >= 100 ? 0 : 1)} ${byteUnits[power] ?? ""}`;
}

/** As "12 ms", "4.57 s", "3 min 20 s", "2 h 5 min" or "3 d 4 h". */
export function duration(seconds: number | null): string {
  if (seconds === null) return unknown;
  if (seconds < 0) return `−${duration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995) return `${figure(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${figure(seconds)} s`;
  const whole = Math.round(seconds);
  const two = (large: number, small: number, names: readonly [string, string]): string => {
    const rest = Math.floor((whole % large) / small);
    return `${String(Math.floor(whole / large))} ${names[0]}${rest === 0 ? "" : ` ${String(rest)} ${names[1]}`}`;
  };
  if (whole < 3600) return two(60, 1, ["min", "s"]);
  return whole < 86_400 ? two(3600, 60, ["h", "min"]) : two(86_400, 3600, ["d", "h"]);
}

/** Tasks a second, or a minute, or an hour where that reads better. */
export function rate(perSecond: number | null): string {
  if (perSecond === null) return unknown;
  if (perSecond >= 1 || perSecond === 0) return `${figure(perSecond)}/s`;
  return perSecond * 60 >= 1 ? `${figure(perSecond * 60)}/min` : `${figure(perSecond * 3600)}/h`;
}

/** Shows times as clocks do in the zone of the file. */
export class Zone {
  /** IANA name. */
  readonly name: string;
  readonly #parts: Intl.DateTimeFormat;

  /** Throws RangeError where the browser knows no such zone. */
  constructor(name: string) {
    this.name = name;
    this.#parts = new Intl.DateTimeFormat("en-GB", {
      timeZone: name,
      ...{ year: "numeric", month: "2-digit", day: "2-digit" },
      ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
      fractionalSecondDigits: 3,
      timeZoneName: "short",
    });
  }

  /** As "2026-11-25 01:25:17"; the zone is named by what stands around it. */
  time(at: Time | null): string {
    if (at === null) return unknown;
    const { date, clock } = this.#read(at);
    return `${date} ${clock}`;
  }

  /** As "2026-11-25 01:25:17 UTC". */
  named(at: Time | null): string {
    return at === null ? unknown : `${this.time(at)} ${this.#read(at).zone}`;
  }

  /** As "01:25:17". */
  clock(at: Time): string {
    return this.#read(at).clock;
  }

  /** As "01:25:17.123". */
  milliseconds(at: Time): string {
    const { clock, fraction } = this.#read(at);
    return `${clock}.${fraction}`;
  }

  /** What to add to a time so that a clock of UTC reads it as one of this zone, in ms. */
  offset(at: Time): number {
    const { date, clock } = this.#read(at);
    return Date.parse(`${date}T${clock}Z`) - Math.floor(at / 1000) * 1000;
  }

  #read(at: Time): { date: string; clock: string; fraction: string; zone: string } {
    const parts = this.#parts.formatToParts(at);
    const part = (type: Intl.DateTimeFormatPartTypes): string =>
      parts.find((one) => one.type === type)?.value ?? "";
    return {
      date: `${part("year")}-${part("month")}-${part("day")}`,
      clock: `${part("hour")}:${part("minute")}:${part("second")}`,
      fraction: part("fractionalSecond"),
      zone: part("timeZoneName"),
    };
  }
}
