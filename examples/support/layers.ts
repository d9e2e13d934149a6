/**
 * What lies where in an Ethernet frame, as far as the examples look: behind VLAN tags, up to the transport header.
 */
import { ETHERTYPE, ethernet, icmpv4, icmpv6, ipv4, ipv6, PROTOCOL, udp, vlan } from "millrace/wire";

/** IEEE 802 local experimental ethertype 1. */
export const EXPERIMENTAL = 0x88b5;
const MAX_TAGS = 2;
/** RFC 9293 section 3.1. */
export const TCP_BYTES = 20;
/** What must be there of a transport header for it to be looked at; SCTP's begins like that of UDP. */
const LEAST_BYTES: Readonly<Record<number, number>> = {
  [PROTOCOL.ICMP]: icmpv4.HEADER_BYTES,
  [PROTOCOL.ICMPV6]: icmpv6.HEADER_BYTES,
  [PROTOCOL.UDP]: udp.HEADER_BYTES,
  [PROTOCOL.TCP]: TCP_BYTES,
  [PROTOCOL.SCTP]: udp.HEADER_BYTES,
};

/** One object is reused for all frames: `read` fills it in. */
export class Layers {
  /** Behind VLAN tags. */
  ethertype = 0;
  /** 4, 6, or 0 for anything else. */
  version: 0 | 4 | 6 = 0;
  /** Offset of the network header, -1 without one. */
  network = -1;
  /** IP protocol, -1 without one. */
  protocol = -1;
  /** Offset of the transport header, -1 in fragments and where it is cut short. */
  transport = -1;
  /** Bytes from the transport header to the end of the IP packet, as the IP header has it. */
  transportBytes = 0;

  /** Reads the frame of `length` bytes at `at`; looks no further than it reaches. */
  read(view: DataView, at: number, length: number): this {
    this.version = 0;
    this.network = -1;
    this.protocol = -1;
    this.transport = -1;
    this.ethertype = 0;
    if (ethernet.check(view, at, length) < 0) return this;
    const end = at + length;
    let next = at + ethernet.HEADER_BYTES;
    this.ethertype = ethernet.type(view, at);
    for (let tags = 0; tags < MAX_TAGS && isTag(this.ethertype); tags++) {
      if (next + vlan.TAG_BYTES > end) return this;
      this.ethertype = vlan.innerType(view, next);
      next += vlan.TAG_BYTES;
    }
    this.network = next;
    if (this.ethertype === ETHERTYPE.IPV4) this.#readIpv4(view, end);
    else if (this.ethertype === ETHERTYPE.IPV6) this.#readIpv6(view, end);
    return this;
  }

  /** True for what finds neighbours: ARP and IPv6 neighbour discovery. */
  findsNeighbours(view: DataView): boolean {
    if (this.ethertype === ETHERTYPE.ARP) return true;
    if (this.protocol !== PROTOCOL.ICMPV6 || this.transport < 0) return false;
    const type = icmpv6.type(view, this.transport);
    return type >= icmpv6.TYPE.ROUTER_SOLICITATION && type <= icmpv6.TYPE.REDIRECT;
  }

  #readIpv4(view: DataView, end: number): void {
    const at = this.network;
    if (at + ipv4.HEADER_BYTES > end) return;
    const header = ipv4.headerBytes(view, at);
    const total = ipv4.totalLength(view, at);
    if (header < ipv4.HEADER_BYTES || total < header) return;
    this.version = 4;
    this.protocol = ipv4.protocol(view, at);
    if (!ipv4.isFragment(view, at)) this.#setTransport(at + header, total - header, end);
  }

  #readIpv6(view: DataView, end: number): void {
    const at = this.network;
    if (at + ipv6.HEADER_BYTES > end) return;
    this.version = 6;
    // Extension headers are not followed: with one, the protocol is its number and there is no transport.
    this.protocol = ipv6.nextHeader(view, at);
    this.#setTransport(at + ipv6.HEADER_BYTES, ipv6.payloadLength(view, at), end);
  }

  #setTransport(at: number, bytes: number, end: number): void {
    const least = LEAST_BYTES[this.protocol] ?? Infinity;
    if (bytes < least || at + least > end) return;
    this.transport = at;
    this.transportBytes = bytes;
  }
}

const isTag = (ethertype: number): boolean => ethertype === ETHERTYPE.VLAN || ethertype === ETHERTYPE.QINQ;

/** True where the transport header begins with two ports. */
export const hasPorts = (protocol: number): boolean =>
  protocol === PROTOCOL.UDP || protocol === PROTOCOL.TCP || protocol === PROTOCOL.SCTP;
