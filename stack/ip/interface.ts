/**
 * An interface of a host: its link, its addresses, its neighbours, and the frames that are turned around on it.
 */
import type { DestinationOptions, LinkInterface } from "../transport/network.ts";
import { CAST, type Packet } from "../transport/packet.ts";
import type { Family, IpAddress } from "../wire/address.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { AddressBook } from "./addresses/addresses.ts";
import type { IpStatistics } from "./counters.ts";
import type { Link } from "./link.ts";
import type { Groups } from "./groups/multicast.ts";
import type { Interceptor } from "./interceptor.ts";
import type { Inquiry } from "./neighbours/inquiry.ts";
import type { Neighbours } from "./neighbours/neighbour.ts";
import type { Parked } from "./parked.ts";
import type { PathMtus } from "./routes/path-mtu.ts";
import type { InterfaceProtocols, ProtocolStatistics } from "./protocols.ts";
import { type Candidate, chooseSource } from "./addresses/sources.ts";

/**
 * Who else lives on the interface: nobody ("own": the host answers for its addresses), the kernel, whose addresses it
 * shares ("beside"), or nobody at all, for the way to oneself ("loopback").
 */
export type Life = "own" | "beside" | "loopback";

/** What an interface is made of. */
export interface InterfaceParts {
  readonly index: number;
  readonly life: Life;
  readonly link: Link;
  readonly addresses: AddressBook;
  readonly neighbours4: Neighbours<Parked>;
  readonly neighbours6: Neighbours<Parked>;
  readonly groups: Groups;
  readonly protocols: InterfaceProtocols | undefined;
  /** Undefined where nobody else is on the link. */
  readonly inquiry?: Inquiry;
}

/** No second word of an address of either family that is ours: the memory of the last hit is empty. */
const NOTHING_HIT = 1;
/** The loopback network (RFC 1122 section 3.2.1.3 g). */
const LOOPBACK_OCTET = 127;
const OCTET_SHIFT = 24;

/** Stands for all interfaces among those whose fragments belong together; none has that number. */
export const EVERY_INTERFACE = 0;

/** Longer than any packet. Not infinity, which would make a double of every length that is compared with it. */
export const NO_LIMIT = 0x7fff_ffff;

/** What packets get where nobody says otherwise (RFC 1700, "assigned numbers": 64). */
const DEFAULT_TTL = 64;

export class Interface implements LinkInterface {
  readonly index: number;
  readonly life: Life;
  readonly link: Link;
  readonly addresses: AddressBook;
  readonly neighbours4: Neighbours<Parked>;
  readonly neighbours6: Neighbours<Parked>;
  readonly groups: Groups;
  /** What runs on it; undefined where the kernel does that, or where nobody else is on the link. */
  readonly protocols: InterfaceProtocols | undefined;
  /** Asks neighbours whether they are there; undefined where there are none. */
  readonly inquiry: Inquiry | undefined;
  /** Hop limit of what is sent; a router may say another (RFC 4861 section 4.2). */
  hopLimit = DEFAULT_TTL;
  /** Largest IPv6 packet, where a router says less than the link's. */
  advertisedMtu = NO_LIMIT;
  /** Largest IPv4 packet, where a lease says less than the link's (RFC 2132 section 5.1). */
  leasedMtu = NO_LIMIT;
  /** All its paths of that family are in use: what comes over it can be answered where it came from. */
  turns4 = true;
  turns6 = true;
  /** What paths are known to carry; the host's, while the interface belongs to one. */
  paths: PathMtus | undefined;
  /** Nobody sees its packets before the host does, and they count for no other interface. */
  plain: boolean;
  #interceptor: Interceptor | undefined;
  /** The address that was asked for last and is ours: most packets of a server go to one. */
  #hit0 = 0;
  #hit1 = NOTHING_HIT;
  #hit2 = 0;
  #hit3 = 0;

  constructor(parts: InterfaceParts) {
    this.index = parts.index;
    this.life = parts.life;
    this.link = parts.link;
    this.addresses = parts.addresses;
    this.neighbours4 = parts.neighbours4;
    this.neighbours6 = parts.neighbours6;
    this.groups = parts.groups;
    this.protocols = parts.protocols;
    this.inquiry = parts.inquiry;
    this.plain = !this.isLoopback;
  }

  /** Sees its packets before the host does; set by `Host.intercept`. */
  get interceptor(): Interceptor | undefined {
    return this.#interceptor;
  }

  set interceptor(interceptor: Interceptor | undefined) {
    this.#interceptor = interceptor;
    this.plain = interceptor === undefined && !this.isLoopback;
  }

  get name(): string {
    return this.link.name;
  }

  get mtu(): number {
    return this.link.mtu;
  }

  get isLoopback(): boolean {
    return this.life === "loopback";
  }

  /** Largest packet of a family in bytes. */
  mtuOf(family: Family): number {
    return Math.min(this.link.mtu, family === 4 ? this.leasedMtu : this.advertisedMtu);
  }

  /** TTL or hop limit of packets that don't say another. */
  ttlOf(family: Family): number {
    return family === 4 ? DEFAULT_TTL : this.hopLimit;
  }

  neighboursOf(family: Family): Neighbours<Parked> {
    return family === 4 ? this.neighbours4 : this.neighbours6;
  }

