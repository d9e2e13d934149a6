/**
 * What a kernel mirror is made of: its sockets, subscribed to all that matters, and its tables with their limits.
 */
import { RTNLGRP_LINK } from "./link-message.ts";
import { ADDRESSES4, ADDRESSES6, NEIGHBOURS4, NEIGHBOURS6, ROUTES4, ROUTES6 } from "./mirror-kind.ts";
import { MirrorTable } from "./mirror-table.ts";
import { NetlinkSocket, type NetlinkOptions } from "./netlink.ts";
import { RTNLGRP } from "./rtnetlink.ts";

/** Keys held of each family. Each takes about a kilobyte; what is left out is counted and comes when there is room. */
const DEFAULT_LIMITS = { addresses: 4096, routes: 65_536, neighbours: 32_768 } as const;
/** Most keys held of each family. */
export type Limits = Partial<Record<keyof typeof DEFAULT_LIMITS, number>>;

const GROUPS = [
  RTNLGRP_LINK,
  RTNLGRP.NEIGH,
  RTNLGRP.IPV4_IFADDR,
  RTNLGRP.IPV4_ROUTE,
  RTNLGRP.IPV6_IFADDR,
  RTNLGRP.IPV6_ROUTE,
  RTNLGRP.NEXTHOP,
] as const;

export interface Sockets {
  /** Made first, so that whatever happens from here on is told. */
  readonly events: NetlinkSocket;
  /** For dumps alone: an answer under way takes several calls. */
  readonly dumps: NetlinkSocket;
  readonly commands: NetlinkSocket;
}

/** Three sockets in the thread's network namespace. Throws SystemError, with none of them left open. */
export const openSockets = (receiveBufferBytes: number | undefined): Sockets => {
  const opened: NetlinkSocket[] = [];
  const open = (options: NetlinkOptions = {}): NetlinkSocket => {
    const socket = new NetlinkSocket(options);
    opened.push(socket);
    return socket;
  };
  try {
    const events = open({
      groups: GROUPS,
      ...(receiveBufferBytes === undefined ? {} : { receiveBufferBytes }),
    });
    return { events, dumps: open(), commands: open() };
  } catch (error) {
    for (const socket of opened) socket.close();
    throw error;
  }
};

/** Six empty tables. Throws RangeError for limits that are none. */
export const makeTables = (given: Limits) => {
  const limits = { ...DEFAULT_LIMITS, ...given };
  for (const [name, limit] of Object.entries(limits)) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError(`limits.${name} is at least 1, not ${limit}`);
  }
  return {
    addresses4: new MirrorTable(ADDRESSES4, limits.addresses),
    addresses6: new MirrorTable(ADDRESSES6, limits.addresses),
    routes4: new MirrorTable(ROUTES4, limits.routes),
    routes6: new MirrorTable(ROUTES6, limits.routes),
    neighbours4: new MirrorTable(NEIGHBOURS4, limits.neighbours),
    neighbours6: new MirrorTable(NEIGHBOURS6, limits.neighbours),
  };
};
export type Tables = ReturnType<typeof makeTables>;
export type AnyTable = Tables[keyof Tables];
