/**
 * Echo requests of our own: who waits for which reply (RFC 792, RFC 4443 section 4).
 */
import type { Destination, Network, Notice, Refused, SoftError } from "../../transport/network.ts";
import type { Packet } from "../../transport/packet.ts";
import { below } from "../../device/random.ts";
import { checksum } from "../../wire/checksum.ts";
import * as icmp4 from "../../wire/icmpv4.ts";
import * as icmp6 from "../../wire/icmpv6.ts";
import { MAX_UINT16, requireInteger } from "../../wire/fields.ts";
import { PROTOCOL } from "../../wire/protocol.ts";

/** An echo reply that came. Valid while its handler runs. */
export interface EchoReply {
  readonly packet: Packet;
  readonly sequence: number;
  /** Bytes of data behind the ICMP header, and where they lie in `packet.view`. */
  readonly at: number;
  readonly lengthBytes: number;
}

export interface EchoHandlers {
  readonly onReply: (reply: EchoReply) => void;
  /** An ICMP error about a request: unreachable, time exceeded, too big. */
  readonly onError?: (error: EchoError) => void;
}

export type EchoError = Omit<SoftError, "localPort" | "remotePort"> & { readonly sequence: number };

/** Programs that ping at once: identifiers are 16 bits, and must be hard to guess. */
export const MAX_ECHOES = 4096;
const IDENTIFIERS = 1 << 16;
/** Both families have the same layout of echoes. */
const { IDENTIFIER, SEQUENCE, ECHO_DATA, TYPE_AT, CODE_AT, CHECKSUM } = icmp4;

/** One series of requests to one destination. */
export class Echo {
  readonly destination: Destination;
  readonly identifier: number;
  readonly handlers: EchoHandlers;
  readonly #echoes: Echoes;

  constructor(echoes: Echoes, destination: Destination, identifier: number, handlers: EchoHandlers) {
    this.#echoes = echoes;
    this.destination = destination;
    this.identifier = identifier;
    this.handlers = handlers;
  }

  /**
   * Sends a request with this sequence number (16 bits) and data; 0, or why not. `notice` hears whether it left, or was given
   * up because the next hop did not answer.
   *
   * @throws TypeError or RangeError for what is neither.
   */
  send(sequence: number, data: Uint8Array, notice?: Notice): 0 | Refused {
    return this.#echoes.send(this, sequence, data, notice);
  }

  /** Hears no more. Idempotent. */
  close(): void {
    this.#echoes.forget(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export class Echoes {
  readonly #network: Network;
  readonly #byIdentifier = new Map<number, Echo>();

  constructor(network: Network) {
    this.#network = network;
  }

  /** A series of requests. Throws a RangeError where there are too many. */
  open(destination: Destination, handlers: EchoHandlers): Echo {
    if (this.#byIdentifier.size >= MAX_ECHOES)
      throw new RangeError(`a host pings at most ${MAX_ECHOES} destinations at once`);
    let identifier = below(this.#network.random, IDENTIFIERS);
    while (this.#byIdentifier.has(identifier)) identifier = (identifier + 1) % IDENTIFIERS;
    const echo = new Echo(this, destination, identifier, handlers);
    this.#byIdentifier.set(identifier, echo);
    return echo;
  }

  send(echo: Echo, sequence: number, data: Uint8Array, notice?: Notice): 0 | Refused {
    if (!(data instanceof Uint8Array)) throw new TypeError("the data of an echo request is a Uint8Array");
    requireInteger("sequence", sequence, MAX_UINT16);
    const { outgoing } = this.#network;
    const { destination } = echo;
    const is4 = destination.address.family === 4;
    const protocol = is4 ? PROTOCOL.ICMP : PROTOCOL.ICMPV6;
    const at = outgoing.begin(destination, protocol, ECHO_DATA + data.length);
    if (at < 0) return at as Refused;
    const { view } = outgoing;
    outgoing.bytes.set(data, at + ECHO_DATA);
    view.setUint8(at + TYPE_AT, is4 ? icmp4.TYPE.ECHO_REQUEST : icmp6.TYPE.ECHO_REQUEST);
    view.setUint8(at + CODE_AT, 0);
    view.setUint16(at + IDENTIFIER, echo.identifier);
    view.setUint16(at + SEQUENCE, sequence);
    if (is4) {
      view.setUint16(at + CHECKSUM, 0);
      view.setUint16(at + CHECKSUM, checksum(view, at, ECHO_DATA + data.length));
    } else icmp6.setChecksum(view, at, ECHO_DATA + data.length, outgoing.pseudoSum());
    return outgoing.end(notice);
  }

  /** True where a series of this host's has the identifier. */
  has(identifier: number): boolean {
    return this.#byIdentifier.has(identifier);
  }

  /** A reply came; nobody may be waiting for it. */
  replied(packet: Packet, identifier: number, sequence: number): void {
    const echo = this.#byIdentifier.get(identifier);
    if (echo === undefined) return;
    const { address } = echo.destination;
    // What somebody else says proves nothing about the way there.
    if (address.equalsWords(packet.s0, packet.s1, packet.s2, packet.s3)) echo.destination.confirm();
    echo.handlers.onReply({
      packet,
      sequence,
      at: packet.at + ECHO_DATA,
      lengthBytes: packet.length - ECHO_DATA,
    });
  }

  /** An error about an ICMP message of ours, whose first `lengthBytes` are at `at`. */
  failed(
    error: Omit<SoftError, "localPort" | "remotePort">,
    view: DataView,
    at: number,
    lengthBytes: number,
  ): void {
    if (lengthBytes < ECHO_DATA) return;
    const request = error.family === 4 ? icmp4.TYPE.ECHO_REQUEST : icmp6.TYPE.ECHO_REQUEST;
    if (view.getUint8(at + TYPE_AT) !== request) return;
    const echo = this.#byIdentifier.get(view.getUint16(at + IDENTIFIER));
    if (echo === undefined || !echo.destination.address.equals(error.remote)) return;
    echo.handlers.onError?.({ ...error, sequence: view.getUint16(at + SEQUENCE) });
  }

  forget(echo: Echo): void {
    if (this.#byIdentifier.get(echo.identifier) === echo) this.#byIdentifier.delete(echo.identifier);
  }
}
