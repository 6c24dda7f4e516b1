import type { Logger } from "../../base/logger.js";

/** A peer that is refused again is logged again after so long, in ms. */
const silenceMs = 60_000;

/** Peers and reasons that are remembered for that. An attacker with more addresses costs lines of the log, not memory. */
const mostRemembered = 10_000;

/** What was refused and why: counted by reason for GetStatus, and logged once a peer a minute, for whoever is refused
 *  tries again. */
export class Refusals {
  readonly #logger: Logger;
  readonly #counts = new Map<string, number>();
  /** When a reason was last logged for a peer, in ms of the process's own clock. */
  readonly #logged = new Map<string, number>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** How often, by reason. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Counts a refusal of `peer`, the address of a host, for a `reason` that is one of few. `details` say it in words. */
  add(reason: string, peer: string, details: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    const key = `${reason} ${peer}`;
    const now = performance.now();
    if (now - (this.#logged.get(key) ?? -Infinity) < silenceMs) return;
    if (this.#logged.size >= mostRemembered) this.#logged.clear();
    this.#logged.set(key, now);
    this.#logger.warn({ peer, reason: details }, "refused; this peer is not named again for a minute");
  }
}
