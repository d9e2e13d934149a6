/**
 * Which flow an ICMP error is about: it quotes a packet that a backend sent to a client, from the service's address.
 *
 * The error came to that address, so it came to the balancer; only the backend of the flow knows what to do with it, such as
 * sending smaller packets (RFC 1191, RFC 8201).
 */
import type { Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import * as icmp4 from "../wire/icmpv4.ts";
import * as icmp6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as chain from "../wire/ipv6-walk.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";

const PORT_BITS = 16;
/** Both ports; all that is sure to be quoted has them (RFC 792: eight bytes). */
const PORT_BYTES = 4;
const LAST_WORD = 3;

/** The flow as its client's packets have it. */
export class QuotedFlow {
  c0 = 0;
  c1 = 0;
  c2 = 0;
  c3 = 0;
  /** The client's port in the upper half, the service's in the lower one. */
  ports = 0;
  protocol = 0;
  readonly #walk = new chain.Walk();

  /** Reads the message in `packet`; false where it is no error about a packet from the address that it came to. */
  read(packet: Packet): boolean {
    const { frame, at } = packet;
    const here = Math.min(packet.length, frame!.head - (at - frame!.at));
    return packet.family === 4 ? this.#read4(packet, here) : this.#read6(packet, here);
  }

  #read4({ view, at, d3 }: Packet, here: number): boolean {
    if (here < icmp4.QUOTE + icmp4.MIN_QUOTE_BYTES) return false;
    const type = icmp4.type(view, at);
    if (!icmp4.isExtensible(type)) return false;
    const quoteAt = at + icmp4.QUOTE;
    const headerBytes = ipv4.headerBytes(view, quoteAt);
    if (headerBytes < ipv4.HEADER_BYTES || ipv4.sourceWord(view, quoteAt) !== d3) return false;
    if (icmp4.quoteLength(view, at, here) < headerBytes + PORT_BYTES) return false;
    // A later fragment has no ports.
    if (ipv4.fragmentOffset(view, quoteAt) !== 0) return false;
    this.c0 = 0;
    this.c1 = 0;
    this.c2 = MAPPED;
    this.c3 = ipv4.destinationWord(view, quoteAt);
    this.protocol = ipv4.protocol(view, quoteAt);
    this.ports = turned(view.getInt32(quoteAt + headerBytes));
    return true;
  }

  #read6({ view, at, d0, d1, d2, d3 }: Packet, here: number): boolean {
    if (here < icmp6.QUOTE + icmp6.MIN_QUOTE_BYTES || !icmp6.isError(icmp6.type(view, at))) return false;
    const quoteAt = at + icmp6.QUOTE;
    const source = (index: number): number => ipv6.sourceWord(view, quoteAt, index);
    if (source(LAST_WORD) !== d3 || source(2) !== d2 || source(1) !== d1 || source(0) !== d0) return false;
    const quoted = icmp6.quoteLength(view, at, here) - ipv6.HEADER_BYTES;
    const found = this.#walk;
    const next = ipv6.nextHeader(view, quoteAt);
    if (chain.walk(view, quoteAt + ipv6.HEADER_BYTES, quoted, next, found) < 0) return false;
    let { at: portsAt, length, protocol } = found;
    if (protocol === PROTOCOL.FRAGMENT) {
      // A later fragment has no ports.
      if (length < chain.FRAGMENT_BYTES || chain.fragmentOffset(view, portsAt) !== 0) return false;
      protocol = view.getUint8(portsAt + chain.NEXT_HEADER);
      portsAt += chain.FRAGMENT_BYTES;
      length -= chain.FRAGMENT_BYTES;
    }
    if (length < PORT_BYTES || chain.isExtension(protocol)) return false;
    this.c0 = ipv6.destinationWord(view, quoteAt, 0);
    this.c1 = ipv6.destinationWord(view, quoteAt, 1);
    this.c2 = ipv6.destinationWord(view, quoteAt, 2);
    this.c3 = ipv6.destinationWord(view, quoteAt, LAST_WORD);
    this.protocol = protocol;
    this.ports = turned(view.getInt32(portsAt));
    return true;
  }
}

/** The ports of the answer to a packet with these. */
const turned = (ports: number): number => (ports << PORT_BITS) | (ports >>> PORT_BITS);
