import type { CollectorError } from "../base/errors.js";
import type { Logger } from "../base/logger.js";
import type { Acknowledgement } from "../model/envelope.js";
import type { Principal } from "../model/principal.js";

/** A transport: what a module that brings one exports as `radio`. Both halves carry the bytes of envelopes, which
 *  they need not understand. docs/RADIOS.md shows how to write one. */
export interface Radio {
  /** The sending half. Does not wait for a connection. */
  openSender(address: string, options?: SenderOptions): RadioSender;
  /** The receiving half; a radio without one reaches a collector by another's. Resolves when it listens; rejects
   *  with a CollectorError that says what to do when it cannot. The form of an address is the radio's own. */
  openReceiver?(address: string, inbox: Inbox, options: ReceiverOptions): Promise<RadioReceiver>;
}

export interface RadioOptions {
  /** The run's secret, for a radio that anybody can reach: whoever lacks it is refused. */
  readonly key?: Uint8Array | undefined;
}

/** How a client makes sure that it speaks to its collector, and shows who it is. All in PEM. */
export interface ClientTls {
  /** Who vouches for the collector's certificate. Default: the authorities that Node.js knows. */
  readonly ca?: Uint8Array | undefined;
  /** The name that the certificate must have. Default: the host of the address. */
  readonly serverName?: string | undefined;
  /** Where the collector wants to see one: our certificate, and its key. */
  readonly certificate?: Uint8Array | undefined;
  readonly privateKey?: Uint8Array | undefined;
}

export interface SenderOptions extends RadioOptions {
  /** What gRPC shows to the collector to be let in. */
  readonly token?: string | undefined;
  /** How gRPC makes sure of the collector; undefined for no TLS. */
  readonly tls?: ClientTls | undefined;
}

export interface ReceiverOptions extends RadioOptions {
  readonly logger: Logger;
}

/** What a resolved `send` promises: rows on the collector's disk, or only that the bytes left. */
export type Delivery = "stored" | "handed-over";

/** An envelope on its way: the bytes of one `Envelope`, the same on every radio, and what a radio may want
 *  to know of them without decoding. Sequences are integers below 2^53. */
export interface OutgoingEnvelope {
  readonly bytes: Uint8Array;
  readonly senderId: string;
  /** Sequence of the first message; 0 in an envelope with none. */
  readonly firstSequence: number;
  /** Messages in the envelope; 0 when it carries only a closing note. */
  readonly count: number;
}

/** What a radio knows when an envelope has been sent. */
export type Receipt =
  | { readonly delivery: "stored"; readonly acknowledgement: Acknowledgement }
  | { readonly delivery: "handed-over" };

/** The sending half of a radio. Envelopes travel in the order of the calls; calls may overlap. */
export interface RadioSender extends AsyncDisposable {
  /** Resolves when the envelope is delivered as far as this radio can tell. Rejects with a CollectorError;
   *  its `retryable` says whether the same envelope may be sent again, by this radio or another: the
   *  collector stores a sequence once however often it comes. `invalid-envelope` says that this radio will never
   *  take these bytes (too large, say), and others it will. After a retryable rejection the next `send`
   *  starts a new attempt to connect; waiting between attempts is the caller's business. */
  send(envelope: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt>;
}

/** Where a receiver puts what it hears. */
export interface Inbox {
  /** Takes the bytes of one `Envelope`, which must not change afterwards, and the name of the radio by which
   *  it came, for the ledger; and who sent it, where the radio knows. Resolves once it is committed:
   *  only then may the receiver acknowledge or delete it. Promises of one inbox resolve in the order of the
   *  calls. Rejects with a CollectorError: `invalid-envelope` for bytes that can never be stored, `forbidden`
   *  for a run that the principal may not write, `shutting-down` (retryable) when the collector stops before
   *  the commit. */
  accept(envelope: Uint8Array, radio: string, principal?: Principal): Promise<Acknowledgement>;
  /** Undefined while there is room. Otherwise resolves when there is room again; until then a receiver
   *  stops reading, so that a blocked database costs the senders time and not the collector memory. */
  readonly room: Promise<void> | undefined;
}

/** The receiving half of a radio. Disposing it stops listening; what the inbox has accepted is still
 *  answered before the disposal resolves. */
export interface RadioReceiver extends AsyncDisposable {
  /** Where senders reach it, as they are told it: "127.0.0.1:41235" for gRPC. */
  readonly address: string;
  /** What came and was no envelope for this collector, by reason ("forged", "truncated"); nothing where the sender
   *  is told. */
  readonly refused?: ReadonlyMap<string, number>;
  /** Why it can receive no more, if that ever happens. */
  readonly failed?: Promise<CollectorError>;
}
