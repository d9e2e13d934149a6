/**
 * How a packet is to be cut (RFC 791 section 3.2, RFC 8200 section 4.5): what each piece repeats, and how much it takes.
 */
import { MAX_UINT16 } from "../../wire/fields.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as chain from "../../wire/ipv6-walk.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { PROTOCOL } from "../../wire/protocol.ts";
import { upperBytes } from "./assembly.ts";
import { UNIT_BYTES } from "./fragment-map.ts";
import type { PacketPieces } from "./packet-pieces.ts";

/** Why a packet is not cut. */
export const REFUSED = {
  /** Its header does not fit it. */
  malformed: -1,
  /** More than fragments can speak of. */
  tooLong: -2,
  /** The MTU leaves no room for eight bytes of payload, or not for all IPv6 headers in the first one (RFC 7112). */
  mtu: -3,
  /** It says "don't fragment". */
  dontFragment: -4,
  /** The sink had no room; what it took before is lost on the receiver. */
  noRoom: -5,
} as const;

/** Set by `plan4` or `plan6`. */
export class FragmentPlan {
  /** Pieces; 1 where the packet goes as it is. */
  count = 0;
  /** Bytes of the packet before what is cut. */
  headBytes = 0;
  /** Bytes before the payload in the first piece, and in those after it. */
  firstHeader = 0;
  laterHeader = 0;
  /** Payload bytes of the first piece, and of each after it but the last. */
  firstRoom = 0;
  laterRoom = 0;
  /** IPv6: where in the packet the field is that will name the fragment header. */
  namedAt = 0;
  /** IPv4: where the payload belongs in a packet that was cut before, and whether more follows it. */
  offset = 0;
  more = false;
}

const wholeUnits = (bytes: number): number => bytes - (((bytes % UNIT_BYTES) + UNIT_BYTES) % UNIT_BYTES);

/** Counts the pieces of `payload` bytes; `REFUSED.mtu` where one could not even take a unit. */
const count = (plan: FragmentPlan, payload: number, mtu: number): number => {
  plan.firstRoom = wholeUnits(mtu - plan.firstHeader);
  plan.laterRoom = wholeUnits(mtu - plan.laterHeader);
  if (plan.firstRoom < UNIT_BYTES) return REFUSED.mtu;
  plan.count = 1 + Math.max(0, Math.ceil((payload - plan.firstRoom) / plan.laterRoom));
  return plan.count;
};

/** Plans an IPv4 packet: the number of pieces, or one of `REFUSED`. */
export const plan4 = (packet: PacketPieces, mtu: number, plan: FragmentPlan): number => {
  const { length } = packet;
  if (length < ipv4.HEADER_BYTES) return REFUSED.malformed;
  if (length > MAX_UINT16) return REFUSED.tooLong;
  plan.headBytes = headerBytes4(packet);
  if (plan.headBytes < ipv4.HEADER_BYTES || plan.headBytes > length) return REFUSED.malformed;
  plan.count = 1;
  if (length <= mtu) return plan.count;
  const flags = (packet.byte(ipv4.FLAGS_OFFSET) << BYTE_BITS) | packet.byte(ipv4.FLAGS_OFFSET + 1);
  if ((flags & ipv4.DONT_FRAGMENT) !== 0) return REFUSED.dontFragment;
  const payload = length - plan.headBytes;
  plan.more = (flags & ipv4.MORE_FRAGMENTS) !== 0;
  plan.offset = (flags & ~(ipv4.DONT_FRAGMENT | ipv4.MORE_FRAGMENTS | RESERVED_FLAG)) * UNIT_BYTES;
  if (plan.more && payload % UNIT_BYTES !== 0) return REFUSED.malformed;
  if (plan.headBytes + plan.offset + payload > MAX_UINT16) return REFUSED.tooLong;
  plan.firstHeader = plan.headBytes;
  plan.laterHeader = ipv4.HEADER_BYTES + copiedBytes(packet, plan.headBytes);
  return count(plan, payload, mtu);
};

const BYTE_BITS = 8;
const RESERVED_FLAG = 0x8000;
const WORDS_MASK = 0xf;
const WORD_BYTES = 4;
/** Options with this bit go into every fragment (RFC 791 section 3.1). */
const COPIED = 0x80;

