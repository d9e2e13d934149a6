/**
 * One datagram on its way together: whose it is, what is there, and how its header is put right when all is.
 */
import { MAX_UINT16 } from "../../wire/fields.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as chain from "../../wire/ipv6-walk.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { PROTOCOL } from "../../wire/protocol.ts";

/** What fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5). */
export class FragmentKey {
  s0 = 0;
  s1 = 0;
  s2 = 0;
  s3 = 0;
  d0 = 0;
  d1 = 0;
  d2 = 0;
  d3 = 0;
  /** IPv4: identification and protocol; IPv6: identification. Int32. */
  identification = 0;
  /** Where it came in, so that links don't disturb each other. */
  zone = 0;

  assign(other: FragmentKey): void {
    this.s0 = other.s0;
    this.s1 = other.s1;
    this.s2 = other.s2;
    this.s3 = other.s3;
    this.d0 = other.d0;
    this.d1 = other.d1;
    this.d2 = other.d2;
    this.d3 = other.d3;
    this.identification = other.identification;
    this.zone = other.zone;
  }

  /** The identification first, which differs the most. */
  equals(other: FragmentKey): boolean {
    return (
      this.identification === other.identification &&
      this.d3 === other.d3 &&
      this.d2 === other.d2 &&
      this.d1 === other.d1 &&
      this.d0 === other.d0 &&
      this.zone === other.zone &&
      this.sameSource(other)
    );
  }

  sameSource(other: FragmentKey): boolean {
    return this.s3 === other.s3 && this.s2 === other.s2 && this.s1 === other.s1 && this.s0 === other.s0;
  }
}

/** No fragment said yet where the datagram ends. */
export const OPEN = -1;

/** The state of one slot; made once and reused. */
export class Assembly {
  readonly key = new FragmentKey();
  /** Payload bytes of the whole datagram, or `OPEN`. */
  total: number = OPEN;
  /** Units of eight bytes that are there. */
  units = 0;
  /** Where the furthest fragment ends, in bytes. */
  furthest = 0;
  /** Header bytes of the first fragment, as it came, in front of the payload; 0 until it comes. */
  headerBytes = 0;
  /** Payload bytes of the first fragment. */
  firstBytes = 0;
  /** A bit for each value of the ECN field that was seen. */
  ecnSeen = 0;
  /** Fragments contradicted each other: nothing will come of it, and what still comes is dropped too. */
  abandoned = false;
  deadlineMs = 0;
  /** Where the packet begins, and its bytes, once it is whole. */
  at = 0;
  length = 0;

  reset(key: FragmentKey, deadlineMs: number): void {
    this.key.assign(key);
    this.total = OPEN;
    this.units = 0;
    this.furthest = 0;
    this.headerBytes = 0;
    this.firstBytes = 0;
    this.ecnSeen = 0;
    this.abandoned = false;
    this.deadlineMs = deadlineMs;
  }
}

/** What the length fields can say: IPv4 counts its header, IPv6 does not. */
export const MAX_PACKET4 = MAX_UINT16;
export const MAX_PAYLOAD6 = MAX_UINT16;

const NOT_ECT = 0;
const CONGESTION = 3;
const CONGESTION_SEEN = 1 << CONGESTION;

/** A part met congestion, and another comes from a sender that would not hear of it (RFC 3168 section 5.3). */
export const ecnContradicts = (seen: number): boolean =>
  (seen & CONGESTION_SEEN) !== 0 && (seen & (1 << NOT_ECT)) !== 0;

const congested = (seen: number): boolean => (seen & CONGESTION_SEEN) !== 0;

/**
 * Makes the first fragment's header at `at` that of the whole datagram of `total` payload bytes; gives the packet's
 * length, or 0 where that is more than a packet may have.
 */
export const finish4 = (
  view: DataView,
  at: number,
  headerBytes: number,
  total: number,
  ecnSeen: number,
): number => {
  const length = headerBytes + total;
  if (length > MAX_PACKET4) return 0;
  ipv4.setTotalLength(view, at, length);
  ipv4.setFragment(view, at, ipv4.dontFragment(view, at) ? ipv4.DONT_FRAGMENT : 0, 0);
  if (congested(ecnSeen)) ipv4.setEcn(view, at, CONGESTION);
  ipv4.setChecksum(view, at);
  return length;
};

/**
 * The same for IPv6: the fragment header, the last `FRAGMENT_BYTES` of `headerBytes`, goes, so the packet begins so much
 * later. The first fragment tells the next header (RFC 8200 section 4.5).
 */
export const finish6 = (
  view: DataView,
  bytes: Uint8Array,
  at: number,
  headerBytes: number,
  total: number,
  ecnSeen: number,
): number => {
  const kept = headerBytes - chain.FRAGMENT_BYTES;
  const payload = kept - ipv6.HEADER_BYTES + total;
  if (payload > MAX_PAYLOAD6) return 0;
  const fragmentAt = at + kept;
  view.setUint8(namedAt(view, at, fragmentAt), view.getUint8(fragmentAt + chain.NEXT_HEADER));
  bytes.copyWithin(at + chain.FRAGMENT_BYTES, at, fragmentAt);
  const start = at + chain.FRAGMENT_BYTES;
  ipv6.setPayloadLength(view, start, payload);
  if (congested(ecnSeen)) ipv6.setTrafficClass(view, start, ipv6.trafficClass(view, start) | CONGESTION);
  return ipv6.HEADER_BYTES + payload;
};

/** Where the field is that names the fragment header at `fragmentAt`. */
const namedAt = (view: DataView, ipAt: number, fragmentAt: number): number => {
  let named = ipAt + ipv6.NEXT_HEADER;
  let at = ipAt + ipv6.HEADER_BYTES;
  while (at < fragmentAt) {
    const bytes = chain.headerBytes(view, at, fragmentAt - at, view.getUint8(named));
    // Whoever walked here saw whole headers; what is not a header by now can't be passed.
    if (bytes <= 0) break;
    named = at + chain.NEXT_HEADER;
    at += bytes;
  }
  return named;
};

/** Header bytes of upper layers that RFC 7112 section 5 wants in the first fragment; 1 for those not listed. */
const LEAST_BYTES: ReadonlyMap<number, number> = new Map([
  [PROTOCOL.TCP, 20],
  [PROTOCOL.UDP, 8],
  [PROTOCOL.UDP_LITE, 8],
  [PROTOCOL.ESP, 8],
  [PROTOCOL.SCTP, 12],
  // Type, code and checksum (RFC 7112 section 3).
  [PROTOCOL.ICMPV6, 4],
  [PROTOCOL.NONE, 0],
]);

/** Bytes of an upper layer's header that have to be in the first fragment. */
export const upperBytes = (nextHeader: number): number => LEAST_BYTES.get(nextHeader) ?? 1;

/** Whether the first fragment's `length` payload bytes at `at` hold all headers up to the upper layer's (RFC 7112). */
export const hasWholeChain = (view: DataView, at: number, length: number, nextHeader: number): boolean => {
  for (let headers = 0; chain.isExtension(nextHeader); headers++) {
    const bytes = chain.headerBytes(view, at, length, nextHeader);
    if (bytes < 0 || headers === chain.MAX_HEADERS) return false;
    nextHeader = view.getUint8(at + chain.NEXT_HEADER);
    at += bytes;
    length -= bytes;
  }
  return length >= upperBytes(nextHeader);
};
