/**
 * A link as an rtnetlink message tells of it: name, address, MTU, state, kind, queues, and the XDP programs on it.
 *
 * Source: include/uapi/linux/if_link.h, rtnetlink.h, if.h; Documentation/networking/operstates.rst.
 */
import { Attributes, concatenate, encodeAttributeText, encodeAttributeU32, type Message } from "./message.ts";

export const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18 } as const;
export const RTNLGRP_LINK = 1;

/** struct ifinfomsg. */
const FAMILY = 0;
const HARDWARE_TYPE = FAMILY + 2;
const INDEX = HARDWARE_TYPE + 2;
const LINK_FLAGS = INDEX + 4;
const CHANGE = LINK_FLAGS + 4;
const IFINFO_BYTES = CHANGE + 4;
/** Messages of other families on the same group speak of a link's membership in a bridge, not of the link. */
const AF_UNSPEC = 0;

/** include/uapi/linux/if.h. RUNNING means that the operational state lets packets through. */
const IFF = { UP: 0x1, RUNNING: 0x40, LOWER_UP: 0x10000 } as const;

/** include/uapi/linux/if_link.h. */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  OPERSTATE: 16,
  LINKINFO: 18,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  LINK_NETNSID: 37,
  XDP: 43,
  NEW_NETNSID: 45,
  CARRIER_DOWN_COUNT: 48,
  NEW_IFINDEX: 49,
  MAX_MTU: 51,
  ALT_IFNAME: 53,
} as const;
const IFLA_INFO_KIND = 1;
/** `ifi_index` is a signed int. */
const MAX_INDEX = 2 ** 31 - 1;
export const IFLA_XDP = { DRV_PROG_ID: 5, SKB_PROG_ID: 6, HW_PROG_ID: 7 } as const;
/** Leaves out the counters of virtual functions and of IPv6, the longest parts of an answer. */
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** IFNAMSIZ, with its NUL. Longer names are alternative ones (ALTIFNAMSIZ 128). */
const NAME_BYTES = 16;
const ALTERNATIVE_NAME_BYTES = 128;

/** RFC 2863 operational states in the kernel's numbering. */
const OPERSTATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;
export type OperState = (typeof OPERSTATES)[number];

/** Where in its receive path a link runs an XDP program. */
export type XdpMode = "native" | "generic" | "hardware";
/** The attribute that names the program of each mode; with XDP_ATTACHED_MULTI there are several. */
const XDP_ATTRIBUTES: readonly { readonly mode: XdpMode; readonly attribute: number }[] = [
  { mode: "native", attribute: IFLA_XDP.DRV_PROG_ID },
  { mode: "generic", attribute: IFLA_XDP.SKB_PROG_ID },
  { mode: "hardware", attribute: IFLA_XDP.HW_PROG_ID },
];

export interface XdpProgram {
  readonly mode: XdpMode;
  /** The kernel's id, as `bpftool prog` lists it. */
  readonly id: number;
}

/** A link at one moment. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Six bytes for Ethernet; empty for links without addresses. */
  readonly mac: Uint8Array;
  /** Bytes of payload. */
  readonly mtu: number;
  /** Largest MTU its driver takes; 0 where it names none. */
  readonly maxMtu: number;
  /** Switched on (IFF_UP). */
  readonly up: boolean;
  /** Something is at the other end (IFF_LOWER_UP). */
  readonly carrier: boolean;
  /** Packets pass: up, and operational (IFF_RUNNING). */
  readonly running: boolean;
  readonly operstate: OperState;
  /** How often the carrier was lost since the link was made; 0 where the kernel doesn't count. */
  readonly carrierLosses: number;
  /** "veth", "bridge", ...; empty for hardware. */
  readonly kind: string;
  /** Receive queues allocated; `channels` of ethtool.ts says how many are in use. */
  readonly rxQueues: number;
  /** Transmit queues allocated. */
  readonly txQueues: number;
  /** The link this one hangs on: a veth's peer, a VLAN's base; 0 where there is none. */
  readonly lowerIndex: number;
  /** Id of the namespace that `lowerIndex` counts in; undefined where it is the link's own. */
  readonly lowerNamespaceId: number | undefined;
  /** Programs attached, seldom more than one. */
  readonly xdp: readonly XdpProgram[];
}

