import { systemClock } from "../base/clock.js";
import { radios as registry } from "../radios/built-in.js";
import { defaultFallbackAfterMs } from "../radios/fallback.js";
import type { RadioSender } from "../radios/radio.js";
import { openRoads, type RoadTo } from "../radios/roads.js";
import { Client, warnProcess } from "./client.js";
import { checkOptions, type ConnectOptions, type RoadOption } from "./options.js";

/** A client of the collector at `address`. It connects with its first message, so this neither waits nor
 *  fails when the collector is away. Throws a CollectorError for options that cannot be used. */
export function connect(options: ConnectOptions): Client {
  checkOptions(options);
  const { address, radio, radios, fallbackAfterMs, key, token, tls, ...rest } = options;
  if (typeof radio === "object" && "send" in radio) return new Client(radio, rest);
  const roads = radios ?? [{ radio: radio ?? "grpc", address: address ?? "" }];
  const { clock = systemClock, onWarning = warnProcess } = rest;
  const openRadio = (): RadioSender =>
    openRoads(roads.map(roadTo), {
      ...{ key, token, tls: tls === true ? {} : tls, clock, onWarning },
      fallbackAfterMs: fallbackAfterMs ?? defaultFallbackAfterMs,
    });
  return new Client(openRadio(), rest, openRadio);
}

function roadTo({ radio, address }: RoadOption): RoadTo {
  return typeof radio === "string"
    ? { radio: registry.get(radio), name: radio, address }
    : { radio, name: "a radio", address };
}
