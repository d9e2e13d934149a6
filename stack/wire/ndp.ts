/**
 * Neighbour discovery (RFC 4861) as messages of ICMPv6, in place and as records. Checksum and its check are icmpv6.ts's;
 * hop limit 255 and what depends on the IPv6 header are the receiver's to see.
 */
import { IPV6_BYTES, IpAddress } from "./address.ts";
import { pseudoOf } from "./checksum.ts";
import { MAX_UINT16, MAX_UINT32, MAX_UINT8, need, requireInteger } from "./fields.ts";
import { CODE_AT, REST, setChecksum, TYPE, type as typeAt, TYPE_AT } from "./icmpv6-message.ts";
import * as options from "./ndp-options.ts";
import type { NdpOption, Preference } from "./ndp-options.ts";
import { PROTOCOL } from "./protocol.ts";

export * from "./ndp-options.ts";

/** Router solicitation: four reserved bytes, then options. */
export const SOLICITATION_OPTIONS = REST + 4;
/** Router advertisement. */
export const CURRENT_HOP_LIMIT = REST;
export const ROUTER_FLAGS = CURRENT_HOP_LIMIT + 1;
export const ROUTER_LIFETIME = ROUTER_FLAGS + 1;
export const REACHABLE_TIME = ROUTER_LIFETIME + 2;
export const RETRANS_TIMER = REACHABLE_TIME + 4;
export const ADVERTISEMENT_OPTIONS = RETRANS_TIMER + 4;
/** Neighbour solicitation, neighbour advertisement and redirect. */
export const FLAGS = REST;
export const TARGET = FLAGS + 4;
export const NEIGHBOUR_OPTIONS = TARGET + IPV6_BYTES;
/** Redirect. */
export const REDIRECT_DESTINATION = TARGET + IPV6_BYTES;
export const REDIRECT_OPTIONS = REDIRECT_DESTINATION + IPV6_BYTES;

/** Bits of a router advertisement. */
const MANAGED = 0x80;
const OTHER_CONFIGURATION = 0x40;
/** Bits of a neighbour advertisement. */
const ROUTER = 0x80;
const SOLICITED = 0x40;
const OVERRIDE = 0x20;

const FAMILY = 6;
const MULTICAST_BYTE = 0xff;

/** The hop limit with which messages are sent, so that none came from another link (RFC 4861 section 3.1). */
export const HOP_LIMIT = 255;

/** What `check` finds wrong. */
export const BAD = {
  short: -1,
  /** A message of another kind. */
  type: -2,
  /** A code that is not 0. */
  code: -3,
  /** An option of length 0, or beyond the end. */
  option: -4,
  /** A target, or redirected destination, that is multicast. */
  target: -5,
} as const;

/** True for the types of ICMPv6 that are neighbour discovery's. */
export const isType = (type: number): boolean => type >= TYPE.ROUTER_SOLICITATION && type <= TYPE.REDIRECT;

/** Where the options of a message of this type begin; -1 where the type is another's. */
export const optionsOffset = (type: number): number => {
  if (!isType(type)) return -1;
  if (type === TYPE.ROUTER_SOLICITATION) return SOLICITATION_OPTIONS;
  if (type === TYPE.ROUTER_ADVERTISEMENT) return ADVERTISEMENT_OPTIONS;
  return type === TYPE.REDIRECT ? REDIRECT_OPTIONS : NEIGHBOUR_OPTIONS;
};

/**
 * Judges the message of `length` bytes at `at`, whose checksum icmpv6.ts judges: 0, or one of `BAD`. These are the rules
 * of RFC 4861 sections 6.1, 7.1 and 8.1 that the message alone decides.
 */
