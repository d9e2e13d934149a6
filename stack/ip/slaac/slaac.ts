/**
 * Stateless configuration of one interface by its routers: router discovery (RFC 4861 section 6.3, RFC 7559, RFC 4191),
 * addresses (RFC 4862, RFC 7217) and name servers (RFC 8106).
 *
 * It holds what was advertised for as long as that lasts, and tells its io what to configure.
 */
import { IpAddress } from "../../wire/address.ts";
import {
  INFINITE_SECONDS,
  type PrefixInformation,
  type RouteInformation,
  type RouterAdvertisement,
} from "../../wire/ndp.ts";
import { MINIMUM_MTU } from "../../wire/ipv6.ts";
import { Prefix } from "../../wire/prefix.ts";
import type { Environment, Outlet } from "../environment.ts";
import { fromMac, type IdentifierSource } from "../addresses/interface-identifier.ts";
import { ResolverList, type Resolvers } from "./resolvers.ts";
import { RouterList, type AdvertisedRoute } from "./router-list.ts";
import { RouterSolicitation } from "./router-solicitation.ts";
import { SlaacAddresses, type SlaacAddressIo } from "./slaac-addresses.ts";

/** A neighbour cache's times as a router wants them; undefined leaves them as they are. */
export interface NeighbourTimes {
  /** BaseReachableTime, which the cache randomizes. */
  readonly reachableMs: number | undefined;
  readonly retransMs: number | undefined;
}

export interface SlaacIo extends SlaacAddressIo {
  readonly outlet: Outlet;
  /** Sends a router solicitation, from the link-local address where there's a valid one. False where it cannot. */
  solicit(): boolean;
  /** Adds a route, or replaces the one of the same prefix, gateway and metric, whose end is another now. */
  addRoute(route: AdvertisedRoute): void;
  removeRoute(route: AdvertisedRoute): void;
  /** Bytes of an IPv6 packet on this link at most. */
  setMtu(bytes: number): void;
  /** Hop limit of packets that are sent. */
  setHopLimit(hops: number): void;
  setNeighbourTimes(times: NeighbourTimes): void;
  /** Name servers and search domains, whenever they changed. */
  dns(resolvers: Resolvers): void;
  /** Whether routers ask for DHCPv6, for addresses or for other things, whenever that changed. */
  dhcpFlags?(managed: boolean, otherConfiguration: boolean): void;
}

export interface SlaacOptions {
  /** Where interface identifiers come from. Default: the Ethernet address; `stable` hides that (RFC 8064 prefers it). */
  readonly identifiers?: IdentifierSource;
  /** Whether addresses are formed. Default: true. */
  readonly autonomous?: boolean;
}

export interface SlaacStatistics {
  readonly solicitations: number;
  /** Solicitations that could not be sent. */
  readonly unsent: number;
  readonly advertisements: number;
  /** Routes held, on-link prefixes included. */
  readonly routes: number;
  readonly addresses: number;
  /** Routes and prefixes that found no room. */
  readonly refused: number;
  /** Addresses formed that another host had. */
  readonly duplicates: number;
}

/** The longest that a router may ask for: RFC 4861 section 6.2.1. */
export const MAX_REACHABLE_MS = 3_600_000;
/** A router that asks for more solicitations a second than ten is wrong or worse; the kernel has the same bound. */
export const MIN_RETRANS_MS = 100;
const SECOND_MS = 1_000;
const LINK_LOCAL_PREFIX = Prefix.parse("fe80::/64");

export class Slaac {
  readonly #io: SlaacIo;
  readonly #identifiers: IdentifierSource;
  readonly #autonomous: boolean;
  readonly #solicitation: RouterSolicitation;
  readonly #routers: RouterList;
  readonly #addresses: SlaacAddresses;
  readonly #resolvers: ResolverList;
  #started = false;
  #closed = false;
  #solicitations = 0;
  #unsent = 0;
  #advertisements = 0;
  #mtu = 0;
  #hopLimit = 0;
  #times: NeighbourTimes = { reachableMs: undefined, retransMs: undefined };
  #flags = { managed: false, otherConfiguration: false };