const parsePrograms = (xdp: Attributes | undefined): XdpProgram[] =>
  XDP_ATTRIBUTES.flatMap(({ mode, attribute }) => {
    const id = xdp?.u32(attribute) ?? 0;
    return id === 0 ? [] : [{ mode, id }];
  });

/** The link that an RTM_NEWLINK or RTM_DELLINK tells of; undefined for messages that are not about a link itself. */
export const parseLink = (message: Message): Link | undefined => {
  const { body, type } = message;
  if (type !== RTM.NEWLINK && type !== RTM.DELLINK) return undefined;
  if (body.byteLength < IFINFO_BYTES || body.getUint8(FAMILY) !== AF_UNSPEC) return undefined;
  const flags = body.getUint32(LINK_FLAGS, true);
  const attributes = new Attributes(body, IFINFO_BYTES);
  return {
    index: body.getInt32(INDEX, true),
    name: attributes.text(IFLA.IFNAME) ?? "",
    mac: attributes.bytes(IFLA.ADDRESS) ?? new Uint8Array(0),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    maxMtu: attributes.u32(IFLA.MAX_MTU) ?? 0,
    up: (flags & IFF.UP) !== 0,
    carrier: (flags & IFF.LOWER_UP) !== 0,
    running: (flags & IFF.UP) !== 0 && (flags & IFF.RUNNING) !== 0,
    operstate: OPERSTATES[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? "unknown",
    carrierLosses: attributes.u32(IFLA.CARRIER_DOWN_COUNT) ?? 0,
    kind: attributes.nested(IFLA.LINKINFO)?.text(IFLA_INFO_KIND) ?? "",
    rxQueues: attributes.u32(IFLA.NUM_RX_QUEUES) ?? 1,
    txQueues: attributes.u32(IFLA.NUM_TX_QUEUES) ?? 1,
    lowerIndex: attributes.u32(IFLA.LINK) ?? 0,
    lowerNamespaceId: attributes.i32(IFLA.LINK_NETNSID),
    xdp: parsePrograms(attributes.nested(IFLA.XDP)),
  };
};

/** Where a link that RTM_DELLINK tells of went: undefined if it was deleted, else the namespace id (or -1 if unknown). */
export const movedTo = (message: Message): number | undefined => {
  const attributes = new Attributes(message.body, IFINFO_BYTES);
  if (!attributes.has(IFLA.NEW_IFINDEX) && !attributes.has(IFLA.NEW_NETNSID)) return undefined;
  return attributes.i32(IFLA.NEW_NETNSID) ?? -1;
};

const ifinfo = (index: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(IFINFO_BYTES));
  view.setInt32(INDEX, index, true);
  return new Uint8Array(view.buffer);
};

/**
 * The body of an RTM_GETLINK for one link, by name or index, or for all of them.
 * Throws RangeError for what can be no name and no index.
 */
export const encodeLinkQuery = (which?: string | number): Uint8Array =>
  concatenate([...selector(which), encodeAttributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)]);

const selector = (which: string | number | undefined): Uint8Array[] => {
  if (which === undefined) return [ifinfo(0)];
  if (typeof which === "number") {
    if (!Number.isInteger(which) || which < 1 || which > MAX_INDEX)
      throw new RangeError(`not an interface index: ${which}`);
    return [ifinfo(which)];
  }
  const { length } = new TextEncoder().encode(which);
  if (length === 0 || length >= ALTERNATIVE_NAME_BYTES || /[\s/\0]/.test(which)) {
    throw new RangeError(`not an interface name: ${JSON.stringify(which)}`);
  }
  return [ifinfo(0), encodeAttributeText(length < NAME_BYTES ? IFLA.IFNAME : IFLA.ALT_IFNAME, which)];
};
