/**
 * Address prefixes: "10.0.0.0/8", "2001:db8::/32", and the addresses of interfaces, "10.0.0.2/24".
 */
import { type Family, IpAddress, MAPPED } from "./address.ts";

const WORD_BITS = 32;
export const IPV4_BITS = 32;
export const IPV6_BITS = 128;
/** Length of ::ffff:0:0/96, below which an IPv4 prefix lies in words. */
const MAPPED_BITS = IPV6_BITS - IPV4_BITS;

/** A mask of one word with the first `bits` set; none below 1, all from 32 on. */
export const maskWord = (bits: number): number =>
  bits <= 0 ? 0 : bits >= WORD_BITS ? -1 : -1 << (WORD_BITS - bits);

const bitsOf = (family: Family): number => (family === 4 ? IPV4_BITS : IPV6_BITS);

const LENGTH = /^(?:0|[1-9][0-9]{0,2})$/;

/** "address/length" as an address and a length that fits it; a length is implied where there is none. */
const split = (text: string): { address: IpAddress; length: number } | undefined => {
  if (typeof text !== "string") return undefined;
  const slash = text.indexOf("/");
  const address = IpAddress.tryParse(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = bitsOf(address.family);
  if (slash < 0) return { address, length: bits };
  const digits = text.slice(slash + 1);
  const length = LENGTH.test(digits) ? Number(digits) : bits + 1;
  return length > bits ? undefined : { address, length };
};

/** One prefix, which never changes. */
export class Prefix {
  /** The bits behind the prefix are 0. */
  readonly address: IpAddress;
  /** 0 to 32, or 0 to 128. */
  readonly length: number;
  readonly family: Family;
  /** What masks the words of an address; for IPv4 the first three words count whole. */
  readonly mask0: number;
  readonly mask1: number;
  readonly mask2: number;
  readonly mask3: number;

  private constructor(family: Family, address: IpAddress, length: number) {
    const bits = family === 4 ? MAPPED_BITS + length : length;
    this.mask0 = maskWord(bits);
    this.mask1 = maskWord(bits - WORD_BITS);
    this.mask2 = maskWord(bits - 2 * WORD_BITS);
    this.mask3 = maskWord(bits - 3 * WORD_BITS);
    this.address = IpAddress.words(
      address.w0 & this.mask0,
      address.w1 & this.mask1,
      address.w2 & this.mask2,
      address.w3 & this.mask3,
    );
    this.length = length;
    this.family = family;
  }

  /**
   * Reads "address/length", or an address, which is a prefix of its whole length. Bits behind the prefix are cleared.
   *
   * @throws TypeError that quotes the text, where it is neither.
   */
  static parse(text: string): Prefix {
    const parts = split(text);
    if (parts === undefined) throw new TypeError(`${JSON.stringify(text)} is no address prefix`);
    return new Prefix(parts.address.family, parts.address, parts.length);
  }

  /** @throws RangeError where the length does not fit the family. */
  static of(address: IpAddress, length: number): Prefix {
    const bits = bitsOf(address.family);
    if (!Number.isInteger(length) || length < 0 || length > bits)
      throw new RangeError(`length is a whole number from 0 to ${bits}, not ${String(length)}`);
    return new Prefix(address.family, address, length);
  }

  /** The first `length` bits of this one, which has no fewer. */
  shortened(length: number): Prefix {
    return new Prefix(this.family, this.address, length);
  }

  /** Never true for an address of the other family. */
  contains(address: IpAddress): boolean {
    return this.containsWords(address.w0, address.w1, address.w2, address.w3);
  }

  containsWords(w0: number, w1: number, w2: number, w3: number): boolean {
    const { address } = this;
    const differs =
      ((w0 ^ address.w0) & this.mask0) |
      ((w1 ^ address.w1) & this.mask1) |
      ((w2 ^ address.w2) & this.mask2) |
      ((w3 ^ address.w3) & this.mask3);
    // A short IPv6 prefix of zeros has the mapped words of IPv4 addresses in it, which are not meant.
    return differs === 0 && (this.family === 4 || w0 !== 0 || w1 !== 0 || w2 !== MAPPED);
  }

  equals(other: Prefix): boolean {
    return this.length === other.length && this.address.equals(other.address);
  }

  /** "10.0.0.0/8". */
  toString(): string {
    return `${this.address.toString()}/${this.length}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/**
 * Reads what an interface is given: "10.0.0.2/24" is the address itself and the length of its prefix. Without a length
 * the address stands alone (/32, /128).
 *
 * @throws TypeError that quotes the text.
 */
export const parseInterfaceAddress = (text: string): { address: IpAddress; length: number } => {
  const parts = split(text);
  if (parts === undefined)
    throw new TypeError(`${JSON.stringify(text)} is no interface address such as "10.0.0.2/24"`);
  return parts;
};
