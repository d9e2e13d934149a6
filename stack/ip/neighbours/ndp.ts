/**
 * Neighbour discovery on one interface (RFC 4861 sections 6 to 8, RFC 4862 section 5.4): judges what comes, answers, and
 * hears who uses which address.
 *
 * What it learns goes to the neighbour cache and the address book, as with ARP; advertisements of routers and redirects
 * go on to its io once they are found good.
 */
import type { IpAddress } from "../../wire/address.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import type { MacAddress } from "../../wire/mac.ts";
import * as ndp from "../../wire/ndp.ts";
import type { AddressBook } from "../addresses/addresses.ts";
import type { Environment, Outlet, TimerSource } from "../environment.ts";
import { NdpSender, type NdpSenderStatistics } from "./ndp-sender.ts";
import type { Neighbour, NeighbourLearner } from "./neighbour.ts";
import { type Rate, TokenBucket } from "../icmp/rate-limit.ts";

/** Answers in one second, and at once: as many as those of ARP. */
export const ADVERTISEMENT_RATE: Rate = { perSecond: 4096, burst: 1024 };

/** A redirect that is good in itself (RFC 4861 section 8.1). */
export interface RedirectNotice {
  /** The router that says so, link-local; good only where it is the first hop now. */
  readonly from: IpAddress;
  readonly destination: IpAddress;
  /** The better first hop; the destination itself where that is on the link. */
  readonly target: IpAddress;
}

export interface NdpIo {
  /** A router spoke; what it says of its own Ethernet address is noted already. */
  routerAdvertised(source: IpAddress, advertisement: ndp.RouterAdvertisement): void;
  /** True where it is believed: `from` is the first hop to the destination. */
  redirected(redirect: RedirectNotice): boolean;
  /** A neighbour that was a router advertised that it is none any more. */
  noRouter?(address: IpAddress): void;
}

export interface NdpOptions {
  /** Answers at most. Default: ADVERTISEMENT_RATE. */
  readonly advertisementRate?: Rate;
}

export interface NdpStatistics extends NdpSenderStatistics {
  readonly received: number;
  /** What RFC 4861 sections 6.1, 7.1 and 8.1 want discarded: a hop limit below 255, a code, options, addresses. */
  readonly malformed: number;
  /** Solicitations for others, router solicitations, redirects that were not believed. */
  readonly ignored: number;
  /** Our own packets that came back, and those of other interfaces of ours on the link. */
  readonly own: number;
  /** Questions that another interface of ours on the link answers. */
  readonly left: number;
  /** Advertisements by another of an address of ours. */
  readonly conflicting: number;
  /** Answers that the rate forbade. */
  readonly throttled: number;
  /** Answers put off until the asker's Ethernet address is known; it asks again. */
  readonly unanswered: number;
  /** Requests that were not sent for want of an address of ours. */
  readonly sourceless: number;
}

/** One message with what its packet says. */
interface Heard {
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

export class Ndp<P> {
  readonly #timers: TimerSource;
  readonly #outlet: Outlet;
  readonly #addresses: AddressBook;
  readonly #neighbours: NeighbourLearner<P>;
  readonly #io: NdpIo;
  readonly #answers: TokenBucket;
  readonly #sender: NdpSender;
  readonly #counts = {
    received: 0,
    malformed: 0,
    ignored: 0,
    own: 0,
    left: 0,
    conflicting: 0,
    throttled: 0,
    unanswered: 0,
    sourceless: 0,
  };
  #closed = false;

  constructor(
    environment: Environment,
    outlet: Outlet,
    addresses: AddressBook,
    neighbours: NeighbourLearner<P>,
    io: NdpIo,
    options: NdpOptions = {},
  ) {
    this.#timers = environment.timers;
    this.#outlet = outlet;
    this.#addresses = addresses;
    this.#neighbours = neighbours;
    this.#io = io;
    this.#answers = new TokenBucket(options.advertisementRate ?? ADVERTISEMENT_RATE, this.#timers.now);
    this.#sender = new NdpSender(outlet);
  }

  /** What advertisements say of us: we forward packets of others. Default: false. */
  get isRouter(): boolean {
    return this.#sender.isRouter;
  }

  set isRouter(value: boolean) {
    this.#sender.isRouter = value;
  }

