import type { Timestamp } from "../gen/google/protobuf/timestamp.js";

/** Microseconds since 1970 in UTC: exact in a number until the year 2255. A JavaScript Date has only
 *  milliseconds, and two records 300 us apart would become one key. */
export type Micros = number;

const microsPerSecond = 1_000_000;
const secondsPerDay = 86_400;
/** The years 0001 to 9999, which is what Parsl's readers (Python's datetime) can take, less a day at both
 *  ends: a zone must not carry a time out of them. */
const leastSeconds = -62_135_596_800 + secondsPerDay;
const mostSeconds = 253_402_300_799 - secondsPerDay;

/** Undefined for a time that Python's datetime could not hold. Anything finer than a microsecond is cut
 *  off. */
export function microsOf({ seconds, nanos }: Timestamp): Micros | undefined {
  return microsFrom(Number(seconds), nanos);
}

/** The same of a timestamp's parts. Undefined for NaN, too. */
export function microsFrom(seconds: number, nanos: number): Micros | undefined {
  if (!(seconds >= leastSeconds && seconds <= mostSeconds && nanos >= 0 && nanos <= 999_999_999))
    return undefined;
  return seconds * microsPerSecond + Math.floor(nanos / 1000);
}

export function timestampOf(micros: Micros): Timestamp {
  const seconds = Math.floor(micros / microsPerSecond);
  return { seconds: BigInt(seconds), nanos: (micros - seconds * microsPerSecond) * 1000 };
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}

const twoDigits = Array.from({ length: 60 }, (_, n) => padded(n, 2));
const threeDigits = Array.from({ length: 1000 }, (_, n) => padded(n, 3));

/** Civil date of a day since 1970 as text. Dates repeat from row to row, so the last one is kept. */
let keptDay = NaN;
let keptDate = "";
function dateText(day: number): string {
  if (day !== keptDay) {
    const date = new Date(day * secondsPerDay * 1000);
    keptDate = `${padded(date.getUTCFullYear(), 4)}-${padded(date.getUTCMonth() + 1, 2)}-${padded(date.getUTCDate(), 2)}`;
    keptDay = day;
  }
  return keptDate;
}

/** A second as text, up to the point. One after the other is mostly of the same, so the last one is kept. */
let keptSecond = NaN;
let keptText = "";
function secondText(seconds: number): string {
  if (seconds !== keptSecond) {
    const day = Math.floor(seconds / secondsPerDay);
    const inDay = seconds - day * secondsPerDay;
    const hours = twoDigits[Math.floor(inDay / 3600)] ?? "";
    const minutes = twoDigits[Math.floor(inDay / 60) % 60] ?? "";
    keptText = `${dateText(day)} ${hours}:${minutes}:${twoDigits[inDay % 60] ?? ""}.`;
    keptSecond = seconds;
  }
  return keptText;
}

/** Parsl's form of a time, `YYYY-MM-DD HH:MM:SS.ffffff`, of a naive time counted from 1970. */
function naiveText(micros: number): string {
  const seconds = Math.floor(micros / microsPerSecond);
  const fraction = micros - seconds * microsPerSecond;
  const millis = Math.floor(fraction / 1000);
  return secondText(seconds) + (threeDigits[millis] ?? "") + (threeDigits[fraction - millis * 1000] ?? "");
}

/** Offsets change at quarter hours of UTC at the finest, and asking Date for one costs as much as all the
 *  rest of a row's text. */
let keptQuarter = NaN;
let keptOffset = 0;
function localOffsetSeconds(seconds: number): number {
  const quarter = Math.floor(seconds / 900);
  if (quarter !== keptQuarter) {
    keptOffset = new Date(quarter * 900_000).getTimezoneOffset() * -60;
    keptQuarter = quarter;
  }
  return keptOffset;
}

/** A time as Parsl's tables hold it: naive, in the local zone of this process. */
export function localText(micros: Micros): string {
  const seconds = Math.floor(micros / microsPerSecond);
  return naiveText(micros + localOffsetSeconds(seconds) * microsPerSecond);
}

/** The same form in UTC, for tables of our own. */
export function utcText(micros: Micros): string {
  return naiveText(micros);
}

/** The text of the next microsecond, for rows whose key must become unique. */
export function nextMicrosecond(text: string): string {
  const micro = Number(text.slice(20)) + 1;
  if (micro < microsPerSecond) return text.slice(0, 20) + padded(micro, 6);
  return naiveText(Date.parse(`${text.slice(0, 10)}T${text.slice(11, 19)}Z`) * 1000 + microsPerSecond);
}

/** Now, by this machine's clock. */
export function nowMicros(): Micros {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** Makes `name` the local zone of this process and of threads that it starts later. Returns false for a
 *  name that this Node does not know. */
export function tryUseTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
  } catch {
    return false; // RangeError is how Intl says that it does not know the zone
  }
  process.env["TZ"] = name;
  return true;
}
