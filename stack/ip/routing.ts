/**
 * Finds ways: is it us, a group, everybody, or a route; out of which interface, from which address, over which neighbour.
 */
import { REFUSED, type Refused, type Via } from "../transport/network.ts";
import { type IpAddress, MAPPED, SCOPE } from "../wire/address.ts";
import { sumOfAddress } from "../wire/checksum.ts";
import { HEADER_BYTES as IPV4_BYTES } from "../wire/ipv4.ts";
import { HEADER_BYTES as IPV6_BYTES } from "../wire/ipv6.ts";
import { BROADCAST_MAC, type MacAddress, multicastMac } from "../wire/mac.ts";
import type { Environment } from "./environment.ts";
import type { Interface } from "./interface.ts";
import { mayBeOwn, OwnOctets } from "./own-octets.ts";
import { PathMtus } from "./routes/path-mtu.ts";
import type { NextHopListener } from "./routes/next-hops.ts";
import { RouteSpread } from "./routes/route-spread.ts";
import { type Route, RouteTable } from "./routes/routes.ts";
import { type Candidate, chooseSource } from "./addresses/sources.ts";
import { type Hop, UNCOUNTED, type Way, type Wayfinder } from "./way.ts";

/** Interfaces of one host, its own loopback included; a router with more ports has other needs than this one. */
export const MAX_INTERFACES = 256;
/** The last number of an interface: those of group-loopback.ts have two bytes. */
const MAX_INDEX = 0xffff;
/** Names whose numbers are remembered: more than interfaces, for those that come and go. */
const MAX_NAMES = 1024;

/** Somebody whose Ethernet address follows from the IP address. */
const fixedHop = (mac: MacAddress): Hop => ({
  live: true,
  usable: true,
  macHigh: mac.high,
  macLow: mac.low,
});
const TO_ALL = fixedHop(BROADCAST_MAC);
/** On the loopback interface the address field is nobody's. */
const TO_SELF: Hop = { live: true, usable: true, macHigh: 0, macLow: 0 };

/** Who hears of changes. */
export interface RoutingIo {
  route(route: Route, change: "added" | "removed" | "expired"): void;
  /** What the path to a destination carries is another; 0 where nothing is known any more. */
  pathMtu(destination: IpAddress, mtu: number): void;
  readonly hops: NextHopListener;
}

export class Routing implements Wayfinder {
  readonly routes: RouteTable;
  readonly pathMtu: PathMtus;
  /** A first look at what `isForged` looks for. */
  readonly ownOctets = new OwnOctets();
  /** By number, which is 1 or more. */
  readonly #interfaces = new Map<number, Interface>();
  /** The same in a row. */
  #all: readonly Interface[] = [];
  /** The numbers of names that were here. */
  readonly #numbers = new Map<string, number>();
  readonly #spread: RouteSpread;
  #lastIndex = 0;
  #loopback: Interface | undefined;
  /** The sender that was found to be none of us last, on which interface, and of which generation that is. */
  #own = 0;

  constructor(environment: Environment, io: RoutingIo) {
    this.routes = new RouteTable(environment, {
      changed: (route, change) => io.route(route, change),
      hops: io.hops,
    });
    this.#spread = new RouteSpread(this.routes);
    this.pathMtu = new PathMtus(environment, {
      changed: (destination, mtu) => {
        this.bump();
        io.pathMtu(destination, mtu);
      },
      over: ({ w0, w1, w2, w3 }) => {
        const route = this.routes.lookup(w0, w1, w2, w3);
        return route && this.routes.hopOf(route);
      },
    });
  }

  get generation(): number {
    return this.routes.generation + this.#own;
  }

