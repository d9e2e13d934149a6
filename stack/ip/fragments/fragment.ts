/**
 * One fragment taken apart: what it belongs to, which part of it this is, and whether its numbers can be.
 */
import { MAPPED } from "../../wire/address.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as chain from "../../wire/ipv6-walk.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { FragmentKey, hasWholeChain, MAX_PACKET4, MAX_PAYLOAD6 } from "./assembly.ts";
import { UNIT_BYTES } from "./fragment-map.ts";
import { HEADER_ROOM_BYTES } from "./reassembly-options.ts";

/** Why a fragment is dropped before anything else is asked; the names of its counters. */
export type FragmentFault = "malformed" | "empty" | "misaligned" | "tooLong" | "tooLarge" | "incompleteChain";

const UNIT_REST = UNIT_BYTES - 1;
const PROTOCOL_SHIFT = 16;

/** The parts of a fragment; made once and reused. */
export class Fragment {
  readonly key = new FragmentKey();
  ipAt = 0;
  /** Bytes of the packet. */
  packetBytes = 0;
  /** Bytes before the payload: for IPv6 with the fragment header. */
  headerBytes = 0;
  /** Bytes of the payload. */
  length = 0;
  /** Where they belong. */
  offset = 0;
  more = false;
  ecn = 0;

  /** Reads the IPv4 fragment of `packetBytes` bytes at `ipAt`; gives what is wrong with it. */
  read4(view: DataView, ipAt: number, packetBytes: number, zone: number): FragmentFault | undefined {
    if (packetBytes < ipv4.HEADER_BYTES) return "malformed";
    const headerBytes = ipv4.headerBytes(view, ipAt);
    if (headerBytes < ipv4.HEADER_BYTES || headerBytes > packetBytes) return "malformed";
    this.ipAt = ipAt;
    this.packetBytes = packetBytes;
    this.headerBytes = headerBytes;
    this.length = packetBytes - headerBytes;
    this.offset = ipv4.fragmentOffset(view, ipAt);
    this.more = ipv4.moreFragments(view, ipAt);
    this.ecn = ipv4.ecn(view, ipAt);
    const { key } = this;
    key.s0 = 0;
    key.s1 = 0;
    key.s2 = MAPPED;
    key.s3 = ipv4.sourceWord(view, ipAt);
    key.d0 = 0;
    key.d1 = 0;
    key.d2 = MAPPED;
    key.d3 = ipv4.destinationWord(view, ipAt);
    key.identification = (ipv4.protocol(view, ipAt) << PROTOCOL_SHIFT) | ipv4.identification(view, ipAt);
    key.zone = zone;
    if (headerBytes + this.offset + this.length > MAX_PACKET4) return "tooLong";
    return this.#judge();
  }

  /** Reads the IPv6 fragment whose fragment header is at `fragmentAt`; gives what is wrong with it. */
  read6(
    view: DataView,
    ipAt: number,
    packetBytes: number,
    fragmentAt: number,
    zone: number,
  ): FragmentFault | undefined {
    const headerBytes = fragmentAt - ipAt + chain.FRAGMENT_BYTES;
    if (headerBytes < ipv6.HEADER_BYTES + chain.FRAGMENT_BYTES || headerBytes > packetBytes)
      return "malformed";
    this.ipAt = ipAt;
    this.packetBytes = packetBytes;
    this.headerBytes = headerBytes;
    this.length = packetBytes - headerBytes;
    this.offset = chain.fragmentOffset(view, fragmentAt);
    this.more = chain.moreFragments(view, fragmentAt);
    this.ecn = ipv6.ecn(view, ipAt);
    const { key } = this;
    key.s0 = ipv6.sourceWord(view, ipAt, 0);
    key.s1 = ipv6.sourceWord(view, ipAt, 1);
    key.s2 = ipv6.sourceWord(view, ipAt, 2);
    key.s3 = ipv6.sourceWord(view, ipAt, 3);
    key.d0 = ipv6.destinationWord(view, ipAt, 0);
    key.d1 = ipv6.destinationWord(view, ipAt, 1);
    key.d2 = ipv6.destinationWord(view, ipAt, 2);
    key.d3 = ipv6.destinationWord(view, ipAt, 3);
    key.identification = chain.identification(view, fragmentAt);
    key.zone = zone;
    const extensions = headerBytes - ipv6.HEADER_BYTES - chain.FRAGMENT_BYTES;
    if (extensions + this.offset + this.length > MAX_PAYLOAD6) return "tooLong";
    return this.#judge() ?? (this.offset === 0 ? this.#judgeFirst6(view, fragmentAt) : undefined);
  }

  #judge(): FragmentFault | undefined {
    if (this.length === 0) return "empty";
    return this.more && (this.length & UNIT_REST) !== 0 ? "misaligned" : undefined;
  }

  #judgeFirst6(view: DataView, fragmentAt: number): FragmentFault | undefined {
    const { ipAt, headerBytes, length } = this;
    if (headerBytes > HEADER_ROOM_BYTES) return "tooLarge";
    const nextHeader = view.getUint8(fragmentAt + chain.NEXT_HEADER);
    // What is whole is judged by those whose headers are cut short.
    return this.more && !hasWholeChain(view, ipAt + headerBytes, length, nextHeader)
      ? "incompleteChain"
      : undefined;
  }
}