  constructor(environment: Environment, io: SlaacIo, options: SlaacOptions = {}) {
    this.#io = io;
    this.#identifiers = options.identifiers ?? fromMac(io.outlet.mac);
    this.#autonomous = options.autonomous ?? true;
    this.#solicitation = new RouterSolicitation(environment, () => this.#solicit());
    this.#addresses = new SlaacAddresses(environment.timers, io, this.#identifiers);
    this.#resolvers = new ResolverList(environment.timers, (resolvers) => io.dns(resolvers));
    this.#routers = new RouterList(environment.timers, {
      addRoute: (route) => io.addRoute(route),
      removeRoute: (route) => io.removeRoute(route),
      noDefaultRouter: () => this.#lost(),
    });
  }

  /** The link is up: asks for routers, also those that were known before. */
  start(): void {
    if (this.#closed) return;
    this.#started = true;
    this.#solicitation.start();
  }

  /** The link is down: asks no more. What is configured stays for its lifetime. */
  stop(): void {
    this.#started = false;
    this.#solicitation.stop();
  }

  /**
   * The link-local address to begin with; `attempt` counts those that were duplicates. Undefined where there's no other
   * to try (RFC 4862 section 5.4.5: the interface then needs a human).
   */
  linkLocal(attempt = 0): IpAddress | undefined {
    const identifier = this.#identifiers(LINK_LOCAL_PREFIX.address, attempt);
    return identifier && IpAddress.words(LINK_LOCAL_PREFIX.address.w0, 0, ...identifier);
  }

  /** A router's advertisement, found good by RFC 4861 section 6.1.2. Its section 6.3.4 follows. */
  receive(router: IpAddress, advertisement: RouterAdvertisement): void {
    if (this.#closed) return;
    this.#advertisements += 1;
    this.#parameters(advertisement);
    this.#defaultRoute(router, advertisement);
    for (const option of advertisement.options) {
      switch (option.kind) {
        case "mtu":
          this.#setMtu(option.mtu);
          break;
        case "prefix-information":
          this.#prefix(option);
          break;
        case "route-information":
          this.#route(router, option);
          break;
        case "rdnss":
          this.#resolvers.advertisedServers(
            option.servers.filter(isServer),
            lifetime(option.lifetimeSeconds),
          );
          break;
        case "dnssl":
          this.#resolvers.advertisedDomains(option.domains, lifetime(option.lifetimeSeconds));
          break;
        default:
        // What the neighbour cache wants is there already, and unknown options say nothing.
      }
    }
    // RFC 7559 section 2.1: only a default route ends the search.
    if (this.#routers.defaultRouters().length > 0) this.#solicitation.stop();
  }

  /** Whether a router answers at all, by neighbour unreachability detection: others come first while it doesn't. */
  routerReachable(router: IpAddress, reachable: boolean): void {
    this.#routers.setReachable(router, reachable);
  }

  /** A neighbour said that it is no router any more (RFC 4861 section 7.2.5). */
  noRouter(address: IpAddress): void {
    this.#routers.forget(address);
  }

  /** An address was found to be a duplicate. True where it was formed here; another follows where there's one to try. */
  duplicate(address: IpAddress): boolean {
    return this.#addresses.duplicate(address);
  }

  /** Routers to send to by default, the best first. */
  defaultRouters(): readonly IpAddress[] {
    return this.#routers.defaultRouters();
  }

  /** Addresses formed. */
  addresses(): readonly IpAddress[] {
    return this.#addresses.addresses();
  }

  get resolvers(): Resolvers {
    return this.#resolvers.current;
  }

  /** Takes back all that was configured, as on a move to another network. */
  flush(): void {
    this.#routers.flush();
    this.#addresses.flush();
    this.#resolvers.flush();
  }

  statistics(): SlaacStatistics {
    return {
      solicitations: this.#solicitations,
      unsent: this.#unsent,
      advertisements: this.#advertisements,
      routes: this.#routers.size,
      addresses: this.#addresses.addresses().length,
      refused: this.#routers.refused + this.#addresses.refused,
      duplicates: this.#addresses.duplicates,
    };
  }

  /** Stops and forgets all without a word to io; idempotent. */
  close(): void {
    this.#closed = true;
    this.stop();
    this.#routers.close();
    this.#addresses.close();
    this.#resolvers.close();
  }

  #solicit(): void {
    if (this.#io.solicit()) this.#solicitations += 1;
    else this.#unsent += 1;
  }

  #lost(): void {
    if (this.#started && !this.#solicitation.active) this.#solicitation.start();
  }

  /** What the header says of the link; 0 says nothing. */
  #parameters({ hopLimit, reachableMs, retransMs, managed, otherConfiguration }: RouterAdvertisement): void {
    if (hopLimit !== 0 && hopLimit !== this.#hopLimit) this.#io.setHopLimit((this.#hopLimit = hopLimit));
    const times = {
      reachableMs: reachableMs > 0 && reachableMs <= MAX_REACHABLE_MS ? reachableMs : this.#times.reachableMs,
      retransMs:
        retransMs > 0
          ? Math.min(Math.max(retransMs, MIN_RETRANS_MS), MAX_REACHABLE_MS)
          : this.#times.retransMs,
    };
    if (times.reachableMs !== this.#times.reachableMs || times.retransMs !== this.#times.retransMs) {
      this.#io.setNeighbourTimes((this.#times = times));
    }
    if (managed === this.#flags.managed && otherConfiguration === this.#flags.otherConfiguration) return;
    this.#flags = { managed, otherConfiguration };
    this.#io.dhcpFlags?.(managed, otherConfiguration);
  }

  /** A route of length 0 takes the place of what the header says (RFC 4191 section 3.1). */
  #defaultRoute(router: IpAddress, { options, preference, lifetimeSeconds }: RouterAdvertisement): void {
    const named = options.find((option) => option.kind === "route-information" && option.prefixLength === 0);
    // The named one is set with the other options.
    if (named === undefined) this.#routers.setDefault(router, preference, lifetimeSeconds * SECOND_MS);
  }

  #route(router: IpAddress, { prefix, prefixLength, preference, lifetimeSeconds }: RouteInformation): void {
    const to = Prefix.of(prefix, prefixLength);
    if (isRoutable(to)) this.#routers.setRoute(to, router, preference, lifetime(lifetimeSeconds));
  }

  #setMtu(mtu: number): void {
    if (mtu === this.#mtu || mtu < MINIMUM_MTU || mtu > this.#io.outlet.mtu) return;
    this.#mtu = mtu;
    this.#io.setMtu(mtu);
  }

  #prefix(option: PrefixInformation): void {
    const prefix = Prefix.of(option.prefix, option.prefixLength);
    if (!isRoutable(prefix)) return;
    const validMs = lifetime(option.validSeconds);
    if (option.onLink) this.#routers.setOnLink(prefix, validMs);
    if (option.autonomous && this.#autonomous) {
      this.#addresses.advertised(prefix, lifetime(option.preferredSeconds), validMs);
    }
  }
}

const lifetime = (seconds: number): number => (seconds === INFINITE_SECONDS ? Infinity : seconds * SECOND_MS);

/** Link-local and multicast prefixes are nobody's to advertise (RFC 4861 section 6.3.4, RFC 4862 section 5.5.3 b). */
const isRoutable = ({ address, family }: Prefix): boolean =>
  family === 6 && !address.linkLocal && !address.multicast;

const isServer = (address: IpAddress): boolean =>
  !address.multicast && !address.unspecified && !address.loopback;
