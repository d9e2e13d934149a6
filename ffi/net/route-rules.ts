/**
 * How the kernel's route notifications change a table, which differs between its two families, and what a prefix amounts to.
 *
 * IPv4 holds whole routes, of which one prefix and metric may have several in an order; the first that lives is used, the
 * others wait. IPv6 holds single hops: those with routers form one multipath route, and routes to the link itself (fe80::/64 on
 * every interface) share prefix and metric without being one. Source: net/ipv4/fib_trie.c (fib_table_insert),
 * net/ipv6/ip6_fib.c (fib6_add_rt2node), net/ipv6/route.c (ip6_route_multipath_add).
 */
import type { HopRecord } from "./route-hops.ts";
import type { RouteRecord } from "./route-message.ts";
import { AF_INET, familyOf } from "./rtnetlink.ts";
import type { RouteChange } from "./system-change.ts";

/** How a message that makes something relates to what was there. */
export interface Manner {
  readonly replace: boolean;
  readonly append: boolean;
}

/** What a key holds after a notification. */
export interface Held<R> {
  readonly records: readonly R[];
  /** The notification does not fit what was held: the table must be asked for. */
  readonly doubtful: boolean;
}

/** Prefix and metric in one text. */
export const keyOfRoute = (route: RouteRecord): string =>
  `${route.destination.toHex()}/${route.prefixLength} ${route.metric}`;

const sameHop = (one: HopRecord, other: HopRecord): boolean =>
  one.interface === other.interface && one.gateway?.toHex() === other.gateway?.toHex();

/** The same entry of the kernel, whatever became of its hops since. */
const sameRoute = (one: RouteRecord, other: RouteRecord): boolean =>
  one.table === other.table &&
  one.type === other.type &&
  one.mtu === other.mtu &&
  one.source?.toHex() === other.source?.toHex() &&
  one.hops.length === other.hops.length &&
  one.hops.every((hop, i) => sameHop(hop, other.hops[i]!) && hop.weight === other.hops[i]!.weight);

/** A new IPv4 route stands before those that were there, unless it was appended; a replacing one takes the first one's place. */
export const addRoute4 = (
  held: readonly RouteRecord[],
  route: RouteRecord,
  manner: Manner,
): Held<RouteRecord> => {
  const at = held.findIndex((each) => sameRoute(each, route));
  if (at >= 0) return { records: held.with(at, route), doubtful: false };
  const first = held.findIndex((each) => each.table === route.table);
  if (first < 0 || manner.append) return { records: [...held, route], doubtful: false };
  return { records: held.toSpliced(first, manner.replace ? 1 : 0, route), doubtful: false };
};

export const dropRoute4 = (held: readonly RouteRecord[], route: RouteRecord): Held<RouteRecord> => {
  const at = held.findIndex((each) => sameRoute(each, route));
  if (at >= 0) return { records: held.toSpliced(at, 1), doubtful: false };
  return { records: held, doubtful: held.some((each) => each.table === route.table) };
};

/** One record a hop; a route that leads nowhere is one record. */
const split = (route: RouteRecord): RouteRecord[] =>
  route.hops.length < 2 ? [route] : route.hops.map((hop) => ({ ...route, hops: [hop] }));

/** The same place in a table: one hop of one type. */
const sameWay = (one: RouteRecord, other: RouteRecord): boolean =>
  one.table === other.table &&
  one.type === other.type &&
  one.hops.length === other.hops.length &&
  one.hops.every((hop, i) => sameHop(hop, other.hops[i]!));

/** An IPv6 notification carries all hops of the multipath route that it is about, not only the new ones. */
export const addRoute6 = (
  held: readonly RouteRecord[],
  route: RouteRecord,
  manner: Manner,
): Held<RouteRecord> => {
  const inTable = held.filter((each) => each.table === route.table);
  const base = manner.replace ? held.filter((each) => each.table !== route.table) : held;
  const records = [...base];
  for (const part of split(route)) {
    const at = records.findIndex((each) => sameWay(each, part));
    if (at < 0) records.push(part);
    else records[at] = part;
  }
  // It replaces one route of several that are not hops of each other, and does not say which.
  const doubtful =
    manner.replace &&
    inTable.length > 1 &&
    inTable.some(({ hops: [hop] }) => hop === undefined || hop.gateway === undefined);
  return { records, doubtful };
};

/** One hop may go, or all of them in one message. */
export const dropRoute6 = (held: readonly RouteRecord[], route: RouteRecord): Held<RouteRecord> => {
  const parts = split(route);
  const records = held.filter((each) => !parts.some((part) => sameWay(each, part)));
  const missed = held.length - records.length < parts.length;
  return { records, doubtful: missed && records.some((each) => each.table === route.table) };
};

const lives = ({ type, hops }: RouteRecord): boolean => type !== "unicast" || hops.some((hop) => !hop.dead);

/** The default rules ask the local table (255) first, then the main one, then the default one (253). */
const byTable = (one: RouteRecord, other: RouteRecord): number => other.table - one.table;

/** What is used for a prefix and metric: the first living IPv4 route, or all living IPv6 ones of the first one's type. */
export const tellRoute = (held: readonly RouteRecord[]): RouteChange | undefined => {
  const living = held.length === 1 ? held.filter(lives) : held.filter(lives).toSorted(byTable);
  const [first] = living;
  if (first === undefined) return undefined;
  const joined =
    familyOf(first.destination) === AF_INET
      ? [first]
      : living.filter((each) => each.table === first.table && each.type === first.type);
  return {
    kind: "route",
    present: true,
    destination: first.destination,
    prefixLength: first.prefixLength,
    type: first.type,
    metric: first.metric,
    source: first.source,
    mtu: first.mtu,
    hops: joined.flatMap((each) =>
      each.hops
        .filter((hop) => !hop.dead)
        .map(({ gateway, interface: index, weight }) => ({ gateway, interface: index, weight })),
    ),
  };
};
