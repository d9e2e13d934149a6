/**
 * The routing table: where packets to an address go, by longest prefix, then metric, then the order of adding.
 *
 * Routes whose next hop is on trial ("last-resort") count where no other leads to the address, those whose next hop is down
 * never.
 */
import type { Timer } from "../../loop/timers.ts";
import { PrefixTable } from "../../wire/prefix-table.ts";
import { Prefix } from "../../wire/prefix.ts";
import type { Family, IpAddress } from "../../wire/address.ts";
import type { Environment } from "../environment.ts";
import { type HopUse, type NextHop, type NextHopListener, NextHops } from "./next-hops.ts";
import {
  isOn,
  matches,
  MAX_INTERFACE,
  refuses,
  requireInteger,
  requireRoute,
  type Route,
  type RouteMatch,
  sameRoute,
} from "./route.ts";

export type { HopUse, NextHop } from "./next-hops.ts";
export type { Route, RouteKind, RouteMatch, RouteOrigin } from "./route.ts";

/** Routes of one table: more than a host or a router of one site needs; the whole Internet has a million. */
export const MAX_ROUTES = 1 << 16;
/** Routes of one prefix, so that walking through them stays below a microsecond. */
export const MAX_ROUTES_PER_PREFIX = 64;

export interface RouteTableOptions {
  /** The most routes held; `MAX_ROUTES`. */
  readonly limit?: number;
  /** Hears of every change, after it was made. */
  readonly changed?: (route: Route, what: "added" | "removed" | "expired") => void;
  /** Hears of next hops: of one that comes before of its first route, of one that goes before of its last. */
  readonly hops?: NextHopListener;
}

export interface RouteTableStatistics {
  readonly routes: number;
  readonly prefixes: number;
  /** Routes that were not taken because the table or their prefix was full. */
  readonly refused: number;
  /** Routes that came to their end. */
  readonly expired: number;
  readonly nextHops: number;
  /** Routes whose next hop is not watched because there were too many. */
  readonly unwatched: number;
}

/** All routes of one prefix. */
interface Entry {
  readonly prefix: Prefix;
  /** By metric, then by order of adding. */
  readonly routes: Route[];
  /** The first usable one and those of the same metric, as of `generation`. */
  best: Route | undefined;
  equal: readonly Route[];
  /** The first that is a last resort, unless packets end before it. */
  spare: Route | undefined;
  generation: number;
  /** The entry of the longest prefix that this one lies in, as of `shape`. */
  wider: Entry | undefined;
  shape: number;
}

const NONE: readonly Route[] = [];
const NOBODY: NextHopListener = { added: () => {}, removed: () => {} };
const NEVER = -1;

/** The routes of one host. */
export class RouteTable {
  readonly #environment: Environment;
  readonly #limit: number;
  readonly #changed: (route: Route, what: "added" | "removed" | "expired") => void;
  readonly #entries = new PrefixTable<Entry>();
  readonly #timers = new Map<Route, Timer>();
  readonly #unusable = new Set<number>();
  readonly #hops: NextHops;
  #generation = 0;
  /** Grows with every prefix that comes or goes. */
  #shape = 0;
  #size = 0;
  #refused = 0;
  #expired = 0;

  /** @throws RangeError where the limit is not a positive integer. */
  constructor(environment: Environment, options: RouteTableOptions = {}) {
    const { limit = MAX_ROUTES } = options;
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError(`limit must be a positive integer, not ${limit}`);
    this.#environment = environment;
    this.#limit = limit;
    this.#changed = options.changed ?? ((): void => {});
    this.#hops = new NextHops(environment.random.next(), options.hops ?? NOBODY);
  }

  /** Grows with every change, so that whoever remembers a route sees whether it still holds. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Adds a route. One of the same prefix, gateway, interface, metric, kind and origin is renewed in its place. False,
   * counted, where there is no room, or the route has ended already.
   *
   * @throws TypeError or RangeError that names the field which is no good.
   */
  add(route: Route): boolean {
    requireRoute(route);
    const entry = this.#entries.get(route.prefix);
    const place = entry?.routes.findIndex((other) => sameRoute(other, route)) ?? -1;
    if (entry === undefined || place < 0) return this.#insert(route);
    const before = entry.routes[place]!;
    if (this.#ended(route)) {
      this.#drop(before, "removed");
      return false;
    }
    this.#disarm(before);
    entry.routes[place] = route;
    this.#hops.renew(before, route);
    this.#arm(route);
    this.#generation += 1;
    this.#changed(route, "added");
    return true;
  }

