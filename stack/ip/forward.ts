/**
 * Packets for somebody else on their way through the host (RFC 1812 section 5.2, RFC 8200): one hop less, out of another
 * interface, in the same frame where memory is shared.
 */
import type { Frame } from "../device/frame.ts";
import type { Network } from "../transport/network.ts";
import { keepPacket } from "../transport/packet-copy.ts";
import { CAST, type Packet } from "../transport/packet.ts";
import type { IpAddress } from "../wire/address.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as icmp4 from "../wire/icmpv4.ts";
import * as icmp6 from "../wire/icmpv6.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { completeChecksum } from "./complete-checksum.ts";
import { countFragments4, fragment4, PacketPieces } from "./fragments/fragments.ts";
import type { Icmp4 } from "./icmp/icmp4.ts";
import type { Icmp6 } from "./icmp/icmp6.ts";
import type { Interface } from "./interface.ts";
import type { Neighbour } from "./neighbours/neighbour.ts";
import { type Parked, ParkedFrame } from "./parked.ts";
import type { Reassembler } from "./fragments/reassembly.ts";
import type { Routing } from "./routing.ts";
import { Way } from "./way.ts";
import { WaySink } from "./way-sink.ts";

const LINK_LOCAL4 = 0xa9fe;
const LINK_LOCAL4_SHIFT = 16;
const OCTET_SHIFT = 24;
const LINK_LOCAL6 = 0xfe80 >>> 6;
const LINK_LOCAL6_SHIFT = 22;

export class Forwarder {
  readonly #network: Network;
  readonly #routing: Routing;
  readonly #icmp4: Icmp4;
  readonly #icmp6: Icmp6;
  readonly #reassembler: Reassembler;
  readonly #pieces = new PacketPieces();
  readonly #sink = new WaySink();

  constructor(network: Network, routing: Routing, icmp4: Icmp4, icmp6: Icmp6, reassembler: Reassembler) {
    this.#reassembler = reassembler;
    this.#network = network;
    this.#routing = routing;
    this.#icmp4 = icmp4;
    this.#icmp6 = icmp6;
  }

  /** Sends the packet, which came in a frame, on; or tells its sender why not. */
  forward(packet: Packet): void {
    const from = packet.interface as Interface;
    readHeader(packet);
    if (staysOnLink(packet)) return refuse(from);
    if (packet.ttl <= 1) {
      if (packet.family === 4)
        this.#icmp4.report(packet, icmp4.TYPE.TIME_EXCEEDED, icmp4.EXCEEDED.TRANSIT, 0, from.ownFor(packet));
      else
        this.#icmp6.report(packet, icmp6.TYPE.TIME_EXCEEDED, icmp6.EXCEEDED.TRANSIT, 0, from.ownFor(packet));
      return refuse(from);
    }
    const route = this.#routing.routes.lookup(packet.d0, packet.d1, packet.d2, packet.d3);
    const out = route?.kind === "unicast" ? this.#routing.interfaceOf(route.interface) : undefined;
    if (route === undefined || out === undefined || out.isLoopback || !out.link.up) {
      if (route?.kind !== "blackhole") this.#noRoute(packet, from, route?.kind === "prohibit");
      return refuse(from);
    }
    // Everybody of another network is not for strangers to speak to (RFC 2644).
    if (packet.family === 4 && out.addresses.isBroadcast4(packet.d3)) return refuse(from);
    const mtu = Math.min(out.mtuOf(packet.family), route.mtu ?? Infinity);
    if (packet.at + packet.length - packet.ipAt > mtu) return this.#tooBig(packet, from, out, mtu);
    const neighbour = this.#nextHop(packet, out, route.gateway);
    if (neighbour === undefined) return refuse(from);
    this.#send(packet, from, out, neighbour);
  }