  hasAddress(w0: number, w1: number, w2: number, w3: number): boolean {
    if (w3 === this.#hit3 && w2 === this.#hit2 && w1 === this.#hit1 && w0 === this.#hit0) return true;
    if (!this.addresses.has(w0, w1, w2, w3)) {
      return this.isLoopback && w0 === 0 && w1 === 0 && w2 !== 0 && w3 >>> OCTET_SHIFT === LOOPBACK_OCTET;
    }
    this.#hit0 = w0;
    this.#hit1 = w1;
    this.#hit2 = w2;
    this.#hit3 = w3;
    return true;
  }

  /**
   * Where fragments of one packet to this address come in: here, or on any interface for one that all have (routers may send
   * each over another). Allocates nothing.
   */
  fragmentZone(w0: number, w1: number, w2: number, w3: number): number {
    return this.addresses.findWords(w0, w1, w2, w3)?.origin === "service" ? EVERY_INTERFACE : this.index;
  }

  /** To be called when an address came, went or changed. */
  addressesChanged(): void {
    this.#hit1 = NOTHING_HIT;
  }

  /** What RFC 6724 chooses from. */
  *candidates(): Iterable<Candidate> {
    for (const entry of this.addresses.values()) {
      yield {
        address: entry.address,
        prefixLength: entry.prefixLength,
        interface: this.index,
        state: entry.state,
        temporary: entry.temporary,
        everywhere: entry.origin === "service",
      };
    }
  }

  answerFrom(packet: Packet): IpAddress | undefined {
    return packet.cast === CAST.unicast ? packet.destination : this.ownFor(packet);
  }

  /** An address of this interface to write to the packet's sender from, whoever the packet was for. */
  ownFor(packet: Packet): IpAddress | undefined {
    return chooseSource(this.candidates(), packet.source, this.index)?.address;
  }

  /**
   * True where the packet's frame can go back out of this interface as it is. One to a group may have come over loopback,
   * and counts for this interface nevertheless.
   */
  canTurn(packet: Packet): boolean {
    const { frame } = packet;
    if (frame === undefined) return false;
    return packet.cast === CAST.unicast || this.link.device.queues.includes(frame.queue);
  }

  carries(packet: Packet, lengthBytes: number): boolean {
    return (packet.family === 4 ? this.turns4 : this.turns6) && this.fits(packet, lengthBytes);
  }

  /** True where the way back over this interface, whatever is known of its life, takes so many bytes in one piece. */
  fits({ family, s0, s1, s2, s3 }: Packet, lengthBytes: number): boolean {
    const total = (family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES) + lengthBytes;
    if (total > this.mtuOf(family)) return false;
    const { paths } = this;
    if (paths === undefined || paths.size === 0) return true;
    const known = paths.of(s0, s1, s2, s3);
    return known === 0 || (total <= known && !paths.fragmentable(s0, s1, s2, s3));
  }

  turnAround(
    packet: Packet,
    source: IpAddress | undefined,
    lengthBytes: number,
    trafficClass: number,
    ttl: number,
  ): void {
    const { view, ipAt } = packet;
    const frame = packet.frame!;
    const { link } = this;
    const linkAt = ipAt - link.linkBytes;
    // Not swapped, for the frame may have come to a group or to everybody.
    ethernet.setDestinationWords(
      view,
      linkAt,
      ethernet.sourceHigh(view, linkAt),
      ethernet.sourceLow(view, linkAt),
    );
    ethernet.setSourceWords(view, linkAt, link.macHigh, link.macLow);
    const headerBytes =
      packet.family === 4
        ? this.#turn4(packet, source, lengthBytes, trafficClass, ttl)
        : this.#turn6(packet, source, lengthBytes, trafficClass, ttl);
    const growth = link.linkBytes + headerBytes + lengthBytes - frame.length;
    if (growth !== 0) frame.adjustTail(growth);
    frame.send();
    link.counters.sent += 1;
  }

  /** For a host that answers one packet at a time: options of the way back to its sender. */
  wayBack(packet: Packet): DestinationOptions {
    return { source: this.answerFrom(packet), cameIn: this.isLoopback ? 0 : this.index };
  }

  #turn4(
    packet: Packet,
    source: IpAddress | undefined,
    lengthBytes: number,
    trafficClass: number,
    ttl: number,
  ): number {
    ipv4.writeHeader(
      packet.view,
      packet.ipAt,
      trafficClass,
      ipv4.HEADER_BYTES + lengthBytes,
      // Without fragments the identification says nothing (RFC 6864 section 4.1).
      0,
      ipv4.DONT_FRAGMENT,
      ttl || DEFAULT_TTL,
      packet.protocol,
      source === undefined ? packet.d3 : source.w3,
      packet.s3,
    );
    return ipv4.HEADER_BYTES;
  }

  #turn6(
    packet: Packet,
    source: IpAddress | undefined,
    lengthBytes: number,
    trafficClass: number,
    ttl: number,
  ): number {
    const { view, ipAt } = packet;
    ipv6.writeHeader(view, ipAt, trafficClass, 0, lengthBytes, packet.protocol, ttl || this.hopLimit);
    ipv6.swapAddresses(view, ipAt);
    if (source !== undefined) ipv6.setSource(view, ipAt, source);
    return ipv6.HEADER_BYTES;
  }

  /** Counters of its packets, and of what configures it where that is the host. */
  statistics(): { readonly ip: IpStatistics; readonly protocols: ProtocolStatistics | undefined } {
    return { ip: { ...this.link.counters }, protocols: this.protocols?.statistics() };
  }

  /** Ends what runs on it. */
  close(): void {
    this.protocols?.close();
    this.groups.close();
    this.addresses.close();
    this.neighbours4.close();
    this.neighbours6.close();
  }
}