  /**
   * Handles an ICMPv6 message of types 133 to 137: the IPv6 header is at `ipAt`, `length` bytes of message at `at`. Its
   * checksum is good, and it did not come in fragments (RFC 6980 section 5).
   */
  receive(view: DataView, ipAt: number, at: number, length: number): void {
    if (this.#closed) return;
    this.#counts.received += 1;
    const message = ndp.parse(view, at, length);
    const heard = { source: ipv6.source(view, ipAt), destination: ipv6.destination(view, ipAt) };
    const isFromLink = ipv6.hopLimit(view, ipAt) === ndp.HOP_LIMIT;
    if (message === undefined || !isFromLink || !isPossible(heard, message)) this.#counts.malformed += 1;
    else this.#handle(heard, message);
  }

  /** Another interface of ours on the link said something: no news, and no conflict. */
  overhear(): void {
    this.#counts.received += 1;
    this.#counts.own += 1;
  }

  /**
   * Asks for a neighbour's Ethernet address: the group that it is in, or itself whether it still has it. False where it
   * couldn't be sent.
   */
  solicit(neighbour: Pick<Neighbour<P>, "address" | "mac">, unicast: boolean): boolean {
    const source = this.#addresses.sourceFor(neighbour.address);
    // A solicitation from :: would be a probe for an address (RFC 4861 section 7.2.2).
    if (source === undefined) {
      this.#counts.sourceless += 1;
      return false;
    }
    if (this.#closed) return false;
    return this.#sender.solicit(source, neighbour.address, unicast ? neighbour.mac : undefined);
  }

  /** Asks whether another has the address. False where it couldn't be sent. */
  probe(address: IpAddress, nonce: Uint8Array): boolean {
    return !this.#closed && this.#sender.probe(address, nonce);
  }

  /** Tells all that the address is here (RFC 4861 section 7.2.6); caches that have it at another place update it. */
  announce(address: IpAddress): boolean {
    return !this.#closed && this.#sender.advertise(address, undefined, undefined);
  }

  /** Tells one station that the address is here. */
  tell(address: IpAddress, asker: IpAddress, mac: MacAddress): boolean {
    return !this.#closed && this.#sender.advertise(address, asker, mac, false);
  }

  /** Asks the routers to speak, from a link-local address where there is one yet (RFC 4861 section 6.3.7). */
  solicitRouters(): boolean {
    for (const { address, state } of this.#addresses.values()) {
      if (address.family === 6 && address.linkLocal && state === "preferred")
        return !this.#closed && this.#sender.solicitRouters(address);
    }
    return !this.#closed && this.#sender.solicitRouters(undefined);
  }

  statistics(): NdpStatistics {
    return { ...this.#sender.statistics(), ...this.#counts };
  }

  /** Sends and learns nothing more. Idempotent. */
  close(): void {
    this.#closed = true;
  }

  #handle(heard: Heard, message: ndp.NdpRecord): void {
    switch (message.kind) {
      case "neighbour-solicitation":
        return this.#solicitation(heard, message);
      case "neighbour-advertisement":
        return this.#advertisement(message);
      case "router-advertisement":
        return this.#routerAdvertisement(heard, message);
      case "redirect":
        return this.#redirect(heard, message);
      case "router-solicitation":
        // Hosts discard them (RFC 4861 section 6.2.6), and what forwards here does not advertise itself.
        this.#counts.ignored += 1;
    }
  }

  /** RFC 4861 section 7.2.3; for tentative addresses RFC 4862 section 5.4.3. */
  #solicitation({ source, destination }: Heard, message: ndp.NeighbourSolicitation): void {
    const { target } = message;
    const { w0, w1, w2, w3 } = target;
    const told = linkLayer(message.options, "source-link-layer");
    // That of a group is nobody's to be answered at.
    const mac = told?.multicast === true ? undefined : told;
    if (this.#isOurs(source) || mac?.equals(this.#outlet.mac)) this.#counts.own += 1;
    else if (!this.#addresses.has(w0, w1, w2, w3)) {
      this.#counts.ignored += 1;
      if (source.unspecified) this.#addresses.probed(target, nonceOf(message.options));
    } else {
      if (mac !== undefined) this.#neighbours.solicited(source, mac);
      if (!this.#addresses.answers(target, source, mac, destination.multicast)) this.#counts.left += 1;
      else if (source.unspecified) this.#answer(target, undefined, undefined);
      else this.#answerNeighbour(target, source, mac);
    }
  }

  /** RFC 4861 section 7.2.5; for our own addresses RFC 4862 section 5.4.4. */
  #advertisement(message: ndp.NeighbourAdvertisement): void {
    const mac = linkLayer(message.options, "target-link-layer");
    if (mac?.equals(this.#outlet.mac)) this.#counts.own += 1;
    else if (this.#addresses.claimed(message.target)) this.#counts.conflicting += 1;
    else {
      const was = this.#isRouter(message.target);
      this.#neighbours.advertised(message.target, mac, message);
      // RFC 4861 section 7.2.5: what was a router and is one no more must not be sent to as one.
      if (was === true && this.#isRouter(message.target) === false) this.#io.noRouter?.(message.target);
    }
  }

  /** What the cache says of a neighbour; undefined where it does not know it. */
  #isRouter({ w0, w1, w2, w3 }: IpAddress): boolean | undefined {
    return this.#neighbours.lookup(w0, w1, w2, w3)?.isRouter;
  }

  /** The part of RFC 4861 section 6.3.4 that is about the neighbour. */
  #routerAdvertisement({ source }: Heard, message: ndp.RouterAdvertisement): void {
    const mac = linkLayer(message.options, "source-link-layer");
    if (this.#isOurs(source) || mac?.equals(this.#outlet.mac)) return void (this.#counts.own += 1);
    if (mac === undefined) this.#neighbours.setRouter(source, true);
    else this.#neighbours.solicited(source, mac, true);
    this.#io.routerAdvertised(source, message);
  }

  /** RFC 4861 section 8.3. */
  #redirect({ source }: Heard, { target, destination, options }: ndp.Redirect): void {
    if (this.#isOurs(target) || !this.#io.redirected({ from: source, destination, target }))
      return void (this.#counts.ignored += 1);
    const mac = linkLayer(options, "target-link-layer");
    // A target that is not the destination forwards to it.
    if (mac !== undefined)
      this.#neighbours.solicited(target, mac, target.equals(destination) ? undefined : true);
  }

  /** To the address that the cache has, else to the one that the asker told, else once it is found out. */
  #answerNeighbour(target: IpAddress, asker: IpAddress, told: MacAddress | undefined): void {
    const { w0, w1, w2, w3 } = asker;
    const neighbour = this.#neighbours.lookup(w0, w1, w2, w3);
    const mac = neighbour?.mac ?? told;
    if (mac === undefined) {
      this.#counts.unanswered += 1;
      if (neighbour === undefined) this.#neighbours.resolve(asker);
    } else if (this.#answer(target, asker, mac) && neighbour !== undefined) this.#neighbours.used(neighbour);
  }

  #answer(target: IpAddress, asker: IpAddress | undefined, mac: MacAddress | undefined): boolean {
    if (this.#answers.take(this.#timers.now)) return this.#sender.advertise(target, asker, mac);
    this.#counts.throttled += 1;
    return false;
  }

  #isOurs({ w0, w1, w2, w3 }: IpAddress): boolean {
    return this.#addresses.has(w0, w1, w2, w3);
  }
}

/** What RFC 4861 sections 6.1.2, 7.1 and 8.1 say of a message and the addresses of its packet. */
const isPossible = ({ source, destination }: Heard, message: ndp.NdpRecord): boolean => {
  // IPv4-mapped addresses are never on the wire.
  if (source.multicast || source.family === 4) return false;
  switch (message.kind) {
    case "neighbour-solicitation":
      return (
        !source.unspecified ||
        (destination.equals(message.target.solicitedNode()) &&
          linkLayer(message.options, "source-link-layer") === undefined)
      );
    case "neighbour-advertisement":
      return !source.unspecified && !(destination.multicast && message.solicited);
    case "router-advertisement":
      return source.linkLocal;
    case "redirect":
      return source.linkLocal && (message.target.linkLocal || message.target.equals(message.destination));
    case "router-solicitation":
      return !source.unspecified || linkLayer(message.options, "source-link-layer") === undefined;
  }
};

const linkLayer = (
  options: readonly ndp.NdpOption[],
  kind: "source-link-layer" | "target-link-layer",
): MacAddress | undefined => {
  for (const option of options) if (option.kind === kind) return option.mac;
  return undefined;
};

const nonceOf = (options: readonly ndp.NdpOption[]): Uint8Array | undefined => {
  for (const option of options) if (option.kind === "nonce") return option.nonce;
  return undefined;
};
