/**
 * A route as RTM_NEWROUTE and RTM_DELROUTE tell of it, both ways.
 *
 * A route made of nexthop objects (RTA_NH_ID) comes with its hops written out as well, unless the sysctl
 * net.ipv4.nexthop_compat_mode is off. Source: include/uapi/linux/rtnetlink.h.
 */
import { encodeAttribute, encodeAttributeU32, type Attributes, type Message } from "./message.ts";
import { encodeHops, HOP_FLAG, parseHops, parseOneHop, RTA, type HopRecord } from "./route-hops.ts";
import {
  addressBits,
  addressBytes,
  encodeBody,
  isFamily,
  optional,
  readAttributes,
  readNested,
  requireFamily,
  type SystemFamily,
  type Unread,
} from "./rtnetlink.ts";
import type { SystemRouteType } from "./system-change.ts";

export const RTM_ROUTE = { NEW: 24, DEL: 25, GET: 26 } as const;

/** struct rtmsg. */
const FAMILY = 0;
const DESTINATION_LENGTH = FAMILY + 1;
const SOURCE_LENGTH = DESTINATION_LENGTH + 1;
const TOS = SOURCE_LENGTH + 1;
const TABLE = TOS + 1;
const PROTOCOL = TABLE + 1;
const SCOPE = PROTOCOL + 1;
const TYPE = SCOPE + 1;
const FLAGS = TYPE + 1;
const HEADER_BYTES = FLAGS + 4;

/** An entry of the route cache, not of a table. */
const RTM_F_CLONED = 0x200;
const RTAX_MTU = 2;

/** The tables that the three rules of a fresh kernel ask, the first one first. */
export const RT_TABLE = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;

const RTN = {
  UNICAST: 1,
  LOCAL: 2,
  BROADCAST: 3,
  ANYCAST: 4,
  MULTICAST: 5,
  BLACKHOLE: 6,
  UNREACHABLE: 7,
  PROHIBIT: 8,
  THROW: 9,
} as const;

const TYPES = new Map<number, SystemRouteType>([
  [RTN.UNICAST, "unicast"],
  [RTN.LOCAL, "local"],
  [RTN.BROADCAST, "broadcast"],
  // Whoever has the address answers, and here that is this machine.
  [RTN.ANYCAST, "local"],
  [RTN.MULTICAST, "multicast"],
  [RTN.BLACKHOLE, "blackhole"],
  [RTN.UNREACHABLE, "unreachable"],
  [RTN.PROHIBIT, "prohibit"],
  // It ends the search in its table, and after the main one comes as good as nothing.
  [RTN.THROW, "unreachable"],
]);
const NUMBERS: Readonly<Record<SystemRouteType, number>> = {
  unicast: RTN.UNICAST,
  local: RTN.LOCAL,
  broadcast: RTN.BROADCAST,
  multicast: RTN.MULTICAST,
  blackhole: RTN.BLACKHOLE,
  unreachable: RTN.UNREACHABLE,
  prohibit: RTN.PROHIBIT,
};
const NOWHERE: ReadonlySet<SystemRouteType> = new Set(["blackhole", "unreachable", "prohibit"]);

/** A route as the kernel holds it. */
export interface RouteRecord {
  /** One of RT_TABLE. */
  readonly table: number;
  /** 4 or 16 bytes. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  readonly type: SystemRouteType;
  /** 0 where the route names none. */
  readonly metric: number;
  readonly source: Uint8Array | undefined;
  readonly mtu: number | undefined;
  /** Empty for the types that lead nowhere. */
  readonly hops: readonly HopRecord[];
}

/**
 * What an RTM_NEWROUTE or RTM_DELROUTE tells. Never throws. Foreign are routes of other tables, those that ask for more than the
 * destination (a type of service, a source prefix), and cached ones.
 */
