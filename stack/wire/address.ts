/**
 * IP addresses of both families as four words, so that one table, one hash and one comparison serve both.
 */
import { formatWords, MAPPED, parseWords } from "./address-text.ts";

export { hashAddress } from "./address-hash.ts";
export { formatWords, MAPPED };

export type Family = 4 | 6;

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

/** Offsets of the words of an IPv6 address. */
const W0 = 0;
const W1 = W0 + 4;
const W2 = W1 + 4;
const W3 = W2 + 4;

/** The address scopes of RFC 4291 section 2.7 and RFC 4007. */
export const SCOPE = { INTERFACE: 1, LINK: 2, SITE: 5, GLOBAL: 14 } as const;

/** Where the scope field of a multicast address lies in its first word (RFC 4291 section 2.7). */
const SCOPE_SHIFT = 16;
const SCOPE_MASK = 0xf;
/** The last word of a solicited-node address, without the 24 bits of the unicast address (RFC 4291 section 2.7.1). */
const SOLICITED = 0xff00_0000;

const within = (word: number, mask: number, value: number): boolean => ((word ^ value) & mask) === 0;

const unsignedOrder = (a: number, b: number): number => (a === b ? 0 : a >>> 0 < b >>> 0 ? -1 : 1);

/** One address, which never changes. */
export class IpAddress {
  /** Int32 words, big-endian; IPv4 is mapped: 0, 0, `MAPPED`, the address. */
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly family: Family;

