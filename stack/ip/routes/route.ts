/**
 * One route: what it says, and when two of them are the same.
 */
import type { IpAddress } from "../../wire/address.ts";
import type { Prefix } from "../../wire/prefix.ts";

/**
 * What becomes of a packet: it goes out, it is ours, or it is refused: silently (blackhole), with "no route"
 * (unreachable), or with "administratively prohibited" (prohibit).
 */
export type RouteKind = "unicast" | "local" | "blackhole" | "unreachable" | "prohibit";
/** Who said so. Routes of one origin never replace those of another. */
export type RouteOrigin = "manual" | "connected" | "ra" | "dhcp" | "kernel" | "redirect" | "peer";

export interface Route {
  readonly prefix: Prefix;
  /** The next hop; without one the destination itself is on the link. */
  readonly gateway?: IpAddress | undefined;
  /** The host's number of the interface; 0, for routes that refuse, is every interface. */
  readonly interface: number;
  /** Lower is preferred among routes of one prefix. */
  readonly metric: number;
  /** The address to send from, instead of what RFC 6724 would choose. */
  readonly source?: IpAddress | undefined;
  /** The largest packet that goes this way, in bytes. */
  readonly mtu?: number | undefined;
  /**
   * How much of what is spread (`multipath: "spread"`) goes this way, beside that of the other routes of the same prefix and
   * metric: a whole number from 1 to 256, 1 where it is not said.
   */
  readonly weight?: number | undefined;
  readonly kind: RouteKind;
  readonly origin: RouteOrigin;
  /** When it ends, in ms of the loop's clock. */
  readonly expiresMs?: number | undefined;
}

/** Which routes to remove: every field that is given has to be equal. */
export interface RouteMatch {
  readonly prefix: Prefix;
  readonly gateway?: IpAddress | undefined;
  readonly interface?: number | undefined;
  readonly metric?: number | undefined;
  readonly kind?: RouteKind | undefined;
  readonly origin?: RouteOrigin | undefined;
}

/** Whether packets end at a route: it refuses them. */
export const refuses = ({ kind }: Route): boolean => kind !== "unicast" && kind !== "local";

/** Whether a route goes out of this interface. */
export const isOn = (route: Route, interfaceIndex: number): boolean =>
  route.interface === interfaceIndex || route.interface === 0;

const sameAddress = (a: IpAddress | undefined, b: IpAddress | undefined): boolean =>
  a === undefined || b === undefined ? a === b : a.equals(b);

/** Whether two routes of one prefix are the same one, whose other properties may have changed. */
export const sameRoute = (a: Route, b: Route): boolean =>
  a.interface === b.interface &&
  a.metric === b.metric &&
  a.kind === b.kind &&
  a.origin === b.origin &&
  sameAddress(a.gateway, b.gateway);

/** Whether a route of the right prefix is meant. */
export const matches = (route: Route, match: RouteMatch): boolean =>
  (match.gateway === undefined || sameAddress(route.gateway, match.gateway)) &&
  (match.interface === undefined || route.interface === match.interface) &&
  (match.metric === undefined || route.metric === match.metric) &&
  (match.kind === undefined || route.kind === match.kind) &&
  (match.origin === undefined || route.origin === match.origin);

const MAX_METRIC = 0xffff_ffff;
/** A byte and one: what the kernel's routes have room for (struct rtnexthop of linux/rtnetlink.h, rtnh_hops). */
export const MAX_WEIGHT = 256;
export const DEFAULT_WEIGHT = 1;
/** Interface numbers fit an int, as the kernel's do. */
export const MAX_INTERFACE = 0x7fff_ffff;

/** @throws TypeError or RangeError that names the field which is no good. */
export const requireRoute = (route: Route): void => {
  const { prefix, gateway, source, kind } = route;
  requireInteger("interface", route.interface, MAX_INTERFACE);
  requireInteger("metric", route.metric, MAX_METRIC);
  requireInteger("weight", route.weight ?? DEFAULT_WEIGHT, MAX_WEIGHT, 1);
  if (route.interface === 0 && (kind === "unicast" || kind === "local"))
    throw new RangeError(`interface must be that of a ${kind} route, not 0`);
  if (gateway !== undefined && kind !== "unicast") throw new TypeError(`gateway is not for a ${kind} route`);
  // A gateway may be of the other family: RFC 8950 has IPv4 networks behind IPv6 next hops.
  if (source !== undefined && source.family !== prefix.family)
    throw new TypeError(`source ${source.toString()} is not of the family of ${prefix.toString()}`);
  if (route.expiresMs !== undefined && Number.isNaN(route.expiresMs))
    throw new RangeError("expiresMs must be a number");
};

export const requireInteger = (name: string, value: number, most: number, least = 0): void => {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`);
};
