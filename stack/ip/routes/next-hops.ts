/**
 * The next hops that routes share: one record for each interface, family and gateway, and how far it can be counted on.
 */
import type { Family, IpAddress } from "../../wire/address.ts";
import { saltOf } from "../rendezvous.ts";
import type { Route } from "./route.ts";

/** "last-resort" is for destinations that nothing "up" leads to; "down" for nobody. */
export type HopUse = "up" | "last-resort" | "down";

export interface NextHop {
  readonly interface: number;
  /** Of the routes. */
  readonly family: Family;
  /** Undefined where destinations are on the link. */
  readonly gateway: IpAddress | undefined;
  /** The same for the same next hop every time, and hard to guess: what `RouteSpread` tells next hops apart by. */
  readonly salt: number;
  readonly use: HopUse;
  /** Routes over it. */
  readonly routes: number;
  /** Packets that went over it. */
  sent: number;
}

/** Hears of next hops that come with their first route and go with their last. */
export interface NextHopListener {
  added(hop: NextHop): void;
  removed(hop: NextHop): void;
}

/** Next hops of one host: more than it has stations around it that forward. Routes over others are judged by their link alone. */
export const MAX_NEXT_HOPS = 4096;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class NextHops {
  readonly #seed: number;
  readonly #listener: NextHopListener;
  readonly #hops = new Map<string, Mutable<NextHop>>();
  readonly #ofRoutes = new Map<Route, Mutable<NextHop>>();
  #refused = 0;

  constructor(seed: number, listener: NextHopListener) {
    this.#seed = seed;
    this.#listener = listener;
  }

  get size(): number {
    return this.#hops.size;
  }

  /** Routes that were added while there were too many next hops. */
  get refused(): number {
    return this.#refused;
  }

  /** The next hop of a route that was added; undefined for those that have none. */
  of(route: Route): NextHop | undefined {
    return this.#ofRoutes.get(route);
  }

  find(interfaceIndex: number, family: Family, gateway: IpAddress | undefined): NextHop | undefined {
    return this.#hops.get(keyOf(interfaceIndex, family, gateway));
  }

  /** A route came. */
  add(route: Route): void {
    if (route.kind !== "unicast") return;
    const { interface: index, gateway } = route;
    const { family } = route.prefix;
    const key = keyOf(index, family, gateway);
    let hop = this.#hops.get(key);
    if (hop === undefined && this.#hops.size >= MAX_NEXT_HOPS) {
      this.#refused += 1;
      return;
    }
    const isNew = hop === undefined;
    hop ??= {
      interface: index,
      family,
      gateway,
      salt: saltOf(this.#seed, index, gateway),
      use: "up",
      routes: 0,
      sent: 0,
    };
    hop.routes += 1;
    this.#ofRoutes.set(route, hop);
    if (!isNew) return;
    this.#hops.set(key, hop);
    this.#listener.added(hop);
  }

  /** `after` takes the place of `before`, which was the same route with other properties. */
  renew(before: Route, after: Route): void {
    const hop = this.#ofRoutes.get(before);
    this.#ofRoutes.delete(before);
    if (hop !== undefined) this.#ofRoutes.set(after, hop);
  }

  /** A route went. */
  remove(route: Route): void {
    const hop = this.#ofRoutes.get(route);
    if (hop === undefined) return;
    this.#ofRoutes.delete(route);
    hop.routes -= 1;
    if (hop.routes > 0) return;
    this.#hops.delete(keyOf(hop.interface, hop.family, hop.gateway));
    this.#listener.removed(hop);
  }

  /** True where that is news. */
  setUse(hop: NextHop, use: HopUse): boolean {
    if (hop.use === use) return false;
    (hop as Mutable<NextHop>).use = use;
    return true;
  }

  clear(): void {
    this.#hops.clear();
    this.#ofRoutes.clear();
  }
}

const keyOf = (interfaceIndex: number, family: Family, gateway: IpAddress | undefined): string =>
  `${interfaceIndex} ${family} ${gateway === undefined ? "" : gateway.toString()}`;
