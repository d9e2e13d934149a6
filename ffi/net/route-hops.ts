/**
 * The hops of a route in its message: one in the route's own attributes, or several in RTA_MULTIPATH, both ways.
 *
 * Source: include/uapi/linux/rtnetlink.h (struct rtnexthop, struct rtvia).
 */
import { concatenate, encodeAttribute, encodeAttributeU32, type Attributes } from "./message.ts";
import {
  addressBytes,
  isFamily,
  optional,
  readAttributes,
  requireFamily,
  type SystemFamily,
} from "./rtnetlink.ts";

export const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
  ENCAP_TYPE: 21,
} as const;

/** RTNH_F_*: the kernel does not use a hop that is dead. */
export const HOP_FLAG = { DEAD: 1 } as const;

/** struct rtnexthop; attributes follow. */
const LENGTH = 0;
const FLAGS = LENGTH + 2;
const WEIGHT = FLAGS + 1;
const INDEX = WEIGHT + 1;
const HOP_BYTES = INDEX + 4;
const ALIGNMENT = 4;

/** struct rtvia; the address follows. */
const VIA_FAMILY = 0;
const VIA_ADDRESS = VIA_FAMILY + 2;

/** One hop as the kernel holds it. */
export interface HopRecord {
  /** 4 or 16 bytes; of the other family than the route's where that is how the router is reached. */
  readonly gateway: Uint8Array | undefined;
  /** ifindex; 0 where the route names none. */
  readonly interface: number;
  /** 1 to 256. */
  readonly weight: number;
  /** Its interface is down: the kernel passes it over. */
  readonly dead: boolean;
  /** Packets would have to be wrapped in something. */
  readonly encapsulated: boolean;
}

/** The router's address; "malformed" where its length is none. */
const parseGateway = (attributes: Attributes, family: SystemFamily): Uint8Array | undefined | "malformed" => {
  const plain = attributes.bytes(RTA.GATEWAY);
  if (plain !== undefined) return plain.length === addressBytes(family) ? plain : "malformed";
  const via = attributes.bytes(RTA.VIA);
  if (via === undefined) return undefined;
  if (via.length < VIA_ADDRESS) return "malformed";
  const of = new DataView(via.buffer, via.byteOffset).getUint16(VIA_FAMILY, true);
  const address = via.slice(VIA_ADDRESS);
  return isFamily(of) && address.length === addressBytes(of) ? address : "malformed";
};

const hop = (
  attributes: Attributes,
  family: SystemFamily,
  index: number,
  weight: number,
  flags: number,
): HopRecord | undefined => {
  const gateway = parseGateway(attributes, family);
  if (gateway === "malformed") return undefined;
  return {
    gateway,
    interface: index,
    weight,
    dead: (flags & HOP_FLAG.DEAD) !== 0,
    encapsulated: attributes.has(RTA.ENCAP_TYPE),
  };
};

/** The hop in a route's own attributes: none where the route names neither interface nor router; undefined if malformed. */
export const parseOneHop = (
  attributes: Attributes,
  flags: number,
  family: SystemFamily,
): HopRecord[] | undefined => {
  const index = attributes.u32(RTA.OIF);
  const only = hop(attributes, family, index ?? 0, 1, flags);
  if (only === undefined) return undefined;
  return index === undefined && only.gateway === undefined && !only.encapsulated ? [] : [only];
};

/** The hops in the payload of RTA_MULTIPATH; undefined where lengths do not add up. */
export const parseHops = (bytes: Uint8Array, family: SystemFamily): HopRecord[] | undefined => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hops: HopRecord[] = [];
  for (let at = 0; at < view.byteLength;) {
    if (view.byteLength - at < HOP_BYTES) return undefined;
    const length = view.getUint16(at + LENGTH, true);
    if (length < HOP_BYTES || length > view.byteLength - at) return undefined;
    const own = new DataView(view.buffer, view.byteOffset + at, length);
    const attributes = readAttributes(own, HOP_BYTES);
    const one =
      attributes &&
      hop(attributes, family, own.getInt32(INDEX, true), own.getUint8(WEIGHT) + 1, own.getUint8(FLAGS));
    if (one === undefined) return undefined;
    hops.push(one);
    at += (length + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  }
  return hops;
};

const encodeGateway = (gateway: Uint8Array | undefined, family: SystemFamily): Uint8Array[] => {
  if (gateway === undefined || requireFamily(gateway) === family) return optional(RTA.GATEWAY, gateway);
  const via = new DataView(new ArrayBuffer(VIA_ADDRESS));
  via.setUint16(VIA_FAMILY, requireFamily(gateway), true);
  return [encodeAttribute(RTA.VIA, concatenate([new Uint8Array(via.buffer), gateway]))];
};

const encodeOneOfMany = (record: HopRecord, family: SystemFamily): Uint8Array => {
  const attributes = concatenate(encodeGateway(record.gateway, family));
  const view = new DataView(new ArrayBuffer(HOP_BYTES));
  view.setUint16(LENGTH, HOP_BYTES + attributes.length, true);
  view.setUint8(FLAGS, record.dead ? HOP_FLAG.DEAD : 0);
  view.setUint8(WEIGHT, record.weight - 1);
  view.setInt32(INDEX, record.interface, true);
  return concatenate([new Uint8Array(view.buffer), attributes]);
};

/** The attributes that tell of these hops. One hop with a weight of its own is told as several are. */
export const encodeHops = (hops: readonly HopRecord[], family: SystemFamily): Uint8Array[] => {
  const [first] = hops;
  if (first === undefined) return [];
  if (hops.length === 1 && first.weight === 1) {
    return [encodeAttributeU32(RTA.OIF, first.interface), ...encodeGateway(first.gateway, family)];
  }
  return [encodeAttribute(RTA.MULTIPATH, concatenate(hops.map((each) => encodeOneOfMany(each, family))))];
};