const headerBytes4 = (packet: PacketPieces): number =>
  (packet.byte(ipv4.VERSION_LENGTH) & WORDS_MASK) * WORD_BYTES;

/** The next option from `index` on that goes into every fragment, or -1. Malformed ones end the list. */
export const copiedOption = (packet: PacketPieces, index: number, end: number): number => {
  while (index < end) {
    const type = packet.byte(index + ipv4.OPTION_TYPE);
    if (type === ipv4.OPTION.END) return NONE;
    const bytes = optionBytes4(packet, index, end);
    if (bytes < 0) return NONE;
    // A no-operation only aligned what followed it.
    if ((type & COPIED) !== 0) return index;
    index += bytes;
  }
  return NONE;
};

const NONE = -1;

/** Bytes of the option at `index`, or -1. */
export const optionBytes4 = (packet: PacketPieces, index: number, end: number): number => {
  if (packet.byte(index + ipv4.OPTION_TYPE) === ipv4.OPTION.NO_OPERATION) return 1;
  if (end - index < ipv4.OPTION_DATA) return NONE;
  const bytes = packet.byte(index + ipv4.OPTION_LENGTH);
  return bytes < ipv4.OPTION_DATA || bytes > end - index ? NONE : bytes;
};

/** Bytes that the copied options take, in whole words. */
const copiedBytes = (packet: PacketPieces, end: number): number => {
  let bytes = 0;
  let at = copiedOption(packet, ipv4.OPTIONS, end);
  while (at !== NONE) {
    const length = optionBytes4(packet, at, end);
    bytes += length;
    at = copiedOption(packet, at + length, end);
  }
  return Math.ceil(bytes / WORD_BYTES) * WORD_BYTES;
};

/** Plans an IPv6 packet that is no fragment: the number of pieces, or one of `REFUSED`. */
export const plan6 = (packet: PacketPieces, mtu: number, plan: FragmentPlan): number => {
  const { length } = packet;
  if (length < ipv6.HEADER_BYTES) return REFUSED.malformed;
  if (length > ipv6.MAX_PACKET_BYTES) return REFUSED.tooLong;
  plan.count = 1;
  if (length <= mtu) return plan.count;
  const chainBytes = walk(packet, plan);
  if (chainBytes < 0) return REFUSED.malformed;
  plan.firstHeader = plan.headBytes + chain.FRAGMENT_BYTES;
  plan.laterHeader = plan.firstHeader;
  const pieces = count(plan, length - plan.headBytes, mtu);
  return pieces > 0 && chainBytes > plan.headBytes + plan.firstRoom ? REFUSED.mtu : pieces;
};

/**
 * Finds what every fragment repeats: the IPv6 header, and all up to the routing header or else the hop-by-hop options
 * (RFC 8200 section 4.5). Gives the bytes of all headers, the upper layer's least ones too; -1 where they don't fit.
 */
const walk = (packet: PacketPieces, plan: FragmentPlan): number => {
  let named = ipv6.NEXT_HEADER;
  let at = ipv6.HEADER_BYTES;
  let kind = packet.byte(named);
  plan.headBytes = at;
  plan.namedAt = named;
  for (let headers = 0; chain.isExtension(kind); headers++) {
    if (at + UNIT_BYTES > packet.length || headers === chain.MAX_HEADERS) return NONE;
    const repeated = kind === PROTOCOL.HOP_BY_HOP || kind === PROTOCOL.ROUTING;
    named = at + chain.NEXT_HEADER;
    at += extensionBytes(packet, at, kind);
    kind = packet.byte(named);
    if (!repeated) continue;
    plan.headBytes = at;
    plan.namedAt = named;
  }
  return at > packet.length ? NONE : Math.min(packet.length, at + upperBytes(kind));
};

const extensionBytes = (packet: PacketPieces, at: number, kind: number): number => {
  if (kind === PROTOCOL.FRAGMENT) return chain.FRAGMENT_BYTES;
  if (kind === PROTOCOL.AH)
    return (packet.byte(at + chain.AH_WORDS) + chain.AH_UNCOUNTED_WORDS) * chain.AH_WORD_BYTES;
  return (packet.byte(at + chain.UNITS) + 1) * chain.UNIT_BYTES;
};
