/**
 * The options of neighbour discovery (RFC 4861 section 4.6 and later RFCs): where their fields are, what their records
 * hold, and the walk over them in place.
 */
import { IPV6_BYTES, type IpAddress } from "./address.ts";
import { MAX_UINT8 } from "./fields.ts";
import { MAC_BYTES, type MacAddress } from "./mac.ts";

export const OPTION_TYPE = 0;
/** The whole option, counted in units of 8 bytes; never 0. */
export const OPTION_UNITS = OPTION_TYPE + 1;
export const OPTION_DATA = OPTION_UNITS + 1;
export const UNIT_BYTES = 8;

/** Option types (RFC 4861; nonce RFC 3971; route information RFC 4191; RDNSS and DNSSL RFC 8106). */
export const OPTION = {
  SOURCE_LINK_LAYER: 1,
  TARGET_LINK_LAYER: 2,
  PREFIX_INFORMATION: 3,
  REDIRECTED_HEADER: 4,
  MTU: 5,
  NONCE: 14,
  ROUTE_INFORMATION: 24,
  RDNSS: 25,
  DNSSL: 31,
} as const;

export const OWN_TYPES: ReadonlySet<number> = new Set(Object.values(OPTION));

/** Prefix information. */
export const PREFIX_LENGTH = OPTION_DATA;
export const PREFIX_FLAGS = PREFIX_LENGTH + 1;
export const VALID = PREFIX_FLAGS + 1;
export const PREFERRED = VALID + 4;
export const PREFIX_RESERVED = PREFERRED + 4;
export const PREFIX = PREFIX_RESERVED + 4;
export const PREFIX_BYTES = PREFIX + IPV6_BYTES;
export const ON_LINK = 0x80;
export const AUTONOMOUS = 0x40;
/** Redirected header. */
export const REDIRECTED_RESERVED = OPTION_DATA;
export const REDIRECTED = REDIRECTED_RESERVED + 6;
/** MTU. */
export const MTU_RESERVED = OPTION_DATA;
export const MTU = MTU_RESERVED + 2;
export const MTU_BYTES = MTU + 4;
/** Route information: as many bytes of the prefix as its length needs, in units of 8. */
export const ROUTE_LENGTH = OPTION_DATA;
export const ROUTE_FLAGS = ROUTE_LENGTH + 1;
export const ROUTE_LIFETIME = ROUTE_FLAGS + 1;
export const ROUTE_PREFIX = ROUTE_LIFETIME + 4;
/** RDNSS and DNSSL. */
export const DNS_RESERVED = OPTION_DATA;
export const DNS_LIFETIME = DNS_RESERVED + 2;
export const DNS_DATA = DNS_LIFETIME + 4;

export const LINK_LAYER_BYTES = OPTION_DATA + MAC_BYTES;
/** At least 6 bytes, and as many more as make a whole option (RFC 3971 section 5.3.2). */
export const MIN_NONCE_BYTES = UNIT_BYTES - OPTION_DATA;
export const MAX_PREFIX_LENGTH = 128;
export const HALF_PREFIX_LENGTH = 64;
export const MAX_OPTION_BYTES = MAX_UINT8 * UNIT_BYTES;

/** A lifetime without end, in s (RFC 4861 section 4.6.2). */
export const INFINITE_SECONDS = 0xffff_ffff;

/** How much a router wants to be used (RFC 4191 section 2.1): two bits of a flags byte. */
export type Preference = "high" | "medium" | "low";

const PREFERENCE_SHIFT = 3;
const PREFERENCE_MASK = 3;
const PREFERENCE_BITS = { medium: 0, high: 1, low: 3 } as const;

/** The preference in a flags byte; undefined where it has the reserved value. */
export const preferenceOf = (flags: number): Preference | undefined => {
  const bits = (flags >>> PREFERENCE_SHIFT) & PREFERENCE_MASK;
  if (bits === PREFERENCE_BITS.medium) return "medium";
  if (bits === PREFERENCE_BITS.high) return "high";
  return bits === PREFERENCE_BITS.low ? "low" : undefined;
};

/** The preference as its bits in a flags byte. */
export const preferenceFlags = (preference: Preference): number =>
  PREFERENCE_BITS[preference] << PREFERENCE_SHIFT;

export interface LinkLayerAddress {
  readonly kind: "source-link-layer" | "target-link-layer";
  readonly mac: MacAddress;
}

export interface PrefixInformation {
  readonly kind: "prefix-information";
  /** Bits beyond `prefixLength` are whatever the router left there, and to be ignored. */
  readonly prefix: IpAddress;
  /** 0-128. */
  readonly prefixLength: number;
  readonly onLink: boolean;
  readonly autonomous: boolean;
  readonly validSeconds: number;
  readonly preferredSeconds: number;
}

export interface RedirectedHeader {
  readonly kind: "redirected-header";
  /** The packet that was redirected, as far as it fits; whole units, so that zeros may follow it. */
  readonly packet: Uint8Array;
}

export interface Mtu {
  readonly kind: "mtu";
  readonly mtu: number;
}

export interface Nonce {
  readonly kind: "nonce";
  /** 6 bytes, or 8 or multiples of 8 more. */
  readonly nonce: Uint8Array;
}

export interface RouteInformation {
  readonly kind: "route-information";
  /** Zero in the bits beyond those that came; those beyond `prefixLength` are to be ignored. */
  readonly prefix: IpAddress;
  readonly prefixLength: number;
  readonly preference: Preference;
  readonly lifetimeSeconds: number;
}

export interface DnsServers {
  readonly kind: "rdnss";
  readonly lifetimeSeconds: number;
  /** One or more. */
  readonly servers: readonly IpAddress[];
}

export interface DnsSearchList {
  readonly kind: "dnssl";
  readonly lifetimeSeconds: number;
  /** One or more names, without the last dot. */
  readonly domains: readonly string[];
}

/** Any other type, as it came. */
export interface OtherOption {
  readonly kind: "other";
  readonly type: number;
  /** What is behind the length: 6 bytes, or multiples of 8 more. */
  readonly data: Uint8Array;
}

export type NdpOption =
  | LinkLayerAddress
  | PrefixInformation
  | RedirectedHeader
  | Mtu
  | Nonce
  | RouteInformation
  | DnsServers
  | DnsSearchList
  | OtherOption;

/** Bytes of the option at `at`; 0 where it is none: of length 0, or beyond `end`. */
export const optionBytes = (view: DataView, at: number, end: number): number => {
  if (at + UNIT_BYTES > end) return 0;
  const bytes = view.getUint8(at + OPTION_UNITS) * UNIT_BYTES;
  return at + bytes > end ? 0 : bytes;
};

/** True where whole options fill all bytes from `at` to `end`. */
export const areWhole = (view: DataView, at: number, end: number): boolean => {
  while (at < end) {
    const bytes = optionBytes(view, at, end);
    if (bytes === 0) return false;
    at += bytes;
  }
  return true;
};

/** Where the first option of this type is among the whole ones from `at` to `end`; -1 where none is. */
export const findOption = (view: DataView, at: number, end: number, type: number): number => {
  while (at < end) {
    if (view.getUint8(at + OPTION_TYPE) === type) return at;
    at += optionBytes(view, at, end);
  }
  return -1;
};

/** Bytes of prefix that a route of this length needs at least (RFC 4191 section 2.3). */
export const routePrefixBytes = (prefixLength: number): number => {
  if (prefixLength === 0) return 0;
  return prefixLength <= HALF_PREFIX_LENGTH ? UNIT_BYTES : IPV6_BYTES;
};
