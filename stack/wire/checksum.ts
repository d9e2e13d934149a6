/**
 * The Internet checksum (RFC 1071): sums over bytes and pseudo-headers, finished, updated, and recognised half done.
 *
 * A partial sum is a whole number below 2^31 that stands for its value modulo 0xffff; partial sums are added with `+`.
 * Each one that a function here gives is at most 2^17, so thousands may be added before `fold`.
 */
import { type IpAddress, IPV4_BYTES, IPV6_BYTES } from "./address.ts";

const HALF_BITS = 16;
const HALF_MASK = 0xffff;
const BYTE_BITS = 8;
const WORD = 4;
const HALF = 2;

/** So many bytes are added without a carry: their 2^14 words are less than 2^31 in halves, as is the initial sum. */
const BLOCK_BYTES = 1 << 16;

/** The sum as 16 bits. It is 0 only where the sum was. */
export const fold = (sum: number): number => {
  const once = (sum & HALF_MASK) + (sum >>> HALF_BITS);
  return (once & HALF_MASK) + (once >>> HALF_BITS);
};

/** What the checksum field has to hold: the complement of the sum, 0 to 0xffff. */
export const finish = (sum: number): number => ~fold(sum) & HALF_MASK;

/**
 * Adds `length` bytes from `at`, of any alignment, to the partial sum `initial`. An odd last byte is followed by a zero.
 *
 * One word a round: of the engine's ways this was the fastest for headers, and as fast as the unrolled ones for packets.
 * All words are added modulo 2^32, their upper halves apart; what the first sum has more than those are the lower halves.
 */
export const sum = (view: DataView, at: number, length: number, initial = 0): number => {
  if (length > BLOCK_BYTES) return sumOfBlocks(view, at, length, initial);
  let words = 0;
  let uppers = 0;
  const end = (at + length) | 0;
  const last = (end - WORD) | 0;
  for (; at <= last; at = (at + WORD) | 0) {
    const word = view.getInt32(at);
    words = (words + word) | 0;
    uppers = (uppers + (word >>> HALF_BITS)) | 0;
  }
  let total = (words - (uppers << HALF_BITS) + uppers + initial) | 0;
  if (((end - at) | 0) >= HALF) {
    total = (total + view.getUint16(at)) | 0;
    at = (at + HALF) | 0;
  }
  if (at < end) total = (total + (view.getUint8(at) << BYTE_BITS)) | 0;
  // Read without a sign: it may have passed 2^31, never 2^32.
  return (total & HALF_MASK) + (total >>> HALF_BITS);
};

const sumOfBlocks = (view: DataView, at: number, length: number, initial: number): number => {
  let total = initial;
  for (; length > 0; length -= BLOCK_BYTES, at += BLOCK_BYTES)
    total = sum(view, at, Math.min(length, BLOCK_BYTES), total);
  return total;
};

/** The checksum of `length` bytes from `at`: 0 where they hold a right one. */
export const checksum = (view: DataView, at: number, length: number): number => finish(sum(view, at, length));

/** Where the addresses lie in an IPv4 header (RFC 791 section 3.1) and in an IPv6 header (RFC 8200 section 3). */
export const ADDRESSES4 = 12;
export const ADDRESSES6 = 8;

/** The pseudo-header of RFC 768 from the IPv4 header at `ipAt`; `length` is that of the upper packet in bytes. */
export const pseudo4 = (view: DataView, ipAt: number, protocol: number, length: number): number =>
  sum(view, ipAt + ADDRESSES4, 2 * IPV4_BYTES, protocol + length);

/** The pseudo-header of RFC 8200 section 8.1 from the IPv6 header at `ipAt`; `length` is that of the upper packet. */
export const pseudo6 = (view: DataView, ipAt: number, nextHeader: number, length: number): number =>
  sum(view, ipAt + ADDRESSES6, 2 * IPV6_BYTES, nextHeader + (length & HALF_MASK) + (length >>> HALF_BITS));

/** The two halves of a word, added: how it enters a sum. */
export const halves = (word: number): number => (word >>> HALF_BITS) + (word & HALF_MASK);

/** An address as it enters the sum of a pseudo-header. */
export const sumOfAddress = (address: IpAddress): number =>
  // The mapped prefix is no part of an IPv4 pseudo-header.
  address.family === 4
    ? halves(address.w3)
    : halves(address.w0) + halves(address.w1) + halves(address.w2) + halves(address.w3);

/** The pseudo-header of a packet between two addresses of one family. */
export const pseudoOf = (
  source: IpAddress,
  destination: IpAddress,
  protocol: number,
  length: number,
): number => fold(sumOfAddress(source) + sumOfAddress(destination) + protocol) + fold(length);

/** The checksum after one 16-bit field changed from `before` to `after` (RFC 1624 equation 3). */
export const update16 = (checksum: number, before: number, after: number): number =>
  finish((~checksum & HALF_MASK) + (~before & HALF_MASK) + (after & HALF_MASK));

/** The same for a 32-bit field that lies on an even offset. */
export const update32 = (checksum: number, before: number, after: number): number =>
  finish((~checksum & HALF_MASK) + halves(~before) + halves(after));

/**
 * True where a checksum field holds only the folded pseudo-header sum: virtual devices (veth, tap) hand packets over like
 * that, because the checksum was left to a device that never was (Linux, CHECKSUM_PARTIAL in skbuff.h). Such a packet
 * never crossed a wire, and its bytes are good.
 */
export const isPartial = (field: number, pseudoSum: number): boolean => field === fold(pseudoSum);
