/**
 * A neighbour as RTM_NEWNEIGH and RTM_DELNEIGH tell of it, both ways, and the request to find one out.
 *
 * Source: include/uapi/linux/neighbour.h.
 */
import { encodeAttribute, type Message } from "./message.ts";
import {
  addressBytes,
  encodeBody,
  isFamily,
  MAC_BYTES,
  optional,
  readAttributes,
  requireFamily,
  type SystemFamily,
  type Unread,
} from "./rtnetlink.ts";
import type { SystemNeighbourState } from "./system-change.ts";

export const RTM_NEIGHBOUR = { NEW: 28, DEL: 29, GET: 30 } as const;

/** struct ndmsg. */
const FAMILY = 0;
const INDEX = FAMILY + 4;
const STATE = INDEX + 4;
const FLAGS = STATE + 2;
const TYPE = FLAGS + 1;
const HEADER_BYTES = TYPE + 1;

const NDA = { DST: 1, LLADDR: 2 } as const;
const NTF = { USE: 0x01, PROXY: 0x08, ROUTER: 0x80 } as const;
const NUD = {
  NONE: 0,
  INCOMPLETE: 0x01,
  REACHABLE: 0x02,
  STALE: 0x04,
  DELAY: 0x08,
  PROBE: 0x10,
  FAILED: 0x20,
  NOARP: 0x40,
  PERMANENT: 0x80,
} as const;
/** include/uapi/linux/rtnetlink.h: what kind of address the neighbour has. */
const RTN_UNSPEC = 0;
const RTN_UNICAST = 1;

const STATES = new Map<number, SystemNeighbourState>([
  [NUD.INCOMPLETE, "incomplete"],
  [NUD.REACHABLE, "reachable"],
  [NUD.STALE, "stale"],
  [NUD.DELAY, "delay"],
  [NUD.PROBE, "probe"],
  [NUD.FAILED, "failed"],
  [NUD.NOARP, "permanent"],
  [NUD.PERMANENT, "permanent"],
]);
const NUMBERS: Readonly<Record<SystemNeighbourState, number>> = {
  incomplete: NUD.INCOMPLETE,
  reachable: NUD.REACHABLE,
  stale: NUD.STALE,
  delay: NUD.DELAY,
  probe: NUD.PROBE,
  failed: NUD.FAILED,
  permanent: NUD.PERMANENT,
};

/** A neighbour as the kernel holds it. */
export interface NeighbourRecord {
  /** ifindex. */
  readonly interface: number;
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** Six bytes; undefined while unknown, and on links with addresses of another length. */
  readonly mac: Uint8Array | undefined;
  /** "none": the kernel has an entry that it knows nothing about. */
  readonly state: SystemNeighbourState | "none";
  readonly router: boolean;
}

/** States in which the Ethernet address of an entry, if it still holds one, is not to be used. */
const UNUSABLE = NUD.INCOMPLETE | NUD.FAILED;

/**
 * What an RTM_NEWNEIGH or RTM_DELNEIGH tells. Never throws. Groups and broadcasts, for which the kernel keeps entries without
 * asking anybody, are foreign, and so are addresses that it answers for others (proxies).
 */
export const parseNeighbour = (message: Message): NeighbourRecord | Unread => {
  const { body, type } = message;
  if (type !== RTM_NEIGHBOUR.NEW && type !== RTM_NEIGHBOUR.DEL) return "foreign";
  if (body.byteLength < HEADER_BYTES) return "malformed";
  const family = body.getUint8(FAMILY);
  const flags = body.getUint8(FLAGS);
  if (!isFamily(family) || (flags & NTF.PROXY) !== 0) return "foreign";
  const number = body.getUint16(STATE, true);
  const kind = body.getUint8(TYPE);
  if (number === NUD.NOARP && kind !== RTN_UNICAST && kind !== RTN_UNSPEC) return "foreign";
  const attributes = readAttributes(body, HEADER_BYTES);
  const address = attributes?.bytes(NDA.DST);
  if (address?.length !== addressBytes(family)) return "malformed";
  const state = number === NUD.NONE ? "none" : STATES.get(number);
  if (state === undefined) return "malformed";
  const mac = attributes?.bytes(NDA.LLADDR);
  return {
    interface: body.getInt32(INDEX, true),
    address,
    mac: mac?.length === MAC_BYTES && (number & UNUSABLE) === 0 ? mac : undefined,
    state,
    router: (flags & NTF.ROUTER) !== 0,
  };
};

/** The body of a message that tells of this neighbour. Throws TypeError for addresses of other lengths. */
export const encodeNeighbour = (record: NeighbourRecord): Uint8Array =>
  encode(record, record.state === "none" ? NUD.NONE : NUMBERS[record.state], record.router ? NTF.ROUTER : 0);

/**
 * The body of an RTM_NEWNEIGH that has the kernel behave as if it had a packet for this neighbour: it asks for one that it does
 * not know, and has a stale one confirmed after DELAY_FIRST_PROBE_TIME. Throws TypeError for addresses of other lengths.
 */
export const encodeNeighbourUse = (interfaceIndex: number, address: Uint8Array): Uint8Array =>
  encode({ interface: interfaceIndex, address, mac: undefined }, NUD.NONE, NTF.USE);

/**
 * The body of an RTM_NEWNEIGH that has the kernel ask a neighbour, whose Ethernet address it knows, at that address whether it
 * is there: `__neigh_update` starts the timer of NUD_PROBE at once. Throws TypeError for addresses of other lengths.
 */
export const encodeNeighbourProbe = (interfaceIndex: number, address: Uint8Array): Uint8Array =>
  encode({ interface: interfaceIndex, address, mac: undefined }, NUD.PROBE, 0);

const encode = (
  { interface: index, address, mac }: Pick<NeighbourRecord, "interface" | "address" | "mac">,
  state: number,
  flags: number,
): Uint8Array => {
  const family = requireFamily(address);
  return encodeBody(
    HEADER_BYTES,
    (view) => {
      view.setUint8(FAMILY, family);
      view.setInt32(INDEX, index, true);
      view.setUint16(STATE, state, true);
      view.setUint8(FLAGS, flags);
      view.setUint8(TYPE, RTN_UNICAST);
    },
    [encodeAttribute(NDA.DST, address), ...optional(NDA.LLADDR, mac)],
  );
};

/** The body of an RTM_GETNEIGH for all neighbours of a family. */
export const encodeNeighbourQuery = (family: SystemFamily): Uint8Array =>
  encodeBody(HEADER_BYTES, (view) => view.setUint8(FAMILY, family));
