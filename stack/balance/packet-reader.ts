/**
 * Reads what a balancer has to know of a packet: whose it is, which flow it belongs to, and whether it begins or ends one.
 *
 * Packets that it does not understand, or that nobody can have sent, are the host's: it counts them, and answers where an answer
 * is due.
 */
import type { Frame } from "../device/frame.ts";
import type { Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as chain from "../wire/ipv6-walk.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import { HEADER_BYTES as UDP_BYTES } from "../wire/udp.ts";

/** What a packet is. */
export const KIND = {
  /** None that can be sent on. */
  foreign: 0,
  /** A whole one, whose transport header is there. */
  whole: 1,
  /** The first fragment of one, with its transport header. */
  first: 2,
  /** A later fragment, which has no ports. */
  later: 3,
  /** An ICMP message. */
  icmp: 4,
} as const;

/** RFC 9293 section 3.1: the flags are in the fourteenth byte, the least header has twenty. */
const TCP_FLAGS = 13;
export const TCP_BYTES = 20;
const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

/** No transport header: nothing of it is to be looked at or completed. */
const NO_TRANSPORT = -1;

const OCTET_SHIFT = 24;
const LOOPBACK_OCTET = 127;
/** Groups, and the class that nobody has (RFC 1112 section 4). */
const FIRST_GROUP_OCTET = 224;
const LAST_WORD = 3;
const PROTOCOL_SHIFT = 16;

export class PacketReader {
  /** The packet that was read last. `protocol` is -1 in fragments, so that nobody takes a part for the whole. */
  readonly packet: Packet;
  /** The transport protocol, in fragments too. */
  protocol = 0;
  /** The client's port in the upper half, the service's in the lower one. */
  ports = 0;
  /** What the fragments of one packet have in common besides their addresses. */
  identification = 0;
  /** It begins a connection. */
  begins = false;
  /** It announces a connection's end. */
  ends = false;
  readonly #walk = new chain.Walk();

  constructor(packet: Packet) {
    this.packet = packet;
  }

  /** Reads the IPv4 packet of at most `length` bytes at `ipAt`, whose destination is known; gives one of `KIND`. */
  read4(frame: Frame, ipAt: number, length: number): number {
    const { view } = frame;
    const { packet } = this;
    const here = frame.head - (ipAt - frame.at);
    if (ipv4.headerBytes(view, ipAt) > here || ipv4.check(view, ipAt, length) < 0) return KIND.foreign;
    packet.view = view;
    packet.bytes = frame.bytes;
    packet.frame = frame;
    packet.family = 4;
    packet.ipAt = ipAt;
    packet.s0 = 0;
    packet.s1 = 0;
    packet.s2 = MAPPED;
    packet.s3 = ipv4.sourceWord(view, ipAt);
    packet.d0 = 0;
    packet.d1 = 0;
    packet.d2 = MAPPED;
    packet.d3 = ipv4.destinationWord(view, ipAt);
    if (packet.s3 === packet.d3 || !isStation4(packet.s3)) return KIND.foreign;
    const headerBytes = ipv4.headerBytes(view, ipAt);
    packet.at = ipAt + headerBytes;
    packet.length = ipv4.totalLength(view, ipAt) - headerBytes;
    this.protocol = ipv4.protocol(view, ipAt);
    packet.protocol = this.protocol;
    if (!ipv4.isFragment(view, ipAt)) return this.#whole(here - headerBytes, PROTOCOL.ICMP);
    packet.protocol = NO_TRANSPORT;
    this.identification = (this.protocol << PROTOCOL_SHIFT) | ipv4.identification(view, ipAt);
    if (ipv4.fragmentOffset(view, ipAt) !== 0) return KIND.later;
    return this.#transport(packet.at, Math.min(packet.length, here - headerBytes))
      ? KIND.first
      : KIND.foreign;
  }

  /** The same for an IPv6 packet. */
  read6(frame: Frame, ipAt: number, length: number): number {
    const { view } = frame;
    const { packet } = this;
    if (ipv6.check(view, ipAt, length) < 0) return KIND.foreign;
    packet.view = view;
    packet.bytes = frame.bytes;
    packet.frame = frame;
    packet.family = 6;
    packet.ipAt = ipAt;
    packet.s0 = ipv6.sourceWord(view, ipAt, 0);
    packet.s1 = ipv6.sourceWord(view, ipAt, 1);
    packet.s2 = ipv6.sourceWord(view, ipAt, 2);
    packet.s3 = ipv6.sourceWord(view, ipAt, LAST_WORD);
    packet.d0 = ipv6.destinationWord(view, ipAt, 0);
    packet.d1 = ipv6.destinationWord(view, ipAt, 1);
    packet.d2 = ipv6.destinationWord(view, ipAt, 2);
    packet.d3 = ipv6.destinationWord(view, ipAt, LAST_WORD);
    if (!isStation6(packet)) return KIND.foreign;
    packet.at = ipAt + ipv6.HEADER_BYTES;
    packet.length = ipv6.payloadLength(view, ipAt);
    this.protocol = ipv6.nextHeader(view, ipAt);
    packet.protocol = this.protocol;
    const here = frame.head - (packet.at - frame.at);
    if (!chain.isExtension(this.protocol)) return this.#whole(here, PROTOCOL.ICMPV6);
    return this.#behindExtensions(here);
  }

  #behindExtensions(here: number): number {
    const { packet } = this;
    const found = this.#walk;
    const { view, at } = packet;
    const length = Math.min(here, packet.length);
    if (chain.walk(view, at, length, this.protocol, found) < 0) return KIND.foreign;
    const skipped = found.at - at;
    if (found.protocol !== PROTOCOL.FRAGMENT) {
      packet.at = found.at;
      packet.length -= skipped;
      this.protocol = found.protocol;
      packet.protocol = found.protocol;
      return this.#whole(here - skipped, PROTOCOL.ICMPV6);
    }
    packet.protocol = NO_TRANSPORT;
    this.protocol = view.getUint8(found.at + chain.NEXT_HEADER);
    this.identification = chain.identification(view, found.at);
    if (chain.fragmentOffset(view, found.at) !== 0) return KIND.later;
    const transportAt = found.at + chain.FRAGMENT_BYTES;
    return this.#transport(transportAt, found.length - chain.FRAGMENT_BYTES) ? KIND.first : KIND.foreign;
  }

  /** A packet that is no fragment, of which `here` bytes from its transport header on lie in the first chunk. */
  #whole(here: number, icmp: number): number {
    const { packet } = this;
    if (this.protocol === icmp) return KIND.icmp;
    return this.#transport(packet.at, Math.min(packet.length, here)) ? KIND.whole : KIND.foreign;
  }

  /** Reads ports and flags; false where there are none. */
  #transport(at: number, length: number): boolean {
    const { view } = this.packet;
    this.begins = false;
    this.ends = false;
    if (this.protocol === PROTOCOL.UDP) {
      if (length < UDP_BYTES) return false;
    } else if (this.protocol === PROTOCOL.TCP && length >= TCP_BYTES) {
      const flags = view.getUint8(at + TCP_FLAGS);
      this.begins = (flags & (SYN | ACK)) === SYN;
      this.ends = (flags & (FIN | RST)) !== 0;
    } else return false;
    this.ports = view.getInt32(at);
    return true;
  }
}

/** What one station can send from (RFC 1122 section 3.2.1.3). */
const isStation4 = (word: number): boolean => {
  const octet = word >>> OCTET_SHIFT;
  return octet !== 0 && octet !== LOOPBACK_OCTET && octet < FIRST_GROUP_OCTET;
};

const GROUP_OCTET6 = 0xff;

/** Not from a group, from nobody, from itself, or from the loopback (RFC 4291 section 2.5). */
const isStation6 = ({ s0, s1, s2, s3, d0, d1, d2, d3 }: Packet): boolean => {
  if (s0 >>> OCTET_SHIFT === GROUP_OCTET6) return false;
  if ((s0 | s1 | s2) === 0 && s3 >>> 1 === 0) return false;
  return s3 !== d3 || s2 !== d2 || s1 !== d1 || s0 !== d0;
};