  /** Adds a route in the place of all of the same prefix, metric and origin, as a new default router would come. */
  replace(route: Route): boolean {
    requireRoute(route);
    const { prefix, metric, origin } = route;
    const old = [...(this.#entries.get(prefix)?.routes ?? NONE)];
    // First the new one, so that no moment is without a route.
    if (!this.add(route)) return false;
    for (const other of old) {
      if (other.metric === metric && other.origin === origin && !sameRoute(other, route))
        this.#drop(other, "removed");
    }
    return true;
  }

  /** Removes the routes that match; gives how many. */
  remove(match: RouteMatch): number {
    const entry = this.#entries.get(match.prefix);
    const found = entry?.routes.filter((route) => matches(route, match)) ?? NONE;
    for (const route of found) this.#drop(route, "removed");
    return found.length;
  }

  /** Removes every route that `test` is true for, as those of an interface that is gone; gives how many. */
  removeWhere(test: (route: Route) => boolean): number {
    const found = this.all().filter(test);
    for (const route of found) this.#drop(route, "removed");
    return found.length;
  }

  /** Takes an interface's routes out of all lookups, or back in, as its link goes down and up. */
  setUsable(interfaceIndex: number, usable: boolean): void {
    requireInteger("interfaceIndex", interfaceIndex, MAX_INTERFACE, 1);
    if (usable ? !this.#unusable.delete(interfaceIndex) : this.#unusable.has(interfaceIndex)) return;
    if (!usable) this.#unusable.add(interfaceIndex);
    this.#generation += 1;
  }

  /** The next hop of routes of a family; undefined where there is none, or it is not watched. */
  hop(interfaceIndex: number, family: Family, gateway: IpAddress | undefined): NextHop | undefined {
    return this.#hops.find(interfaceIndex, family, gateway);
  }

  /** The next hop of one route. */
  hopOf(route: Route): NextHop | undefined {
    return this.#hops.of(route);
  }

  /** Says how far all routes over a next hop can be counted on. */
  setHopUse(hop: NextHop, use: HopUse): void {
    if (this.#hops.setUse(hop, use)) this.#generation += 1;
  }

  /** How far a route can be counted on, its interface considered. */
  useOf(route: Route): HopUse {
    if (this.#unusable.has(route.interface)) return "down";
    return this.#hops.of(route)?.use ?? "up";
  }

  /**
   * The route to this address: of the longest prefix that has a usable one, the first of the lowest metric. With an
   * `interface`, only routes out of it count, and those of every interface. Allocates nothing.
   */
  lookup(w0: number, w1: number, w2: number, w3: number, interfaceIndex = 0): Route | undefined {
    let entry = this.#entries.lookup(w0, w1, w2, w3);
    let spare: Route | undefined;
    while (entry !== undefined) {
      if (entry.generation !== this.#generation) this.#refresh(entry);
      const all = interfaceIndex === 0;
      spare ??= all ? entry.spare : this.#firstOn(entry, interfaceIndex, "last-resort");
      const route = all ? entry.best : this.#firstOn(entry, interfaceIndex, "up");
      // To be refused is worse than to be sent over a path on trial.
      if (route !== undefined) return spare !== undefined && refuses(route) ? spare : route;
      entry = entry.shape === this.#shape ? entry.wider : this.#widen(entry);
    }
    return spare;
  }

  /** The route that `lookup` finds, with all as usable ones of the same prefix and metric: paths to choose among. */
  lookupAll(w0: number, w1: number, w2: number, w3: number, interfaceIndex = 0): readonly Route[] {
    const first = this.lookup(w0, w1, w2, w3, interfaceIndex);
    if (first === undefined) return NONE;
    const entry = this.#entries.get(first.prefix)!;
    if (interfaceIndex === 0 && first === entry.best) return entry.equal;
    const use = this.useOf(first);
    return entry.routes.filter(
      (route) =>
        route.metric === first.metric &&
        this.useOf(route) === use &&
        (interfaceIndex === 0 || isOn(route, interfaceIndex)),
    );
  }

  /** The routes of one prefix, usable or not, in their order. */
  of(prefix: Prefix): readonly Route[] {
    return [...(this.#entries.get(prefix)?.routes ?? NONE)];
  }

  /** Every route, usable or not; those of one prefix in their order. */
  all(): Route[] {
    const routes: Route[] = [];
    for (const [, entry] of this.#entries.entries()) routes.push(...entry.routes);
    return routes;
  }

  statistics(): RouteTableStatistics {
    return {
      routes: this.#size,
      prefixes: this.#entries.size,
      refused: this.#refused,
      expired: this.#expired,
      nextHops: this.#hops.size,
      unwatched: this.#hops.refused,
    };
  }

  /** Forgets all routes, tells nobody, and cancels their timers. Idempotent. */
  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#entries.clear();
    this.#hops.clear();
    this.#size = 0;
    this.#shape += 1;
    this.#generation += 1;
  }

  #insert(route: Route): boolean {
    const { prefix } = route;
    let entry = this.#entries.get(prefix);
    const room = this.#size < this.#limit && (entry?.routes.length ?? 0) < MAX_ROUTES_PER_PREFIX;
    if (!room || this.#ended(route)) {
      this.#refused += 1;
      return false;
    }
    if (entry === undefined) {
      entry = {
        prefix,
        routes: [],
        best: undefined,
        equal: NONE,
        spare: undefined,
        generation: NEVER,
        wider: undefined,
        shape: NEVER,
      };
      this.#entries.set(prefix, entry);
      this.#shape += 1;
    }
    const place = entry.routes.findIndex((other) => other.metric > route.metric);
    entry.routes.splice(place < 0 ? entry.routes.length : place, 0, route);
    this.#size += 1;
    this.#arm(route);
    this.#generation += 1;
    this.#hops.add(route);
    this.#changed(route, "added");
    return true;
  }

  /** Takes a route out, unless whoever hears of changes already did. */
  #drop(route: Route, what: "removed" | "expired"): void {
    const entry = this.#entries.get(route.prefix);
    const place = entry?.routes.indexOf(route) ?? -1;
    if (entry === undefined || place < 0) return;
    entry.routes.splice(place, 1);
    if (entry.routes.length === 0) {
      this.#entries.delete(entry.prefix);
      this.#shape += 1;
    }
    this.#size -= 1;
    this.#disarm(route);
    this.#generation += 1;
    this.#hops.remove(route);
    this.#changed(route, what);
  }

  #ended(route: Route): boolean {
    return route.expiresMs !== undefined && route.expiresMs <= this.#environment.timers.now;
  }

  #arm(route: Route): void {
    const { expiresMs = Infinity } = route;
    if (expiresMs === Infinity) return;
    const { timers } = this.#environment;
    const expire = (): void => {
      this.#expired += 1;
      this.#drop(route, "expired");
    };
    this.#timers.set(route, timers.after(expiresMs - timers.now, expire));
  }

  #disarm(route: Route): void {
    this.#timers.get(route)?.cancel();
    this.#timers.delete(route);
  }

  #refresh(entry: Entry): void {
    const usable = entry.routes.filter((route) => this.useOf(route) === "up");
    entry.best = usable[0];
    entry.equal = usable.filter((route) => route.metric === usable[0]!.metric);
    const end = entry.routes.find((route) => this.useOf(route) === "last-resort" || this.#ends(route));
    entry.spare = end !== undefined && !refuses(end) ? end : undefined;
    entry.generation = this.#generation;
  }

  /** Packets end here, whatever comes behind it. */
  #ends(route: Route): boolean {
    return refuses(route) && this.useOf(route) !== "down";
  }

  #firstOn(entry: Entry, interfaceIndex: number, use: HopUse): Route | undefined {
    for (const route of entry.routes) {
      if (!isOn(route, interfaceIndex)) continue;
      if (this.useOf(route) === use) return route;
      if (this.#ends(route)) return undefined;
    }
    return undefined;
  }

  /** Finds the next wider entry and remembers it until a prefix comes or goes. */
  #widen(entry: Entry): Entry | undefined {
    const { address, length } = entry.prefix;
    entry.wider = undefined;
    for (let bits = length - 1; bits >= 0 && entry.wider === undefined; bits--)
      entry.wider = this.#entries.get(Prefix.of(address, bits));
    entry.shape = this.#shape;
    return entry.wider;
  }
}
