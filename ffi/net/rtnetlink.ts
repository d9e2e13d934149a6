/**
 * What messages about addresses, routes and neighbours have in common: families, groups, flags, and reading that never throws.
 *
 * Source: include/uapi/linux/rtnetlink.h, netlink.h; include/linux/socket.h.
 */
import { SystemError } from "../sys/errno.ts";
import { Attributes, concatenate, encodeAttribute } from "./message.ts";

/** include/linux/socket.h: the two families that a mirror speaks of. */
export const AF_INET = 2;
export const AF_INET6 = 10;
export type SystemFamily = typeof AF_INET | typeof AF_INET6;

/** RTNLGRP_*: multicast groups of NETLINK_ROUTE. */
export const RTNLGRP = {
  NEIGH: 3,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
  NEXTHOP: 32,
} as const;

/** Modifiers of a message that makes something: they say what it did to what was there. */
export const NLM_F_NEW = { REPLACE: 0x100, EXCL: 0x200, CREATE: 0x400, APPEND: 0x800 } as const;

const IPV4_BYTES = 4;
const IPV6_BYTES = 16;
export const MAC_BYTES = 6;

/** Why a message tells nothing: it is not about what is mirrored, or its lengths do not add up. */
export type Unread = "foreign" | "malformed";

export const isFamily = (family: number): family is SystemFamily => family === AF_INET || family === AF_INET6;

/** Bytes of an address. */
export const addressBytes = (family: SystemFamily): number => (family === AF_INET ? IPV4_BYTES : IPV6_BYTES);

/** Bits of an address: the longest prefix. */
export const addressBits = (family: SystemFamily): number => addressBytes(family) * 8;

/** The family of an address of 4 or 16 bytes; undefined for any other length. */
export const familyOf = (address: Uint8Array): SystemFamily | undefined =>
  address.length === IPV4_BYTES ? AF_INET : address.length === IPV6_BYTES ? AF_INET6 : undefined;

/** The family of an address that a caller gives. Throws TypeError for what is none. */
export const requireFamily = (address: Uint8Array): SystemFamily => {
  const family = address instanceof Uint8Array ? familyOf(address) : undefined;
  if (family === undefined) throw new TypeError("an address is a Uint8Array of 4 or 16 bytes");
  return family;
};

/** The attributes from offset `from` on; undefined where lengths do not add up. */
export const readAttributes = (view: DataView, from: number): Attributes | undefined => {
  try {
    return new Attributes(view, from);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
};

/** A nested attribute, which may be missing; undefined where lengths do not add up. */
export const readNested = (attributes: Attributes, type: number): Attributes | undefined => {
  const bytes = attributes.bytes(type) ?? new Uint8Array(0);
  return readAttributes(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
};

/** One attribute where there is a value for it, none where not; for lists of parts. */
export const optional = (type: number, payload: Uint8Array | undefined): Uint8Array[] =>
  payload === undefined ? [] : [encodeAttribute(type, payload)];

/** A message's body: the family's header, zeroed and then filled by `fill`, and attributes. */
export const encodeBody = (
  headerBytes: number,
  fill: (view: DataView) => void,
  attributes: readonly Uint8Array[] = [],
): Uint8Array => {
  const view = new DataView(new ArrayBuffer(headerBytes));
  fill(view);
  return concatenate([new Uint8Array(view.buffer), ...attributes]);
};

export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, i) => byte === other[i]);
