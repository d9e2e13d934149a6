/**
 * An interface whose addresses the kernel does not know: ARP, neighbour discovery, groups, and what configures it are ours.
 */
import type { Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";
import * as ethernet from "../wire/ethernet.ts";
import { TYPE } from "../wire/icmpv6.ts";
import type { MacAddress } from "../wire/mac.ts";
import { Prefix } from "../wire/prefix.ts";
import { type AddressChange, AddressBook, type InterfaceAddress } from "./addresses/addresses.ts";
import { Arp } from "./neighbours/arp.ts";
import { DhcpLife } from "./dhcp-life.ts";
import { Interface } from "./interface.ts";
import type { LifeHost } from "./life.ts";
import type { Link } from "./link.ts";
import { Groups } from "./groups/multicast.ts";
import { Answers, inquiryOf, overheard } from "./neighbours/inquiry.ts";
import { Ndp, type RedirectNotice } from "./neighbours/ndp.ts";
import { type Neighbour, NeighbourCache, type NeighbourIo } from "./neighbours/neighbours.ts";
import type { CheckedJoinOptions } from "./options.ts";
import type { Parked } from "./parked.ts";
import type { InterfaceProtocols, ProtocolStatistics } from "./protocols.ts";
import { Slaac } from "./slaac/slaac.ts";

const ANYWHERE4 = Prefix.parse("0.0.0.0/0");
const ANYWHERE6 = Prefix.parse("::/0");
const LINK_LOCAL_BITS = 64;
/** Routes to networks that we are in are better than any other. */
const CONNECTED_METRIC = 0;
/** How long a redirect is believed (RFC 4861 leaves it to the host; the same as a path's MTU). */
const REDIRECT_MS = 600_000;
const IPV4_BITS = 32;
const IPV6_BITS = 128;

export class OwnLife implements InterfaceProtocols {
  readonly interface: Interface;
  readonly #host: LifeHost;
  readonly #options: CheckedJoinOptions;
  readonly #link: Link;
  readonly #book: AddressBook;
  readonly #arp: Arp<Parked>;
  readonly #ndp: Ndp<Parked>;
  readonly #groups: Groups;
  readonly #slaac: Slaac;
  readonly #dhcp: DhcpLife | undefined;
  readonly #cache4: NeighbourCache<Parked>;
  readonly #cache6: NeighbourCache<Parked>;
  #linkLocalAttempts = 0;

  constructor(index: number, link: Link, options: CheckedJoinOptions, host: LifeHost) {
    const { environment } = host;
    this.#host = host;
    this.#options = options;
    this.#link = link;
    this.#book = new AddressBook(
      environment,
      {
        probe: (address, nonce) =>
          address.family === 4 ? this.#arp.probe(address) : this.#ndp.probe(address, nonce),
        announce: (address) => this.announce(address),
        changed: (entry, change) => this.#addressChanged(entry, change),
        joinGroup: (group) => void this.#groups.join(this, group),
        leaveGroup: (group) => void this.#groups.leave(this, group),
      },
      {
        ...(options.dadTimes4 === undefined ? {} : { times4: options.dadTimes4 }),
        ...(options.dadTimes6 === undefined ? {} : { times6: options.dadTimes6 }),
      },
    );
    this.#cache4 = new NeighbourCache(environment, this.#neighbourIo(4), options.neighbours);
    this.#cache6 = new NeighbourCache(environment, this.#neighbourIo(6), options.neighbours);
    const answers = new Answers();
    this.#arp = new Arp(environment, link, this.#book, overheard(this.#cache4, answers));
    this.#ndp = new Ndp(environment, link, this.#book, overheard(this.#cache6, answers), {
      routerAdvertised: (source, advertisement) => {
        if (options.slaac === true) this.#slaac.receive(source, advertisement);
      },
      redirected: (redirect) => this.redirected(redirect),
      noRouter: (address) => this.#slaac.noRouter(address),
    });
    this.#ndp.isRouter = host.forwarding;
    this.#groups = new Groups(environment, {
      outlet: link,
      source4: () => this.#first4(),
      linkLocal: () => this.#linkLocal(),
    });
    this.interface = new Interface({
      index,
      life: "own",
      link,
      addresses: this.#book,
      neighbours4: this.#cache4,
      neighbours6: this.#cache6,
      groups: this.#groups,
      protocols: this,
      inquiry: inquiryOf(
        answers,
        (neighbour, unicast) => this.#arp.solicit(neighbour, unicast),
        (neighbour, unicast) => this.#ndp.solicit(neighbour, unicast),
      ),
    });
    this.#slaac = this.#makeSlaac();
    this.#dhcp =
      options.dhcp === true
        ? new DhcpLife(this.interface, host, options.metric, options.dad === true)
        : undefined;
  }

  /** Gives the interface its addresses and routes. After it is known to the host, which hears of each. */
  start(): void {
    const { parsed, gateways, metric, dad, linkLocal = true } = this.#options;
    for (const { address, length } of parsed) {
      this.#book.add(address, length, { dad: dad ?? address.family === 6 });
      if (!(dad ?? address.family === 6)) this.#book.announce(address);
    }
    for (const gateway of gateways) {
      this.#host.routes.add({
        prefix: gateway.family === 4 ? ANYWHERE4 : ANYWHERE6,
        gateway,
        interface: this.interface.index,
        metric,
        kind: "unicast",
        origin: "manual",
      });
    }
    if (linkLocal) this.#addLinkLocal();
    if (this.#link.up) this.#begin();
  }

  receiveArp(view: DataView, at: number, lengthBytes: number, toMany: boolean): void {
    if (this.#isSiblings(view, at)) this.#arp.overhear();
    else this.#arp.receive(view, at, lengthBytes, toMany);
  }

  announce(address: IpAddress): void {
    if (address.family === 6) {
      this.#ndp.announce(address);
      return;
    }
    this.#arp.announce(address);
    // It may have been at another place a moment ago, so that everybody has to hear of it, in whichever form he believes.
    if (this.#book.find(address)?.origin === "service") this.#arp.announce(address, true);
  }

  tell(address: IpAddress, asker: IpAddress, mac: MacAddress): boolean {
    return address.family === 4 ? this.#arp.tell(address, mac) : this.#ndp.tell(address, asker, mac);
  }

  receiveIcmp6(packet: Packet, type: number): void {
    const { view, ipAt, at, length } = packet;
    if (type >= TYPE.ROUTER_SOLICITATION && type <= TYPE.REDIRECT) {
      // Fragments could hide from filters on the way (RFC 6980 section 5).
      if (packet.frame === undefined) return;
      if (this.#isSiblings(view, ipAt)) this.#ndp.overhear();
      else this.#ndp.receive(view, ipAt, at, length);
    } else this.#groups.receiveMld(view, ipAt, at, length);
  }

  receiveDhcp(packet: Packet): boolean {
    return this.#dhcp?.receive(packet) ?? false;
  }

  linkChanged(up: boolean): void {
    if (!up) {
      this.#slaac.stop();
      // Behind the next carrier others may be at their addresses, as the kernel knows (net/core/neighbour.c: neigh_carrier_down).
      this.#cache4.flush();
      this.#cache6.flush();
      return;
    }
    this.#book.linkUp();
    this.#groups.resend(4);
    this.#groups.resend(6);
    this.#begin();
  }

  redirected({ from, destination, target }: RedirectNotice): boolean {
    const first = this.#host.firstHop(this.interface, destination);
    if (this.#host.forwarding || first === undefined || !first.equals(from)) return false;
    // RFC 1122 section 3.2.2.2; a link-local target, or the destination itself, is on the link by what NDP says.
    if (target.family === 4 && !this.#isNear(target)) return false;
    const { now } = this.#host.environment.timers;
    return this.#host.routes.add({
      prefix: Prefix.of(destination, destination.family === 4 ? IPV4_BITS : IPV6_BITS),
      ...(target.equals(destination) ? {} : { gateway: target }),
      interface: this.interface.index,
      metric: CONNECTED_METRIC,
      kind: "unicast",
      origin: "redirect",
      expiresMs: now + REDIRECT_MS,
    });
  }

  /** Whom we were sent to doesn't answer: routes decide anew (RFC 4861 section 7.3.3: next-hop determination). */
  #forgetRedirects(target: IpAddress): void {
    const { routes } = this.#host;
    const { index } = this.interface;
    const { family } = target;
    const origin = "redirect";
    routes.remove({
      prefix: Prefix.of(target, family === 4 ? IPV4_BITS : IPV6_BITS),
      interface: index,
      origin,
    });
    if (routes.hop(index, family, target) === undefined) return;
    routes.removeWhere(
      (route) =>
        route.origin === origin && route.interface === index && route.gateway?.equals(target) === true,
    );
  }

  macChanged(): void {
    // What interfaces share is seen to by whoever has an eye on all of them.
    for (const { address, origin } of this.#book.values())
      if (origin !== "service") this.#book.announce(address);
  }

  close(): void {
    this.#dhcp?.close();
    this.#slaac.close();
    this.#arp.close();
    this.#ndp.close();
  }

  statistics(): ProtocolStatistics {
    return {
      addresses: this.#book.statistics(),
      neighbours4: this.#cache4.statistics(),
      neighbours6: this.#cache6.statistics(),
      arp: this.#arp.statistics(),
      ndp: this.#ndp.statistics(),
      groups: this.#groups.statistics(),
      slaac: this.#slaac.statistics(),
      dhcp: this.#dhcp?.statistics(),
    };
  }

  /** A frame of another interface of this host, which is on the same link. */
  #isSiblings(view: DataView, at: number): boolean {
    const linkAt = at - this.#link.linkBytes;
    const high = ethernet.sourceHigh(view, linkAt);
    return this.#host.isSibling(this.interface, high, ethernet.sourceLow(view, linkAt));
  }

  #begin(): void {
    if (this.#options.slaac === true) this.#slaac.start();
    this.#dhcp?.start();
  }

  #neighbourIo(family: 4 | 6): NeighbourIo<Parked> {
    return {
      solicit: (neighbour, unicast) =>
        family === 4 ? this.#arp.solicit(neighbour, unicast) : this.#ndp.solicit(neighbour, unicast),
      send: (parked, neighbour) => parked.leave(neighbour),
      discard: (parked, _neighbour, reason) => parked.drop(reason),
      changed: (neighbour) => this.#neighbourChanged(neighbour),
    };
  }

  #neighbourChanged(neighbour: Neighbour<Parked>): void {
    const { address, isRouter, usable, state } = neighbour;
    // Without a carrier nobody answers, and nobody is to blame.
    if (isRouter && address.family === 6 && this.#link.up)
      this.#slaac.routerReachable(address, usable || state === "incomplete");
    if (state === "failed") this.#forgetRedirects(address);
    this.#host.neighbourChanged(this.interface, neighbour);
  }

  #addressChanged(entry: InterfaceAddress, change: AddressChange): void {
    const { address, origin } = entry;
    this.interface.addressesChanged();
    if (change === "preferred" || change === "deprecated") this.#connect(entry);
    else if (change === "removed" || change === "expired" || change === "duplicated") this.#disconnect(entry);
    if (change === "preferred" && address.family === 6 && address.linkLocal) this.#groups.resend(6);
    if (change === "duplicated") {
      if (origin === "slaac") this.#slaac.duplicate(address);
      else if (origin === "link-local") this.#nextLinkLocal(address);
    }
    this.#dhcp?.addressChanged(entry, change);
    this.#host.addressChanged(this.interface, entry, change);
  }

  /** The network of an address is on the link; that of an address from routers only where they say so. */
  #connect({ address, prefix, origin }: InterfaceAddress): void {
    const whole = address.family === 4 ? IPV4_BITS : IPV6_BITS;
    if (origin === "slaac" || prefix.length === whole) return;
    this.#host.routes.add({
      prefix,
      interface: this.interface.index,
      metric: CONNECTED_METRIC,
      kind: "unicast",
      origin: "connected",
    });
  }

  #disconnect({ prefix }: InterfaceAddress): void {
    for (const other of this.#book.values()) {
      const assigned = other.state === "preferred" || other.state === "deprecated";
      if (assigned && other.prefix.equals(prefix)) return;
    }
    this.#host.routes.remove({ prefix, interface: this.interface.index, origin: "connected" });
  }

  #addLinkLocal(): void {
    const address = this.#slaac.linkLocal(this.#linkLocalAttempts);
    if (address !== undefined) {
      const dad = this.#options.dad ?? true;
      this.#book.add(address, LINK_LOCAL_BITS, { origin: "link-local", dad });
    }
  }

  #nextLinkLocal(duplicate: IpAddress): void {
    this.#linkLocalAttempts += 1;
    // Not from within the book's own call.
    this.#host.environment.timers.after(0, () => {
      this.#book.remove(duplicate);
      this.#addLinkLocal();
    });
  }

  /** Whether an address is that of another on a network of this interface. */
  #isNear({ w0, w1, w2, w3 }: IpAddress): boolean {
    const route = this.#host.routes.lookup(w0, w1, w2, w3, this.interface.index);
    if (route?.kind !== "unicast" || route.gateway !== undefined) return false;
    return !this.#book.has(w0, w1, w2, w3) && !this.#book.isBroadcast4(w3);
  }

  /** The address that reports of groups come from: the interface's own rather than one that others have too. */
  #first4(): IpAddress | undefined {
    let shared: IpAddress | undefined;
    for (const { address, state, origin } of this.#book.values()) {
      if (address.family !== 4 || state !== "preferred") continue;
      if (origin !== "service") return address;
      shared ??= address;
    }
    return shared;
  }

  #linkLocal(): IpAddress | undefined {
    for (const { address, state } of this.#book.values())
      if (address.family === 6 && address.linkLocal && state === "preferred") return address;
    return undefined;
  }

  #makeSlaac(): Slaac {
    const host = this.#host;
    const { index, link } = this.interface;
    return new Slaac(
      host.environment,
      {
        outlet: link,
        solicit: () => this.#ndp.solicitRouters(),
        addRoute: (route) =>
          void host.routes.add({ ...route, interface: index, kind: "unicast", origin: "ra" }),
        removeRoute: ({ prefix, gateway, metric }) =>
          void host.routes.remove({ prefix, gateway, metric, interface: index, origin: "ra" }),
        setMtu: (bytes) => {
          this.interface.advertisedMtu = bytes;
          host.changed();
        },
        setHopLimit: (hops) => {
          this.interface.hopLimit = hops;
          host.changed();
        },
        setNeighbourTimes: ({ reachableMs, retransMs }) => this.#cache6.setTimes(reachableMs, retransMs),
        dns: (resolvers) => host.resolversChanged(this.interface, resolvers),
        addAddress: (address, prefixLength, lifetimes) =>
          void this.#book.add(address, prefixLength, { origin: "slaac", ...lifetimes }),
        setLifetimes: (address, { preferredUntilMs, validUntilMs }) =>
          this.#book.setLifetimes(address, preferredUntilMs, validUntilMs),
        removeAddress: (address) => void this.#book.remove(address),
      },
      this.#options.identifiers === undefined ? {} : { identifiers: this.#options.identifiers },
    );
  }
}