export const parseRoute = (message: Message): RouteRecord | Unread => {
  const { body, type: messageType } = message;
  if (messageType !== RTM_ROUTE.NEW && messageType !== RTM_ROUTE.DEL) return "foreign";
  if (body.byteLength < HEADER_BYTES) return "malformed";
  const family = body.getUint8(FAMILY);
  if (!isFamily(family) || isNarrow(body)) return "foreign";
  const type = TYPES.get(body.getUint8(TYPE));
  if (type === undefined) return "foreign";
  const attributes = readAttributes(body, HEADER_BYTES);
  if (attributes === undefined) return "malformed";
  const table = attributes.u32(RTA.TABLE) ?? body.getUint8(TABLE);
  if (table < RT_TABLE.DEFAULT || table > RT_TABLE.LOCAL) return "foreign";
  return parseTableEntry(body, family, type, table, attributes);
};

const isNarrow = (body: DataView): boolean =>
  body.getUint8(SOURCE_LENGTH) !== 0 ||
  body.getUint8(TOS) !== 0 ||
  (body.getUint32(FLAGS, true) & RTM_F_CLONED) !== 0;

const parseTableEntry = (
  body: DataView,
  family: SystemFamily,
  type: SystemRouteType,
  table: number,
  attributes: Attributes,
): RouteRecord | Unread => {
  const right = addressBytes(family);
  const prefixLength = body.getUint8(DESTINATION_LENGTH);
  const destination = attributes.bytes(RTA.DST) ?? new Uint8Array(right);
  const source = attributes.bytes(RTA.PREFSRC);
  if (prefixLength > addressBits(family) || destination.length !== right) return "malformed";
  if (source !== undefined && source.length !== right) return "malformed";
  const metrics = readNested(attributes, RTA.METRICS);
  const several = attributes.bytes(RTA.MULTIPATH);
  const hops =
    several === undefined
      ? parseOneHop(attributes, body.getUint32(FLAGS, true), family)
      : parseHops(several, family);
  if (metrics === undefined || hops === undefined) return "malformed";
  // What such a hop asks for (MPLS labels, segment routing, tunnels) cannot be done here, and without it the packet goes astray.
  const encapsulated = hops.some((hop) => hop.encapsulated);
  const told: SystemRouteType = encapsulated ? "unreachable" : type;
  return {
    table,
    destination,
    prefixLength,
    type: told,
    metric: attributes.u32(RTA.PRIORITY) ?? 0,
    source,
    // The kernel says 0 where nothing is set.
    mtu: metrics.u32(RTAX_MTU) || undefined,
    hops: NOWHERE.has(told) ? [] : hops,
  };
};

/** The body of a message that tells of this route. Throws TypeError for addresses of other lengths. */
export const encodeRoute = (record: RouteRecord): Uint8Array => {
  const family = requireFamily(record.destination);
  const [first, ...more] = record.hops;
  return encodeBody(
    HEADER_BYTES,
    (view) => {
      view.setUint8(FAMILY, family);
      view.setUint8(DESTINATION_LENGTH, record.prefixLength);
      view.setUint8(TABLE, record.table);
      view.setUint8(TYPE, NUMBERS[record.type]);
      view.setUint32(FLAGS, more.length === 0 && first?.dead === true ? HOP_FLAG.DEAD : 0, true);
    },
    [
      encodeAttributeU32(RTA.TABLE, record.table),
      ...optional(RTA.DST, record.prefixLength === 0 ? undefined : record.destination),
      encodeAttributeU32(RTA.PRIORITY, record.metric),
      ...optional(RTA.PREFSRC, record.source),
      ...(record.mtu === undefined
        ? []
        : [encodeAttribute(RTA.METRICS, encodeAttributeU32(RTAX_MTU, record.mtu))]),
      ...encodeHops(record.hops, family),
    ],
  );
};

/** The body of an RTM_GETROUTE for all routes of a family, in all tables. */
export const encodeRouteQuery = (family: SystemFamily): Uint8Array =>
  encodeBody(HEADER_BYTES, (view) => view.setUint8(FAMILY, family));