  #nextHop(packet: Packet, out: Interface, gateway: IpAddress | undefined): Neighbour<Parked> | undefined {
    const neighbours = out.neighboursOf(packet.family);
    if (gateway !== undefined)
      return neighbours.lookup(gateway.w0, gateway.w1, gateway.w2, gateway.w3) ?? neighbours.resolve(gateway);
    return (
      neighbours.lookup(packet.d0, packet.d1, packet.d2, packet.d3) ?? neighbours.resolve(packet.destination)
    );
  }

  #send(packet: Packet, from: Interface, out: Interface, neighbour: Neighbour<Parked>): void {
    const { view, ipAt, family } = packet;
    const frame = packet.frame!;
    if (family === 4) ipv4.decrementTtl(view, ipAt);
    else ipv6.setHopLimit(view, ipAt, packet.ttl - 1);
    completeChecksum(packet);
    if (!fitHeader(packet, frame, from, out)) return refuse(from);
    const type = family === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6;
    out.link.writeHeader(view, frame.at, neighbour.macHigh, neighbour.macLow, type);
    const neighbours = out.neighboursOf(family);
    if (!neighbour.usable) {
      const kept = keepPacket(packet, false, this.#network);
      const lease = kept.frame!;
      neighbours.park(neighbour, new ParkedFrame(out.link, lease, () => this.#noAnswer(kept, from)));
      return;
    }
    neighbours.used(neighbour);
    if (frame.forward(out.link.device)) out.link.counters.forwarded += 1;
    else refuse(from);
  }

  /** Nobody answers for the next hop: the sender hears of it (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1). */
  #noAnswer(packet: Packet, from: Interface): void {
    const own = from.ownFor(packet);
    if (packet.family === 4)
      this.#icmp4.report(packet, icmp4.TYPE.DESTINATION_UNREACHABLE, icmp4.UNREACHABLE.HOST, 0, own);
    else this.#icmp6.report(packet, icmp6.TYPE.DESTINATION_UNREACHABLE, icmp6.UNREACHABLE.ADDRESS, 0, own);
  }

  #noRoute(packet: Packet, from: Interface, prohibited: boolean): void {
    const own = from.ownFor(packet);
    if (packet.family === 4) {
      const { NETWORK, PROHIBITED } = icmp4.UNREACHABLE;
      this.#icmp4.report(
        packet,
        icmp4.TYPE.DESTINATION_UNREACHABLE,
        prohibited ? PROHIBITED : NETWORK,
        0,
        own,
      );
    } else {
      const { NO_ROUTE, PROHIBITED } = icmp6.UNREACHABLE;
      this.#icmp6.report(
        packet,
        icmp6.TYPE.DESTINATION_UNREACHABLE,
        prohibited ? PROHIBITED : NO_ROUTE,
        0,
        own,
      );
    }
  }

  /** IPv6 is never cut on the way, IPv4 where it does not forbid it (RFC 1812 section 5.2.6, RFC 8200 section 4.5). */
  #tooBig(packet: Packet, from: Interface, out: Interface, mtu: number): void {
    const own = from.ownFor(packet);
    if (packet.family === 6) {
      this.#icmp6.report(packet, icmp6.TYPE.PACKET_TOO_BIG, 0, mtu, own);
      return refuse(from);
    }
    if (ipv4.dontFragment(packet.view, packet.ipAt)) {
      const rest = icmp4.restOfMtu(mtu);
      const code = icmp4.UNREACHABLE.FRAGMENTATION_NEEDED;
      this.#icmp4.report(packet, icmp4.TYPE.DESTINATION_UNREACHABLE, code, rest, own);
      return refuse(from);
    }
    if (!this.#cut(packet, out, mtu)) refuse(from);
  }

  /** Sends an IPv4 packet on in pieces; one of several chunks is gathered first. */
  #cut(packet: Packet, out: Interface, mtu: number): boolean {
    const { view, ipAt } = packet;
    const frame = packet.frame!;
    ipv4.decrementTtl(view, ipAt);
    completeChecksum(packet);
    if (frame.chunks === 1) return this.#cutAt(packet, view, ipAt, out, mtu);
    const reassembler = this.#reassembler;
    const slot = reassembler.gather(frame, ipAt - frame.at);
    if (slot < 0) return false;
    const done = this.#cutAt(packet, reassembler.view, reassembler.slotAt(slot), out, mtu);
    reassembler.free(slot);
    return done;
  }

  /** The same for the packet where it lies in one piece. */
  #cutAt(packet: Packet, view: DataView, at: number, out: Interface, mtu: number): boolean {
    const way = new Way(this.#routing, packet.destination, { source: packet.source, foreign: true });
    if (way.prepare() !== 0) return false;
    const pieces = this.#pieces.whole(view, at, ipv4.totalLength(view, at));
    const count = countFragments4(pieces, mtu);
    if (count < 0 || !WaySink.hasRoom(way, count, mtu)) return false;
    this.#sink.open(way);
    fragment4(pieces, mtu, ipv4.identification(view, at), this.#sink);
    this.#sink.close();
    out.link.counters.forwarded += 1;
    return true;
  }
}

const refuse = (from: Interface): void => void (from.link.counters.forwardRefused += 1);

/** What the input did not read, since the packet is not for us. */
const readHeader = (packet: Packet): void => {
  const { view, ipAt } = packet;
  packet.cast = CAST.unicast;
  if (packet.family === 4) {
    packet.at = ipAt + ipv4.headerBytes(view, ipAt);
    packet.length = ipAt + ipv4.totalLength(view, ipAt) - packet.at;
    // A later fragment has no transport header whose checksum could be looked at.
    packet.protocol = ipv4.isFragment(view, ipAt) ? NO_TRANSPORT : ipv4.protocol(view, ipAt);
  } else {
    packet.at = ipAt + ipv6.HEADER_BYTES;
    packet.length = ipv6.payloadLength(view, ipAt);
    packet.protocol = ipv6.nextHeader(view, ipAt);
  }
};
const NO_TRANSPORT = -1;

/** Addresses that don't leave their link (RFC 4291 section 2.5.6, RFC 3927 section 7), and nobody's. */
export const staysOnLink = (packet: Packet): boolean =>
  packet.family === 4
    ? packet.s3 >>> LINK_LOCAL4_SHIFT === LINK_LOCAL4 ||
      packet.d3 >>> LINK_LOCAL4_SHIFT === LINK_LOCAL4 ||
      packet.s3 >>> OCTET_SHIFT === 0 ||
      packet.d3 >>> OCTET_SHIFT === 0
    : packet.s0 >>> LINK_LOCAL6_SHIFT === LINK_LOCAL6 ||
      packet.d0 >>> LINK_LOCAL6_SHIFT === LINK_LOCAL6 ||
      (packet.s0 | packet.s1 | packet.s2 | packet.s3) === 0;

/** Makes room for the link header of the other side, which may have a tag where this one has none. */
const fitHeader = (packet: Packet, frame: Frame, from: Interface, out: Interface): boolean => {
  const growth = out.link.linkBytes - from.link.linkBytes;
  if (growth !== 0 && !frame.adjustHead(-growth)) return false;
  // Padding of short frames (IEEE 802.3) would travel on as if it were the packet's.
  const excess = frame.length - out.link.linkBytes - (packet.at + packet.length - packet.ipAt);
  return excess === 0 || frame.adjustTail(-excess);
};
