/**
 * Ethernet addresses: two words, their text, and those that follow from an IP address or lead to one.
 */
import type { IpAddress } from "./address.ts";

export const MAC_BYTES = 6;

const HIGH = 0;
const LOW = HIGH + 4;
const LOW_MASK = 0xffff;
const HEX = 16;
const TEXT = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;
/** Hexadecimal digits of `high`; the rest are those of `low`. */
const HIGH_DIGITS = 8;
const LOW_DIGITS = 4;

/** The first bit on the wire says that a group is meant (IEEE 802). */
const GROUP_BIT = 0x0100_0000;
/** The second one says that the address was assigned locally. */
const LOCAL_BIT = 0x0200_0000;

/** One address, which never changes. */
export class MacAddress {
  /** The first four bytes as an int32. */
  readonly high: number;
  /** The last two, 0 to 65535. */
  readonly low: number;

  private constructor(high: number, low: number) {
    this.high = high | 0;
    this.low = low & LOW_MASK;
  }

  static words(high: number, low: number): MacAddress {
    return new MacAddress(high, low);
  }

  /** @throws TypeError that quotes the text, where it is not six pairs of digits with colons between. */
  static parse(text: string): MacAddress {
    const mac = MacAddress.tryParse(text);
    if (mac === undefined) throw new TypeError(`${JSON.stringify(text)} is no Ethernet address`);
    return mac;
  }

  /** As `parse`, but undefined where the text is no address. */
  static tryParse(text: string): MacAddress | undefined {
    if (typeof text !== "string" || !TEXT.test(text)) return undefined;
    const digits = text.replaceAll(":", "");
    return new MacAddress(
      Number.parseInt(digits.slice(0, HIGH_DIGITS), HEX),
      Number.parseInt(digits.slice(HIGH_DIGITS), HEX),
    );
  }

  /** @throws TypeError where there are not 6 bytes. */
  static fromBytes(bytes: Uint8Array): MacAddress {
    if (bytes.length !== MAC_BYTES)
      throw new TypeError(`an Ethernet address has ${MAC_BYTES} bytes, not ${bytes.length}`);
    return MacAddress.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
  }

  static read(view: DataView, at: number): MacAddress {
    return new MacAddress(view.getInt32(at + HIGH), view.getUint16(at + LOW));
  }

  /** Writes 6 bytes. */
  write(view: DataView, at: number): void {
    view.setInt32(at + HIGH, this.high);
    view.setUint16(at + LOW, this.low);
  }

  /** A new array of 6 bytes. */
  toBytes(): Uint8Array {
    const buffer = new ArrayBuffer(MAC_BYTES);
    this.write(new DataView(buffer), 0);
    return new Uint8Array(buffer);
  }

  /** Lower case, with colons. */
  toString(): string {
    const high = (this.high >>> 0).toString(HEX).padStart(HIGH_DIGITS, "0");
    const low = this.low.toString(HEX).padStart(LOW_DIGITS, "0");
    return (high + low).replace(/..(?=.)/g, "$&:");
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: MacAddress): boolean {
    return this.high === other.high && this.low === other.low;
  }

  /** A group address; broadcast is one. */
  get multicast(): boolean {
    return (this.high & GROUP_BIT) !== 0;
  }

  get broadcast(): boolean {
    return this.high === -1 && this.low === LOW_MASK;
  }
}

export const BROADCAST_MAC = MacAddress.words(-1, LOW_MASK);

/** 01:00:5e and 23 bits of the group (RFC 1112 section 6.4). */
const IPV4_GROUP_HIGH = 0x0100_5e00;
const IPV4_GROUP_HIGH_MASK = 0x7f;
const HALF_BITS = 16;
/** 33:33 and 32 bits of the group (RFC 2464 section 7). */
const IPV6_GROUP_HIGH = 0x3333_0000;

/** The Ethernet group that carries an IP group. */
export const multicastMac = (group: IpAddress): MacAddress => {
  const upper = group.w3 >>> HALF_BITS;
  return group.family === 4
    ? MacAddress.words(IPV4_GROUP_HIGH | (upper & IPV4_GROUP_HIGH_MASK), group.w3)
    : MacAddress.words(IPV6_GROUP_HIGH | upper, group.w3);
};

const BYTE_BITS = 8;
const EUI_FILL_FIRST = 0xff;
const EUI_FILL_SECOND = 0xfe;
const LAST_OF_HIGH = 0xff;

/** The modified EUI-64 interface identifier of RFC 4291 appendix A, as two int32 words. */
export const interfaceIdentifier = (mac: MacAddress): readonly [w2: number, w3: number] => {
  const vendor = (mac.high ^ LOCAL_BIT) & ~LAST_OF_HIGH;
  const device = ((mac.high & LAST_OF_HIGH) << HALF_BITS) | mac.low;
  return [vendor | EUI_FILL_FIRST, (EUI_FILL_SECOND << (HALF_BITS + BYTE_BITS)) | device];
};