export const check = (view: DataView, at: number, length: number): number => {
  if (length < SOLICITATION_OPTIONS) return BAD.short;
  const type = typeAt(view, at);
  const offset = optionsOffset(type);
  if (offset < 0) return BAD.type;
  if (length < offset) return BAD.short;
  if (view.getUint8(at + CODE_AT) !== 0) return BAD.code;
  if (offset >= NEIGHBOUR_OPTIONS && !areUnicast(view, at, type)) return BAD.target;
  return options.areWhole(view, at + offset, at + length) ? 0 : BAD.option;
};

/** A redirect's target may be anything unicast: the receiver compares it with the destination. */
const areUnicast = (view: DataView, at: number, type: number): boolean =>
  view.getUint8(at + TARGET) !== MULTICAST_BYTE &&
  (type !== TYPE.REDIRECT || view.getUint8(at + REDIRECT_DESTINATION) !== MULTICAST_BYTE);

/** Word `index` (0-3) of the target as int32. */
export const targetWord = (view: DataView, at: number, index: number): number =>
  view.getInt32(at + TARGET + (index << 2));

interface Message {
  readonly options: readonly NdpOption[];
}

export interface RouterSolicitation extends Message {
  readonly kind: "router-solicitation";
}

export interface RouterAdvertisement extends Message {
  readonly kind: "router-advertisement";
  /** 0: unspecified. */
  readonly hopLimit: number;
  /** Addresses by DHCPv6. */
  readonly managed: boolean;
  /** Other things by DHCPv6. */
  readonly otherConfiguration: boolean;
  /** RFC 4191 section 2.2. */
  readonly preference: Preference;
  /** 0: no default router. */
  readonly lifetimeSeconds: number;
  /** 0: unspecified. */
  readonly reachableMs: number;
  /** 0: unspecified. */
  readonly retransMs: number;
}

export interface NeighbourSolicitation extends Message {
  readonly kind: "neighbour-solicitation";
  readonly target: IpAddress;
}

export interface NeighbourAdvertisement extends Message {
  readonly kind: "neighbour-advertisement";
  readonly router: boolean;
  readonly solicited: boolean;
  readonly override: boolean;
  readonly target: IpAddress;
}

export interface Redirect extends Message {
  readonly kind: "redirect";
  /** The better first hop, or the destination itself where it is on the link. */
  readonly target: IpAddress;
  readonly destination: IpAddress;
}

export type NdpRecord =
  RouterSolicitation | RouterAdvertisement | NeighbourSolicitation | NeighbourAdvertisement | Redirect;

const TYPE_OF = {
  "router-solicitation": TYPE.ROUTER_SOLICITATION,
  "router-advertisement": TYPE.ROUTER_ADVERTISEMENT,
  "neighbour-solicitation": TYPE.NEIGHBOUR_SOLICITATION,
  "neighbour-advertisement": TYPE.NEIGHBOUR_ADVERTISEMENT,
  redirect: TYPE.REDIRECT,
} as const;

/** Bytes that `emit` writes. */
export const lengthOf = (record: NdpRecord): number =>
  optionsOffset(TYPE_OF[record.kind]) + options.lengthOfOptions(record.options);

/** The message of `length` bytes at `at`; undefined where `check` finds fault, or an address is IPv4-mapped. */
export const parse = (view: DataView, at: number, length: number): NdpRecord | undefined => {
  if (check(view, at, length) < 0) return undefined;
  const type = typeAt(view, at);
  const found = options.parseOptions(view, at + optionsOffset(type), at + length);
  if (type === TYPE.ROUTER_SOLICITATION) return { kind: "router-solicitation", options: found };
  if (type === TYPE.ROUTER_ADVERTISEMENT) return parseAdvertisement(view, at, found);
  const target = IpAddress.read6(view, at + TARGET);
  if (target.family !== FAMILY) return undefined;
  if (type === TYPE.NEIGHBOUR_SOLICITATION) return { kind: "neighbour-solicitation", target, options: found };
  if (type === TYPE.REDIRECT) {
    const destination = IpAddress.read6(view, at + REDIRECT_DESTINATION);
    return destination.family === FAMILY
      ? { kind: "redirect", target, destination, options: found }
      : undefined;
  }
  const flags = view.getUint8(at + FLAGS);
  return {
    kind: "neighbour-advertisement",
    router: (flags & ROUTER) !== 0,
    solicited: (flags & SOLICITED) !== 0,
    override: (flags & OVERRIDE) !== 0,
    target,
    options: found,
  };
};

