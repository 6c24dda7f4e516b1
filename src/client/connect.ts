import { systemClock } from "../base/clock.js";
import { CollectorError } from "../base/errors.js";
import { radios as registry } from "../radios/built-in.js";
import { defaultFallbackAfterMs, FallbackSender, type Road } from "../radios/fallback.js";
import type { RadioSender } from "../radios/radio.js";
import { Client, warnProcess } from "./client.js";
import { checkOptions, type ConnectOptions, type RoadOption } from "./options.js";

/** A client of the collector at `address`. It connects with its first message, so this neither waits nor
 *  fails when the collector is away. Throws a CollectorError for options that cannot be used. */
export function connect(options: ConnectOptions): Client {
  checkOptions(options);
  const { address, radio, radios, fallbackAfterMs, key, ...rest } = options;
  if (typeof radio === "object" && "send" in radio) return new Client(radio, rest);
  const roads = radios ?? [{ radio: radio ?? "grpc", address: address ?? "" }];
  const openRadio = (): RadioSender => openRoads(roads, { fallbackAfterMs, key, ...rest });
  return new Client(openRadio(), rest, openRadio);
}

function openRoads(
  roads: readonly RoadOption[],
  {
    key,
    fallbackAfterMs = defaultFallbackAfterMs,
    clock = systemClock,
    onWarning = warnProcess,
  }: ConnectOptions,
): RadioSender {
  const [first, ...others] = roads.map(({ radio, address }): Road => {
    const sender = (typeof radio === "string" ? registry.get(radio) : radio).openSender(address, { key });
    return { name: `${typeof radio === "string" ? radio : "a radio"} to ${address}`, sender };
  });
  if (first === undefined) throw new CollectorError("internal", "connect: no radio");
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
