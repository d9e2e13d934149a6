/**
 * Interface identifiers: the lower half of autoconfigured IPv6 addresses, from the Ethernet address (RFC 4291 appendix A)
 * or stable and opaque for each network (RFC 7217).
 */
import { interfaceIdentifier, type MacAddress } from "../../wire/mac.ts";
import type { IpAddress } from "../../wire/address.ts";
import { KEY_BYTES, siphash } from "./siphash.ts";

/** Two int32 words. */
export type Identifier = readonly [w2: number, w3: number];

/**
 * The identifier for a prefix; `attempt` counts the addresses of this prefix that turned out to be duplicates. Undefined
 * where there's no further one to try.
 */
export type IdentifierSource = (prefix: IpAddress, attempt: number) => Identifier | undefined;

/** Length in bits of an identifier on Ethernet, hence of a prefix that an address can be formed with (RFC 2464 4). */
export const IDENTIFIER_BITS = 64;

/** IDGEN_RETRIES of RFC 7217 section 7. */
export const IDENTIFIER_RETRIES = 3;

/** What goes into a stable identifier beside the prefix. */
export interface StableIdentifierInput {
  /** 16 bytes that stay the same and secret: with them and nothing else, addresses come back after a restart. */
  readonly secret: Uint8Array;
  /** Something of the interface that stays, as its name. */
  readonly interface: string;
  /** Something of the network, as the SSID; none on a cable. Default: empty. */
  readonly network?: string;
}

/** From the Ethernet address: RFC 4862 section 5.5.3 with RFC 2464. A duplicate means two cards of one address: no retry. */
export const fromMac =
  (mac: MacAddress): IdentifierSource =>
  (_prefix, attempt) =>
    attempt === 0 ? interfaceIdentifier(mac) : undefined;

/**
 * RFC 7217 section 5, with SipHash for the function F: its key is the secret.
 *
 * @throws RangeError where the secret has not 16 bytes.
 */
export const stable = (input: StableIdentifierInput): IdentifierSource => {
  const secret = input.secret.slice();
  if (secret.length !== KEY_BYTES)
    throw new RangeError(`a secret has ${KEY_BYTES} bytes, not ${secret.length}`);
  return (prefix, attempt) => {
    for (let counter = attempt; counter <= IDENTIFIER_RETRIES; counter++) {
      const identifier = siphash(secret, identity(prefix, input, counter));
      if (!isReserved(identifier)) return identifier;
    }
    return undefined;
  };
};

/** Texts are set apart by a zero, so that no two different inputs give the same bytes. */
const identity = (prefix: IpAddress, input: StableIdentifierInput, counter: number): Uint8Array => {
  const text = new TextEncoder().encode(`${input.interface}\0${input.network ?? ""}\0${counter}\0`);
  const upper = prefix.toBytes();
  const bytes = new Uint8Array(upper.length + text.length);
  bytes.set(upper);
  bytes.set(text, upper.length);
  return bytes;
};

/** fdff:ffff:ffff:ff80 to ff:ffff are subnet anycast (RFC 2526). */
const ANYCAST_HIGH = 0xfdffffff | 0;
const ANYCAST_LOW = 0xffffff80;
/** 0200:5eff:fe00:0000 to fe00:5212 come from IANA's Ethernet block; the whole of the block is left out. */
const IANA_HIGH = 0x02005eff;
const IANA_LOW = 0xfe000000;
const IANA_LOW_MASK = 0xff000000;

/** Identifiers that no host may take: IANA's registry of RFC 5453. */
const isReserved = ([high, low]: Identifier): boolean =>
  (high === 0 && low === 0) ||
  (high === ANYCAST_HIGH && low >>> 0 >= ANYCAST_LOW) ||
  (high === IANA_HIGH && (low & IANA_LOW_MASK) >>> 0 === IANA_LOW);
