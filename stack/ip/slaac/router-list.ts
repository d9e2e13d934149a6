/**
 * What routers on the link offer: default routers, more specific routes and on-link prefixes, each for its lifetime
 * (RFC 4861 section 6.3.4, RFC 4191 section 3.1).
 */
import type { IpAddress } from "../../wire/address.ts";
import type { Preference } from "../../wire/ndp.ts";
import { Prefix } from "../../wire/prefix.ts";
import type { TimerSource } from "../environment.ts";
import { ExpiringList } from "./expiring.ts";

/** A route as advertised; the owner of the routing table adds the interface. */
export interface AdvertisedRoute {
  readonly prefix: Prefix;
  /** The router; undefined for a prefix that is on the link. */
  readonly gateway: IpAddress | undefined;
  readonly metric: number;
  /** When it ends, in ms of the clock; `Infinity` never. */
  readonly expiresMs: number;
}

export interface RouterListIo {
  /** Adds a route, or replaces the one of the same prefix, gateway and metric, whose end is another now. */
  addRoute(route: AdvertisedRoute): void;
  removeRoute(route: AdvertisedRoute): void;
  /** The last default router is gone, by its lifetime or because it said so. */
  noDefaultRouter(): void;
}

/** Routes through routers and on-link prefixes of one interface: a home has a handful, and a flood of RAs ends here. */
export const MAX_ROUTES = 64;

/**
 * Metrics by the preference of RFC 4191: with the same prefix the preferred router is taken. Medium is what the kernel
 * gives to routes from advertisements; the others are far enough off for a metric by hand to fit between.
 */
export const METRIC: Readonly<Record<Preference, number>> = { high: 512, medium: 1024, low: 2048 };
/** On-link prefixes, before any router of the same prefix; the kernel's metric for them. */
export const ON_LINK_METRIC = 256;
/** Added while a router does not answer, so that any that does comes first (RFC 4861 section 6.3.6, RFC 4191 section 3.2). */
export const UNREACHABLE_METRIC = 4096;

const DEFAULT_PREFIX = Prefix.parse("::/0");

interface Offer {
  readonly prefix: Prefix;
  readonly router: IpAddress | undefined;
  readonly preference: Preference;
}

/** An offer that holds, with the route that was made of it. */
interface Held extends Offer {
  route: AdvertisedRoute;
}

export class RouterList {
  readonly #timers: TimerSource;
  readonly #io: RouterListIo;
  readonly #offers: ExpiringList<Held>;
  readonly #unreachable = new Set<string>();
  #refused = 0;

  constructor(timers: TimerSource, io: RouterListIo) {
    this.#timers = timers;
    this.#io = io;
    this.#offers = new ExpiringList(timers, MAX_ROUTES, (held) => this.#gone(held));
  }

  /** Offers that found no room. */
  get refused(): number {
    return this.#refused;
  }

  get size(): number {
    return this.#offers.size;
  }

  /** Default routers, the best first. */
  defaultRouters(): readonly IpAddress[] {
    return this.#offers
      .values()
      .filter((offer) => offer.router !== undefined && offer.prefix.length === 0)
      .sort((a, b) => this.#metric(a) - this.#metric(b))
      .map((offer) => offer.router!);
  }

  /** A router offers itself for everything; a lifetime of 0 takes that back. */
  setDefault(router: IpAddress, preference: Preference, lifetimeMs: number): void {
    this.setRoute(DEFAULT_PREFIX, router, preference, lifetimeMs);
  }

  /** A router offers itself for a prefix; a lifetime of 0 takes that back, `Infinity` is for ever. */
  setRoute(prefix: Prefix, router: IpAddress, preference: Preference, lifetimeMs: number): void {
    this.#set({ prefix, router, preference }, lifetimeMs);
  }

  /** A prefix is on the link; a lifetime of 0 takes that back, `Infinity` is for ever. */
  setOnLink(prefix: Prefix, lifetimeMs: number): void {
    this.#set({ prefix, router: undefined, preference: "medium" }, lifetimeMs);
  }

  /** Whether a router answers: one that does not stays in the list, behind those that do. */
  setReachable(router: IpAddress, reachable: boolean): void {
    const name = router.toString();
    if (this.#unreachable.has(name) === !reachable) return;
    const held = this.#offers.values().filter((offer) => offer.router?.equals(router) === true);
    if (held.length === 0) return;
    if (reachable) this.#unreachable.delete(name);
    else this.#unreachable.add(name);
    for (const each of held) this.#tell(each, each.route.expiresMs);
  }

  /** It is no router any more (RFC 4861 section 7.2.5): all that it offered goes. */
  forget(router: IpAddress): void {
    for (const offer of this.#offers.values()) if (offer.router?.equals(router) === true) this.#remove(offer);
  }

  /** Takes all routes back. */
  flush(): void {
    const held = this.#offers.values();
    this.close();
    for (const { route } of held) this.#io.removeRoute(route);
  }

  /** Forgets all without a word. */
  close(): void {
    this.#offers.clear();
    this.#unreachable.clear();
  }

  #set(offer: Offer, lifetimeMs: number): void {
    if (lifetimeMs === 0) {
      this.#remove(offer);
      return;
    }
    const expiresMs = this.#timers.now + lifetimeMs;
    const known = this.#offers.get(keyOf(offer));
    const held = { ...offer, route: known?.route ?? this.#routeOf(offer, expiresMs) };
    if (!this.#offers.set(keyOf(offer), held, expiresMs)) this.#refused += 1;
    else if (known === undefined) this.#io.addRoute(held.route);
    else this.#tell(held, expiresMs);
  }

  #remove(offer: Offer): void {
    const held = this.#offers.delete(keyOf(offer));
    if (held !== undefined) this.#gone(held);
  }

  /** Tells of a route that has changed; one of another metric is another route. */
  #tell(held: Held, expiresMs: number): void {
    const before = held.route;
    held.route = this.#routeOf(held, expiresMs);
    // First the new one: a path that leads over the router alone ends with its last route.
    this.#io.addRoute(held.route);
    if (before.metric !== held.route.metric) this.#io.removeRoute(before);
  }

  #gone({ router, prefix, route }: Held): void {
    this.#io.removeRoute(route);
    if (router === undefined) return;
    if (!this.#offers.values().some((other) => other.router?.equals(router) === true)) {
      this.#unreachable.delete(router.toString());
    }
    if (prefix.length === 0 && this.defaultRouters().length === 0) this.#io.noDefaultRouter();
  }

  #metric({ router, preference }: Offer): number {
    if (router === undefined) return ON_LINK_METRIC;
    return METRIC[preference] + (this.#unreachable.has(router.toString()) ? UNREACHABLE_METRIC : 0);
  }

  #routeOf(offer: Offer, expiresMs: number): AdvertisedRoute {
    return { prefix: offer.prefix, gateway: offer.router, metric: this.#metric(offer), expiresMs };
  }
}

const keyOf = (offer: Offer): string => `${offer.prefix.toString()} ${offer.router?.toString() ?? "on link"}`;