  /** Says that something changed which is not in the routes: addresses, links, what paths carry. */
  bump(): void {
    this.#own += 1;
    this.ownOctets.collect(this.#all.filter((one) => one !== this.#loopback).map((one) => one.addresses));
  }

  /** The interface of that number. */
  interfaceOf(index: number): Interface | undefined {
    return this.#interfaces.get(index);
  }

  /** All of them, the loopback included. */
  *interfaces(): Iterable<Interface> {
    yield* this.#all;
  }

  /**
   * The number that the next interface gets: one that comes back has its own again, and nobody else gets that, so that
   * what sockets remember never means another interface. Throws a RangeError where there are too many.
   */
  nextIndex(name: string): number {
    if (this.#all.length >= MAX_INTERFACES)
      throw new RangeError(`a host has at most ${MAX_INTERFACES} interfaces`);
    const known = this.#numbers.get(name);
    if (known !== undefined && !this.#interfaces.has(known)) return known;
    do this.#lastIndex = (this.#lastIndex % MAX_INDEX) + 1;
    while (this.#interfaces.has(this.#lastIndex));
    return this.#lastIndex;
  }

  add(one: Interface): void {
    this.#interfaces.set(one.index, one);
    this.#all = [...this.#all, one];
    one.paths = this.pathMtu;
    // The oldest names are forgotten first, and the present one is the youngest.
    this.#numbers.delete(one.name);
    this.#numbers.set(one.name, one.index);
    for (const name of this.#numbers.keys()) {
      if (this.#numbers.size <= MAX_NAMES) break;
      this.#numbers.delete(name);
    }
    if (one.isLoopback) this.#loopback = one;
    // The number may have been that of one whose link was down when it left.
    this.routes.setUsable(one.index, one.link.up);
    this.bump();
  }

  remove(one: Interface): void {
    this.#interfaces.delete(one.index);
    this.#all = this.#all.filter((other) => other !== one);
    this.routes.removeWhere((route) => route.interface === one.index);
    this.bump();
  }

  /** True for an address of ours, of any interface, and for those of the loopback network. */
  isLocal(w0: number, w1: number, w2: number, w3: number): boolean {
    const all = this.#all;
    for (let i = 0; i < all.length; i++) {
      if (all[i]!.hasAddress(w0, w1, w2, w3)) return true;
    }
    return false;
  }

  /**
   * True where nobody on a link can have the address, because it is ours, or everybody's of the network `on` is in. What
   * is never on a link, as loopback, is not looked for. Allocates nothing.
   */
  isForged(w0: number, w1: number, w2: number, w3: number, on: Interface): boolean {
    if (!mayBeOwn(this.ownOctets.bits, w3)) return false;
    const all = this.#all;
    for (let i = 0; i < all.length; i++)
      if (all[i] !== this.#loopback && all[i]!.hasAddress(w0, w1, w2, w3)) return true;
    if (w2 === MAPPED && (w0 | w1) === 0 && on.addresses.isBroadcast4(w3)) return true;
    return false;
  }

  settle(way: Way): 0 | Refused {
    way.generation = -1;
    way.neighbour = undefined;
    way.neighbours = undefined;
    way.mtu = 0;
    way.tally = UNCOUNTED;
    const refused = this.#find(way);
    if (refused !== 0) {
      way.interface = undefined;
      way.source = undefined;
      return refused;
    }
    this.#complete(way, way.interface!);
    return 0;
  }

  #find(way: Way): 0 | Refused {
    const { address, options } = way;
    const { w0, w1, w2, w3 } = address;
    if (address.unspecified) return REFUSED.noRoute;
    if (options.source !== undefined && options.source.family !== address.family) return REFUSED.noSource;
    if (options.via !== undefined) return this.#over(way, options.via);
    if (address.loopback || this.isLocal(w0, w1, w2, w3)) return this.#toSelf(way);
    const route = this.#choose(way);
    if (address.multicast || address.limitedBroadcast) return this.#toMany(way, route);
    if (route === undefined || route.kind !== "unicast") return REFUSED.noRoute;
    // No router takes a packet of one link to another.
    if (address.linkLocal && address.family === 6 && route.gateway !== undefined) return REFUSED.noRoute;
    way.tally = this.routes.hopOf(route) ?? UNCOUNTED;
    return this.#leave(way, route, route);
  }

  /**
   * Whether packets may leave from the address that was asked for: one that an interface has, now. One that is yet to be found
   * unique is none (RFC 4862 section 5.4), nor one that went, or is another's (RFC 5227 section 2.4).
   */
  #mayLeave({ source, foreign }: Way["options"]): boolean {
    if (source === undefined || foreign === true || source.loopback) return true;
    for (const one of this.interfaces()) {
      const state = one.isLoopback ? undefined : one.addresses.find(source)?.state;
      if (state === "preferred" || state === "deprecated") return true;
    }
    return false;
  }

  /** The route to take where several lead there. */
  #choose({ address, options }: Way): Route | undefined {
    const { routes } = this;
    const { w0, w1, w2, w3 } = address;
    const { interface: named = 0, cameIn = 0 } = options;
    // Nobody else than those on the same link has an address of the link.
    const wanted = named === 0 && address.linkLocal ? cameIn : named;
    if (cameIn !== 0 && wanted === 0) {
      const back = routes.lookup(w0, w1, w2, w3, cameIn);
      if (back?.kind === "unicast" && routes.useOf(back) === "up") return back;
      const other = routes.lookup(w0, w1, w2, w3);
      return back === undefined || (other !== undefined && routes.useOf(other) === "up") ? other : back;
    }
    if (options.multipath !== "spread") return routes.lookup(w0, w1, w2, w3, wanted);
    return this.#spread.choose(routes.lookupAll(w0, w1, w2, w3, wanted), address, options.flow ?? 0);
  }

  /** Over a path that somebody chose: also to an address of ours, which comes back where the next hop forwards it. */
  #over(way: Way, via: Via): 0 | Refused {
    const { address } = way;
    if (address.multicast || address.loopback) return REFUSED.noRoute;
    way.tally = this.routes.hop(via.interface, address.family, via.gateway) ?? UNCOUNTED;
    return this.#leave(way, via, {});
  }

  /** Out of an interface to a next hop. */
  #leave(way: Way, via: Via, said: Pick<Route, "source" | "mtu">): 0 | Refused {
    const { address, options } = way;
    const { w0, w1, w2, w3 } = address;
    const out = this.#interfaces.get(via.interface);
    if (out === undefined) return REFUSED.noRoute;
    if (!out.link.up) return REFUSED.down;
    if (!this.#mayLeave(options)) return REFUSED.noSource;
    way.interface = out;
    way.source = options.source ?? said.source ?? this.sourceFor(address, out, via.gateway);
    if (way.source === undefined) return REFUSED.noSource;
    way.mtu = Math.min(
      out.mtuOf(address.family),
      said.mtu ?? Infinity,
      this.pathMtu.of(w0, w1, w2, w3) || Infinity,
    );
    if (address.family === 4 && out.addresses.isBroadcast4(w3)) {
      way.hop = TO_ALL;
      return 0;
    }
    const next = via.gateway ?? address;
    // An IPv6 station may be the next hop of IPv4 networks (RFC 8950).
    way.neighbours = out.neighboursOf(next.family);
    way.neighbour = way.neighbours.resolve(next);
    way.hop = way.neighbour;
    return way.hop === undefined ? REFUSED.unreachable : 0;
  }

  #toSelf(way: Way): 0 | Refused {
    const loopback = this.#loopback;
    if (loopback === undefined) return REFUSED.noRoute;
    way.interface = loopback;
    way.source = way.options.source ?? way.address;
    way.hop = TO_SELF;
    way.mtu = loopback.mtu;
    return 0;
  }

  /** Groups and everybody need no route: the interface that was asked for, that of a route, or the first that is up. */
  #toMany(way: Way, route: Route | undefined): 0 | Refused {
    const { address, options } = way;
    const wanted = options.interface ?? options.cameIn ?? 0;
    const named = wanted === 0 ? undefined : this.#interfaces.get(wanted);
    const routed = route?.kind === "unicast" ? this.#interfaces.get(route.interface) : undefined;
    const out = named ?? (wanted === 0 ? (routed ?? this.#firstUp()) : undefined);
    if (out === undefined) return REFUSED.noRoute;
    if (!out.link.up) return REFUSED.down;
    if (!this.#mayLeave(options)) return REFUSED.noSource;
    way.interface = out;
    way.source = options.source ?? this.sourceFor(address, out, undefined);
    if (way.source === undefined) return REFUSED.noSource;
    way.hop = address.multicast ? fixedHop(multicastMac(address)) : TO_ALL;
    way.mtu = out.mtuOf(address.family);
    return 0;
  }

  /** The interface to be a member of a group on: the one that is named, else the one that it would be sent to on. */
  interfaceForGroup(group: IpAddress, wanted: number): Interface | undefined {
    if (wanted !== 0) return this.#interfaces.get(wanted);
    const route = this.routes.lookup(group.w0, group.w1, group.w2, group.w3);
    const routed = route?.kind === "unicast" ? this.#interfaces.get(route.interface) : undefined;
    return routed ?? this.#firstUp();
  }

  #firstUp(): Interface | undefined {
    for (const one of this.interfaces()) if (!one.isLoopback && one.link.up) return one;
    return undefined;
  }

  /** The address to send from (RFC 6724 section 5): of the interface that it goes out of, else of any (weak host model). */
  sourceFor(destination: IpAddress, out: Interface, nextHop: IpAddress | undefined): IpAddress | undefined {
    const own = chooseSource(out.candidates(), destination, out.index, { nextHop });
    if (own !== undefined || destination.linkLocal || destination.multicast) return own?.address;
    return chooseSource(this.#candidates(), destination, out.index, { nextHop })?.address;
  }

  *#candidates(): Iterable<Candidate> {
    for (const one of this.interfaces()) if (!one.isLoopback) yield* one.candidates();
  }

  #complete(way: Way, out: Interface): void {
    const { address, options } = way;
    const source = way.source!;
    const { link } = out;
    way.ipHeaderBytes = address.family === 4 ? IPV4_BYTES : IPV6_BYTES;
    way.headerBytes = link.linkBytes + way.ipHeaderBytes;
    way.ttl = options.ttl ?? (address.multicast ? 1 : out.ttlOf(address.family));
    way.staysHere = address.multicast && (way.ttl === 0 || address.scope <= SCOPE.INTERFACE);
    way.trafficClass = options.trafficClass ?? 0;
    way.dontFragment = !this.pathMtu.fragmentable(address.w0, address.w1, address.w2, address.w3);
    way.addressSum = sumOfAddress(source) + sumOfAddress(address);
    way.queue = link.queueFor(source.w3 ^ address.w3 ^ address.w1);
    way.generation = this.generation;
  }

  close(): void {
    this.routes.close();
    this.pathMtu.close();
  }
}