  private constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0 | 0;
    this.w1 = w1 | 0;
    this.w2 = w2 | 0;
    this.w3 = w3 | 0;
    this.family = this.w0 === 0 && this.w1 === 0 && this.w2 === MAPPED ? 4 : 6;
  }

  /** The IPv4 address with this word: 0x7f000001 is 127.0.0.1. */
  static v4(word: number): IpAddress {
    return new IpAddress(0, 0, MAPPED, word);
  }

  /** The address with these words; mapped words are an IPv4 address. */
  static words(w0: number, w1: number, w2: number, w3: number): IpAddress {
    return new IpAddress(w0, w1, w2, w3);
  }

  /**
   * Reads a text of RFC 4291 section 2.2, or a dotted one. "::ffff:192.0.2.1" is the IPv4 address.
   *
   * @throws TypeError that quotes the text, where it is no address; a zone ("%eth0") is none.
   */
  static parse(text: string): IpAddress {
    const address = IpAddress.tryParse(text);
    if (address === undefined) throw new TypeError(`${JSON.stringify(text)} is no IP address`);
    return address;
  }

  /** As `parse`, but undefined where the text is no address. */
  static tryParse(text: string): IpAddress | undefined {
    const words = typeof text === "string" ? parseWords(text) : undefined;
    return words === undefined ? undefined : new IpAddress(...words);
  }

  /** @throws TypeError where there are not 4 or 16 bytes. */
  static fromBytes(bytes: Uint8Array): IpAddress {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.length === IPV4_BYTES) return IpAddress.read4(view, 0);
    if (bytes.length === IPV6_BYTES) return IpAddress.read6(view, 0);
    throw new TypeError(`an IP address has ${IPV4_BYTES} or ${IPV6_BYTES} bytes, not ${bytes.length}`);
  }

  /** Reads 4 bytes. */
  static read4(view: DataView, at: number): IpAddress {
    return IpAddress.v4(view.getInt32(at));
  }

  /** Reads 16 bytes; a mapped address becomes the IPv4 address. */
  static read6(view: DataView, at: number): IpAddress {
    return new IpAddress(
      view.getInt32(at + W0),
      view.getInt32(at + W1),
      view.getInt32(at + W2),
      view.getInt32(at + W3),
    );
  }

  /** Writes 4 or 16 bytes and gives their number. */
  write(view: DataView, at: number): number {
    if (this.family === 4) {
      view.setInt32(at, this.w3);
      return IPV4_BYTES;
    }
    view.setInt32(at + W0, this.w0);
    view.setInt32(at + W1, this.w1);
    view.setInt32(at + W2, this.w2);
    view.setInt32(at + W3, this.w3);
    return IPV6_BYTES;
  }

  /** A new array of 4 or 16 bytes. */
  toBytes(): Uint8Array {
    const buffer = new ArrayBuffer(this.family === 4 ? IPV4_BYTES : IPV6_BYTES);
    this.write(new DataView(buffer), 0);
    return new Uint8Array(buffer);
  }

  /** Dotted, or as RFC 5952 wants it. */
  toString(): string {
    return formatWords(this.w0, this.w1, this.w2, this.w3);
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: IpAddress): boolean {
    return this.equalsWords(other.w0, other.w1, other.w2, other.w3);
  }

  equalsWords(w0: number, w1: number, w2: number, w3: number): boolean {
    // The last word differs most often.
    return this.w3 === w3 && this.w2 === w2 && this.w1 === w1 && this.w0 === w0;
  }

  /** Negative, 0 or positive: IPv4 before IPv6, then by value. */
  compare(other: IpAddress): number {
    return (
      this.family - other.family ||
      unsignedOrder(this.w0, other.w0) ||
      unsignedOrder(this.w1, other.w1) ||
      unsignedOrder(this.w2, other.w2) ||
      unsignedOrder(this.w3, other.w3)
    );
  }

  /** 0.0.0.0 or ::. */
  get unspecified(): boolean {
    return this.w3 === 0 && this.w0 === 0 && this.w1 === 0 && (this.w2 === 0 || this.w2 === MAPPED);
  }

  /** 127.0.0.0/8 or ::1. */
  get loopback(): boolean {
    if (this.family === 4) return within(this.w3, 0xff00_0000, 0x7f00_0000);
    return this.equalsWords(0, 0, 0, 1);
  }

  /** 224.0.0.0/4 or ff00::/8. */
  get multicast(): boolean {
    if (this.family === 4) return within(this.w3, 0xf000_0000, 0xe000_0000);
    return within(this.w0, 0xff00_0000, 0xff00_0000);
  }

  /** 169.254.0.0/16 (RFC 3927) or fe80::/10. */
  get linkLocal(): boolean {
    if (this.family === 4) return within(this.w3, 0xffff_0000, 0xa9fe_0000);
    return within(this.w0, 0xffc0_0000, 0xfe80_0000);
  }

  /** fc00::/7 (RFC 4193); never an IPv4 address. */
  get uniqueLocal(): boolean {
    return within(this.w0, 0xfe00_0000, 0xfc00_0000);
  }

  /** 255.255.255.255. */
  get limitedBroadcast(): boolean {
    return this.family === 4 && this.w3 === -1;
  }

  /**
   * One of `SCOPE`, or the scope field of an IPv6 multicast address. IPv4 and loopback as RFC 6724 section 3.2 and 3.4
   * have it: both autoconfigured and loopback addresses are of link scope, private ones are global, as unique local ones.
   */
  get scope(): number {
    if (this.linkLocal || this.loopback) return SCOPE.LINK;
    if (this.family === 4) return SCOPE.GLOBAL;
    if (this.multicast) return (this.w0 >>> SCOPE_SHIFT) & SCOPE_MASK;
    // The deprecated fec0::/10 still has its scope (RFC 6724 section 3.1).
    return within(this.w0, 0xffc0_0000, 0xfec0_0000) ? SCOPE.SITE : SCOPE.GLOBAL;
  }

  /** The group in which a neighbour solicitation for this address is sent (RFC 4291 section 2.7.1). */
  solicitedNode(): IpAddress {
    return new IpAddress(0xff02_0000, 0, 1, SOLICITED | this.w3);
  }
}

export const ANY4 = IpAddress.parse("0.0.0.0");
export const ANY6 = IpAddress.parse("::");
export const LOOPBACK4 = IpAddress.parse("127.0.0.1");
export const LOOPBACK6 = IpAddress.parse("::1");
export const BROADCAST4 = IpAddress.parse("255.255.255.255");
/** RFC 1112 section 4. */
export const ALL_HOSTS4 = IpAddress.parse("224.0.0.1");
/** Where IGMPv3 reports go (RFC 3376 section 4.2.14). */
export const IGMP_ROUTERS4 = IpAddress.parse("224.0.0.22");
/** RFC 4291 section 2.7.1. */
export const ALL_NODES6 = IpAddress.parse("ff02::1");
export const ALL_ROUTERS6 = IpAddress.parse("ff02::2");
/** Where MLDv2 reports go (RFC 3810 section 5.2.14). */
export const MLD_ROUTERS6 = IpAddress.parse("ff02::16");
