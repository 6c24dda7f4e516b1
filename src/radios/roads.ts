import type { Clock } from "../base/clock.js";
import { CollectorError } from "../base/errors.js";
import { FallbackSender } from "./fallback.js";
import type { Radio, RadioSender, SenderOptions } from "./radio.js";

/** One way to a collector. */
export interface RoadTo {
  readonly radio: Pick<Radio, "openSender">;
  /** The radio's name, for a person. */
  readonly name: string;
  readonly address: string;
}

export interface RoadsOptions extends SenderOptions {
  /** How long a radio fails before the next one takes over, in ms. */
  readonly fallbackAfterMs: number;
  readonly clock: Clock;
  /** Told when another radio takes over, and when the first does again. */
  readonly onWarning: (warning: CollectorError) => void;
}

/** A sender by these radios, from the best to the last resort; one at least. */
export function openRoads(
  roads: readonly RoadTo[],
  { fallbackAfterMs, clock, onWarning, ...options }: RoadsOptions,
): RadioSender {
  const [first, ...others] = roads.map(({ radio, name, address }) => ({
    name: `${name} to ${address}`,
    sender: radio.openSender(address, options),
  }));
  if (first === undefined) throw new CollectorError("internal", "open radios: there is none");
  if (others.length === 0) return first.sender;
  const onChange = (name: string, reason: string | undefined): void => {
    const text =
      reason === undefined
        ? `messages go by ${name} again`
        : `messages go by ${name} until the first radio works again: ${reason}`;
    onWarning(new CollectorError("unavailable", `send: ${text}`));
  };
  return new FallbackSender({ roads: [first, ...others], afterMs: fallbackAfterMs, clock, onChange });
}
