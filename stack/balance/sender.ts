/**
 * Sends packets on to their backend, in the frame that they came in: under another Ethernet header, or in another packet.
 *
 * A balancer is a router to what it sends on: the time to live counts down, so that a packet which a backend sends back by mistake
 * does not go round for ever, and what is too long is cut or refused as on any other hop.
 */
import type { Queue } from "../device/device.ts";
import type { Frame } from "../device/frame.ts";
import { completeChecksum } from "../ip/complete-checksum.ts";
import { staysOnLink } from "../ip/forward.ts";
import { countFragments4, fragment4, PacketPieces } from "../ip/fragments/fragments.ts";
import type { TransitReports } from "../ip/icmp/transit-reports.ts";
import type { Interface } from "../ip/interface.ts";
import type { Neighbour } from "../ip/neighbours/neighbour.ts";
import { type Parked, ParkedFrame } from "../ip/parked.ts";
import type { Packet } from "../transport/packet.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Backend } from "./backend.ts";
import type { BalanceCounters } from "./counters.ts";
import type { Hop } from "./hop.ts";
import { PieceSink } from "./piece-sink.ts";
import { outerBytes, writeOuter } from "./tunnel.ts";

/** A router that takes the last hop of a packet's life does not send it on (RFC 1812 section 5.3.1). */
const LAST_HOP = 1;

export class Sender {
  readonly #reports: TransitReports;
  readonly #counters: BalanceCounters;
  readonly #pieces = new PacketPieces();
  readonly #sink = new PieceSink();

  constructor(reports: TransitReports, counters: BalanceCounters) {
    this.#reports = reports;
    this.#counters = counters;
  }

  /**
   * Sends the packet, which lies in a frame, to a backend; `flow` is the hash of its flow. True where it went; a packet that did
   * not is counted, its sender told where that is due, and its frame ends with the handler's call.
   */
  send(packet: Packet, backend: Backend, flow: number): boolean {
    const { hop } = backend;
    const counters = this.#counters;
    if (packet.ttl <= LAST_HOP) {
      counters.expired += 1;
      this.#reports.timeExceeded(packet);
      return false;
    }
    const tunnel = backend.mode === "tunnel";
    const isWay = hop.ready() && (!tunnel || hop.source !== undefined);
    if (!isWay || ((tunnel || hop.out !== packet.interface) && staysOnLink(packet))) {
      counters.unreachable += 1;
      this.#reports.unreachable(packet);
      return false;
    }
    const outer = tunnel ? outerBytes(hop.address.family) : 0;
    const bytes = packet.at + packet.length - packet.ipAt;
    const sent =
      outer + bytes > hop.mtu ? this.#long(packet, hop, outer, flow) : this.#whole(packet, hop, outer, flow);
    if (!sent) return false;
    counters.forwarded += 1;
    if (tunnel) counters.tunnelled += 1;
    backend.packets += 1;
    backend.bytes += bytes;
    return true;
  }

  #whole(packet: Packet, hop: Hop, outer: number, flow: number): boolean {
    const { view, ipAt, family } = packet;
    const frame = packet.frame!;
    const { out, neighbour } = hop;
    const trafficClass = outer > 0 ? packet.trafficClass : 0;
    const bytes = packet.at + packet.length - ipAt;
    if (!fitHeaders(frame, ipAt, bytes, out.link.linkBytes + outer)) {
      this.#counters.full += 1;
      return false;
    }
    if (family === 4) ipv4.decrementTtl(view, ipAt);
    else ipv6.setHopLimit(view, ipAt, packet.ttl - 1);
    completeChecksum(packet);
    let outerFamily = family;
    if (outer > 0) {
      writeOuter(view, ipAt - outer, family, bytes, trafficClass, hop.source!, hop.address, flow);
      outerFamily = hop.address.family;
    }
    const type = outerFamily === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6;
    out.link.writeHeader(view, frame.at, neighbour.macHigh, neighbour.macLow, type);
    return this.#leave(frame, hop);
  }

  #leave(frame: Frame, hop: Hop): boolean {
    const { out, neighbour, neighbours } = hop;
    if (!neighbour.usable) {
      // Only those of the host's can be without an Ethernet address.
      const parked = new ParkedFrame(out.link, frame.keep(), () => void (this.#counters.unresolved += 1));
      neighbours!.park(neighbour as Neighbour<Parked>, parked);
      return true;
    }
    neighbours?.used(neighbour as Neighbour<Parked>);
    if (frame.forward(out.link.device)) {
      out.link.counters.forwarded += 1;
      return true;
    }
    this.#counters.full += 1;
    return false;
  }

  /** What is longer than the way carries: IPv6 is never cut, IPv4 where it does not forbid it (RFC 2003 section 3.1). */
  #long(packet: Packet, hop: Hop, outer: number, flow: number): boolean {
    const mtu = hop.mtu - outer;
    if (packet.family === 4 && !ipv4.dontFragment(packet.view, packet.ipAt))
      return this.#cut(packet, hop, outer, flow);
    this.#counters.tooBig += 1;
    // What every IPv6 link carries nobody may refuse (RFC 2473 section 7.1): a tunnel over a link that has no room for it is broken.
    this.#reports.tooBig(packet, packet.family === 6 ? Math.max(mtu, ipv6.MINIMUM_MTU) : mtu);
    return false;
  }

  /** Cuts first and tunnels the pieces, so that the backend's end of the tunnel has nothing to put together. */
  #cut(packet: Packet, hop: Hop, outer: number, flow: number): boolean {
    const { view, ipAt } = packet;
    const frame = packet.frame!;
    const queue = queueOf(hop.out, frame.queue);
    const pieces = this.#pieces.whole(view, ipAt, ipv4.totalLength(view, ipAt));
    const mtu = hop.mtu - outer;
    // One of several chunks is of a link of jumbo frames, whose senders do better than to let routers cut them.
    const count = frame.chunks === 1 ? countFragments4(pieces, mtu) : 0;
    if (count <= 0 || !hop.neighbour.usable || !PieceSink.hasRoom(hop, queue, count, hop.mtu)) {
      this.#counters.full += 1;
      return false;
    }
    ipv4.decrementTtl(view, ipAt);
    completeChecksum(packet);
    this.#sink.open(hop, queue, outer, packet.trafficClass, flow);
    fragment4(pieces, mtu, ipv4.identification(view, ipAt), this.#sink);
    hop.out.link.counters.forwarded += 1;
    this.#counters.cut += 1;
    return true;
  }
}

/** The queue of a device that frames of another one's queue go to: they correspond by number. */
const queueOf = (out: Interface, from: Queue): Queue => {
  const { queues } = out.link.device;
  return queues[from.index % queues.length]!;
};

/** Makes the frame begin `front` bytes before the packet and end with it: padding (IEEE 802.3) would travel on as a part of it. */
const fitHeaders = (frame: Frame, ipAt: number, bytes: number, front: number): boolean => {
  const growth = front - (ipAt - frame.at);
  if (growth !== 0 && !frame.adjustHead(-growth)) return false;
  const excess = frame.length - front - bytes;
  return excess === 0 || frame.adjustTail(-excess);
};