const parseAdvertisement = (view: DataView, at: number, found: NdpOption[]): RouterAdvertisement => {
  const flags = view.getUint8(at + ROUTER_FLAGS);
  return {
    kind: "router-advertisement",
    hopLimit: view.getUint8(at + CURRENT_HOP_LIMIT),
    managed: (flags & MANAGED) !== 0,
    otherConfiguration: (flags & OTHER_CONFIGURATION) !== 0,
    // A reserved preference is medium (RFC 4191 section 2.2).
    preference: options.preferenceOf(flags) ?? "medium",
    lifetimeSeconds: view.getUint16(at + ROUTER_LIFETIME),
    reachableMs: view.getUint32(at + REACHABLE_TIME),
    retransMs: view.getUint32(at + RETRANS_TIMER),
    options: found,
  };
};

/**
 * Writes the message and its checksum, which is over the addresses too, at `at`; gives its bytes. RangeError where the
 * record is out of range.
 */
export const emit = (
  record: NdpRecord,
  view: DataView,
  at: number,
  source: IpAddress,
  destination: IpAddress,
): number => {
  const type = TYPE_OF[record.kind];
  view.setUint8(at + TYPE_AT, type);
  view.setUint8(at + CODE_AT, 0);
  view.setUint32(at + REST, 0);
  if (record.kind === "router-advertisement") emitAdvertisement(record, view, at);
  else if (record.kind !== "router-solicitation") emitTarget(record, view, at);
  const offset = optionsOffset(type);
  const length = offset + options.emitOptions(record.options, view, at + offset);
  setChecksum(view, at, length, pseudoOf(source, destination, PROTOCOL.ICMPV6, length));
  return length;
};

const emitAdvertisement = (record: RouterAdvertisement, view: DataView, at: number): void => {
  requireInteger("hopLimit", record.hopLimit, MAX_UINT8);
  requireInteger("lifetimeSeconds", record.lifetimeSeconds, MAX_UINT16);
  requireInteger("reachableMs", record.reachableMs, MAX_UINT32);
  requireInteger("retransMs", record.retransMs, MAX_UINT32);
  const managed = record.managed ? MANAGED : 0;
  const other = record.otherConfiguration ? OTHER_CONFIGURATION : 0;
  view.setUint8(at + CURRENT_HOP_LIMIT, record.hopLimit);
  view.setUint8(at + ROUTER_FLAGS, managed | other | options.preferenceFlags(record.preference));
  view.setUint16(at + ROUTER_LIFETIME, record.lifetimeSeconds);
  view.setUint32(at + REACHABLE_TIME, record.reachableMs);
  view.setUint32(at + RETRANS_TIMER, record.retransMs);
};

const emitTarget = (
  record: NeighbourSolicitation | NeighbourAdvertisement | Redirect,
  view: DataView,
  at: number,
): void => {
  writeUnicast("target", record.target, view, at + TARGET);
  if (record.kind === "redirect")
    writeUnicast("destination", record.destination, view, at + REDIRECT_DESTINATION);
  if (record.kind !== "neighbour-advertisement") return;
  const router = record.router ? ROUTER : 0;
  const solicited = record.solicited ? SOLICITED : 0;
  view.setUint8(at + FLAGS, router | solicited | (record.override ? OVERRIDE : 0));
};

const writeUnicast = (name: string, address: IpAddress, view: DataView, at: number): void => {
  need(address.family === FAMILY && !address.multicast, name, "be an IPv6 address that is not multicast");
  address.write(view, at);
};
