/**
 * How frames reach a backend: out of which interface, to which Ethernet address, and from which address where they are tunnelled.
 *
 * It is looked up in the host's routes and neighbours, and again when those changed; packets ask `ready` and then read plain
 * fields.
 */
import type { Host } from "../ip/host.ts";
import type { Interface } from "../ip/interface.ts";
import type { Neighbours } from "../ip/neighbours/neighbour.ts";
import type { Parked } from "../ip/parked.ts";
import type { IpAddress } from "../wire/address.ts";
import type { MacAddress } from "../wire/mac.ts";

/** What packets need of a neighbour; one of the host's, or an Ethernet address that is fixed. */
export interface HopNeighbour {
  readonly usable: boolean;
  readonly live: boolean;
  readonly macHigh: number;
  readonly macLow: number;
}

export interface HopOptions {
  /** Ethernet address to send to, instead of asking for it. */
  readonly mac?: MacAddress | undefined;
  /** Name of the interface to send on, instead of the one that the route names. */
  readonly interface?: string | undefined;
  /** Address to send tunnelled packets from, instead of one of the interface's. */
  readonly source?: IpAddress | undefined;
  /** True for addresses that are no single host's, which nothing is sent from. */
  readonly isShared: (address: IpAddress) => boolean;
}

const NEVER = -1;

export class Hop {
  readonly address: IpAddress;
  /** Where it leads; assigned when `ready` is true, like all that follows. */
  out!: Interface;
  neighbour!: HopNeighbour;
  /** Undefined where the Ethernet address is fixed. */
  neighbours: Neighbours<Parked> | undefined;
  /** Largest IP packet that goes there, in bytes. */
  mtu = 0;
  /** Ours, for tunnelled packets; undefined where there is none of the family. */
  source: IpAddress | undefined;
  readonly #host: Host;
  readonly #options: HopOptions;
  readonly #fixed: HopNeighbour | undefined;
  #generation = NEVER;
  #known = false;

  constructor(host: Host, address: IpAddress, options: HopOptions) {
    this.#host = host;
    this.address = address;
    this.#options = options;
    const { mac } = options;
    this.#fixed =
      mac === undefined ? undefined : { usable: true, live: true, macHigh: mac.high, macLow: mac.low };
  }

  /** True where there is a way; its neighbour may still be looked for. */
  ready(): boolean {
    if (this.#generation !== this.#host.routes.generation || !this.#known || !this.neighbour.live)
      this.#look();
    return this.#known;
  }

  /** To be called where an MTU, an address or a link has changed. */
  stale(): void {
    this.#generation = NEVER;
  }

  #look(): void {
    const { routes } = this.#host;
    this.#known = false;
    this.#generation = routes.generation;
    const way = this.#way();
    if (way === undefined || !way.out.link.up) return;
    const { out, next } = way;
    const { w0, w1, w2, w3 } = next;
    const neighbours = this.#fixed === undefined ? out.neighboursOf(next.family) : undefined;
    const neighbour = this.#fixed ?? neighbours!.lookup(w0, w1, w2, w3) ?? neighbours!.resolve(next);
    // Too many new ones at once: asked for again by the next packet.
    if (neighbour === undefined) return;
    this.out = out;
    this.neighbours = neighbours;
    this.neighbour = neighbour;
    this.mtu = Math.min(out.mtuOf(this.address.family), way.mtu, this.#pathMtu()) | 0;
    this.source = this.#options.source ?? this.#ownOf(out);
    this.#known = true;
  }

  /** The interface and the next station on it. */
  #way(): { readonly out: Interface; readonly next: IpAddress; readonly mtu: number } | undefined {
    const { address } = this;
    const { interfaces, routes } = this.#host;
    const name = this.#options.interface;
    const named = name === undefined ? undefined : interfaces.find((one) => one.name === name);
    if (name !== undefined && named === undefined) return undefined;
    const route = routes.lookup(address.w0, address.w1, address.w2, address.w3, named?.index ?? 0);
    // One whose Ethernet address is known needs no route.
    if (named !== undefined && this.#fixed !== undefined)
      return { out: named, next: address, mtu: named.mtu };
    if (route?.kind !== "unicast") return undefined;
    const out = interfaces.find(({ index }) => index === route.interface);
    return out === undefined ? undefined : { out, next: route.gateway ?? address, mtu: route.mtu ?? out.mtu };
  }

  /** What the path is known to carry: routers on a tunnel's way tell us, not the sender of what is in it. */
  #pathMtu(): number {
    const { w0, w1, w2, w3 } = this.address;
    return this.#host.pathMtu.of(w0, w1, w2, w3) || Infinity;
  }

  #ownOf(out: Interface): IpAddress | undefined {
    for (const { address, state } of out.addresses.values()) {
      const usual = state === "preferred" && address.family === this.address.family;
      if (usual && address.linkLocal === this.address.linkLocal && !this.#options.isShared(address))
        return address;
    }
    return undefined;
  }
}
