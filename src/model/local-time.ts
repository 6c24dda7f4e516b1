/** Milliseconds in a day. */
const day = 86_400_000;

/** Texts whose offset is kept. A run's times are close together, so that few are ever asked for. */
const mostKept = 10_000;

/** Makes what reads times as Parsl's tables hold them: naive, in the zone `timezone` (a name of the tz database), as
 *  `YYYY-MM-DD HH:MM:SS.ffffff`. It gives ms since 1970 in UTC, with fractions, and null for what is no such text. A time
 *  that the zone had twice is the first of both, as Python takes it. Throws a RangeError for a zone that is not known. */
export function localTimes(timezone: string): (text: unknown) => number | null {
  const offsetAt = offsetsOf(timezone);
  /** By text without its last minute: no zone changes its offset but at a multiple of ten minutes. */
  const kept = new Map<string, number>();
  return (text) => {
    if (typeof text !== "string" || text.length < 19) return null;
    const naive = naiveMs(text);
    if (Number.isNaN(naive)) return null;
    const about = text.slice(0, 15);
    let offset = kept.get(about);
    if (offset === undefined) {
      offset = offsetOfLocal(naive, offsetAt);
      if (kept.size >= mostKept) kept.clear();
      kept.set(about, offset);
    }
    return naive - offset;
  };
}

/** NaN for what is no time. Date.parse takes ten times as long, and cuts microseconds off. */
function naiveMs(text: string): number {
  const at = (from: number, to: number): number => {
    let value = 0;
    for (let i = from; i < to; i += 1) {
      const digit = text.charCodeAt(i) - 48;
      if (digit < 0 || digit > 9) return NaN;
      value = value * 10 + digit;
    }
    return value;
  };
  const fraction = text.length > 20 ? at(20, text.length) / 10 ** (text.length - 20) : 0;
  return (
    Date.UTC(at(0, 4), at(5, 7) - 1, at(8, 10), at(11, 13), at(14, 16), at(17, 19)) +
    (fraction === 0 ? 0 : fraction * 1000)
  );
}

/** What is to be taken from a naive time for UTC, in ms. */
function offsetOfLocal(naive: number, offsetAt: (utc: number) => number): number {
  const before = offsetAt(naive - day);
  const after = offsetAt(naive + day);
  return [before, after].find((offset) => offsetAt(naive - offset) === offset) ?? before;
}

/** The offsets of a zone, in ms, at times in UTC. */
function offsetsOf(timezone: string): (utc: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    ...{ year: "numeric", month: "numeric", day: "numeric" },
    ...{ hour: "numeric", minute: "numeric", second: "numeric" },
  });
  return (utc) => {
    const parts = new Map(format.formatToParts(utc).map(({ type, value }) => [type, Number(value)]));
    const of = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
    const shown = Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second"));
    return shown - Math.floor(utc / 1000) * 1000;
  };
}
