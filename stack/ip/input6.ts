/**
 * IPv6 packets on their way in (RFC 8200, RFC 4291 section 2.8): judged, put together, handed over.
 */
import type { Frame } from "../device/frame.ts";
import { CAST, type Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import { PROBLEM } from "../wire/icmpv6.ts";
import * as extensions from "../wire/ipv6-extensions.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import type { InputPolicy } from "./handlers.ts";
import type { Interface } from "./interface.ts";
import type { Reassembler } from "./fragments/reassembly.ts";
import type { Slots } from "./fragments/slots.ts";

/** The first octet of a group. */
const GROUP_OCTET = 0xff;
const OCTET_SHIFT = 24;
/** Bits of a group's second octet that say how far it reaches; interface-local ones never come from a link. */
const SCOPE_SHIFT = 16;
const SCOPE_MASK = 0xf;
const INTERFACE_LOCAL = 1;
const LOOPBACK_WORD = 1;

export class Input6 {
  readonly #packet: Packet;
  readonly #policy: InputPolicy;
  readonly #reassembler: Reassembler;
  readonly #slots: Slots;
  readonly #walk = new extensions.Walk();
  /** The packet of the present frame says that we sent it. */
  #forged = false;

  constructor(packet: Packet, policy: InputPolicy, reassembler: Reassembler, slots: Slots) {
    this.#packet = packet;
    this.#policy = policy;
    this.#reassembler = reassembler;
    this.#slots = slots;
  }

  /**
   * The IP packet at `ipAt` in `frame`, of at most `length` bytes, which came `from` one interface and counts for `on`:
   * another where it came over loopback. `group` where the frame was not for one station.
   */
  receive(from: Interface, on: Interface, frame: Frame, ipAt: number, length: number, group: boolean): void {
    const { view } = frame;
    const here = frame.head - (ipAt - frame.at);
    if (here < ipv6.HEADER_BYTES || ipv6.check(view, ipAt, length) < 0) {
      on.link.counters.malformed += 1;
      return;
    }
    const packet = this.#packet;
    packet.view = view;
    packet.bytes = frame.bytes;
    packet.frame = frame;
    packet.slot = -1;
    packet.interface = on;
    packet.ipAt = ipAt;
    this.read(packet);
    // One station's address in a frame to many is somebody's mistake, or worse, as with IPv4.
    const mistaken = group && packet.d0 >>> OCTET_SHIFT !== GROUP_OCTET;
    if (mistaken || isOdd(packet, from)) {
      on.link.counters.martian += 1;
      return;
    }
    this.#forged = !from.isLoopback && this.#policy.isForged(packet);
    this.#sort(on, packet);
  }

  #sort(on: Interface, packet: Packet): void {
    const { d0, d1, d2, d3, frame } = packet;
    if (on.hasAddress(d0, d1, d2, d3) || this.#policy.isOurs(packet)) packet.cast = CAST.unicast;
    else if (d0 >>> OCTET_SHIFT !== GROUP_OCTET) {
      // A tentative address takes neighbour discovery only, which comes to its group (RFC 4862 section 5.4).
      this.#policy.elsewhere(packet);
      return;
    } else {
      packet.cast = CAST.multicast;
      if (!this.#policy.isMember(packet)) {
        on.link.counters.noMember += 1;
        if (on.life === "beside") this.#policy.pass(on, frame!);
        return;
      }
    }
    if (frame!.chunks === 1) {
      this.#deliver(on, packet);
      return;
    }
    const slot = this.#reassembler.gather(frame!, packet.ipAt - frame!.at);
    if (slot >= 0) this.#fromSlot(on, packet, slot);
  }

  /** The packet in a slot of the reassembler's, which goes back when nobody keeps it. */
  #fromSlot(on: Interface, packet: Packet, slot: number): void {
    const reassembler = this.#reassembler;
    packet.view = reassembler.view;
    packet.bytes = reassembler.bytes;
    packet.frame = undefined;
    packet.slot = slot;
    packet.ipAt = reassembler.slotAt(slot);
    try {
      this.#deliver(on, packet);
    } finally {
      this.#slots.delivered(slot);
    }
  }

  /** To the upper protocol, past the extension headers. */
  #deliver(on: Interface, packet: Packet): void {
    const { view, ipAt } = packet;
    const payload = ipv6.payloadLength(view, ipAt);
    packet.protocol = ipv6.nextHeader(view, ipAt);
    packet.at = ipAt + ipv6.HEADER_BYTES;
    packet.length = payload;
    packet.plain = on.canTurn(packet);
    if (extensions.isExtension(packet.protocol) && !this.#pastExtensions(on, packet)) return;
    const nobody = (packet.s0 | packet.s1 | packet.s2 | packet.s3) === 0;
    if (packet.protocol !== PROTOCOL.ICMPV6 && (nobody || this.#forged)) {
      // Nobody without an address says anything but neighbour discovery (RFC 4291 section 2.5.2); that also hears of
      // others who have an address of ours.
      on.link.counters.martian += 1;
      return;
    }
    const foreign = packet.protocol === PROTOCOL.ICMP || packet.protocol === PROTOCOL.IGMP;
    const handler = foreign ? undefined : this.#policy.handlers[packet.protocol];
    if (handler === undefined) {
      if (packet.protocol === PROTOCOL.NONE) return void (on.link.counters.delivered += 1);
      on.link.counters.unknownProtocol += 1;
      this.#policy.refused(packet, "protocol");
      return;
    }
    on.link.counters.delivered += 1;
    if (!handler.receive(packet)) this.#policy.refused(packet, "port");
  }

  /** False where the packet ended in its extension headers: as a fragment, or with what can't be read. */
  #pastExtensions(on: Interface, packet: Packet): boolean {
    const found = this.#walk;
    const { view } = packet;
    const bad = extensions.walk(view, packet.at, packet.length, packet.protocol, found);
    packet.plain = false;
    if (bad < 0) {
      this.#unreadable(on, packet, bad);
      return false;
    }
    if (found.protocol === PROTOCOL.FRAGMENT) {
      this.#fragment(on, packet, found.at);
      return false;
    }
    packet.protocol = found.protocol;
    packet.at = found.at;
    packet.length = found.length;
    return true;
  }

  #fragment(on: Interface, packet: Packet, fragmentAt: number): void {
    const { view, ipAt } = packet;
    on.link.counters.fragments += 1;
    const total = ipv6.totalLength(view, ipAt);
    const zone = on.fragmentZone(packet.d0, packet.d1, packet.d2, packet.d3);
    const slot = this.#reassembler.add6(view, ipAt, total, fragmentAt, zone);
    if (slot >= 0) this.#fromSlot(on, packet, slot);
  }

  /** Where the field is that names the packet's protocol, as of the last delivery. */
  namedAt(packet: Packet): number {
    return packet.at === packet.ipAt + ipv6.HEADER_BYTES
      ? packet.ipAt + ipv6.NEXT_HEADER
      : this.#walk.namedAt;
  }

  #unreadable(on: Interface, packet: Packet, bad: number): void {
    on.link.counters.malformed += 1;
    const found = this.#walk;
    const { BAD, ACTION } = extensions;
    if (bad === BAD.option) {
      const silent =
        found.action === ACTION.DISCARD ||
        (found.action === ACTION.REPORT_UNICAST && packet.cast === CAST.multicast);
      if (!silent) this.#policy.problem(packet, PROBLEM.OPTION, found.problemAt);
    } else if (bad === BAD.order) this.#policy.problem(packet, PROBLEM.NEXT_HEADER, found.problemAt);
    else if (bad === BAD.routing) this.#policy.problem(packet, PROBLEM.HEADER_FIELD, found.problemAt);
  }

  /** Takes the addresses out of the packet at `ipAt`. */
  read(packet: Packet): void {
    const { view, ipAt } = packet;
    packet.family = 6;
    packet.s0 = ipv6.sourceWord(view, ipAt, 0);
    packet.s1 = ipv6.sourceWord(view, ipAt, 1);
    packet.s2 = ipv6.sourceWord(view, ipAt, 2);
    packet.s3 = ipv6.sourceWord(view, ipAt, 3);
    packet.d0 = ipv6.destinationWord(view, ipAt, 0);
    packet.d1 = ipv6.destinationWord(view, ipAt, 1);
    packet.d2 = ipv6.destinationWord(view, ipAt, 2);
    packet.d3 = ipv6.destinationWord(view, ipAt, 3);
  }
}

/** Addresses that may not be there: a group as the sender, IPv4 in disguise, loopback on a link, a scope of one interface. */
const isOdd = (packet: Packet, on: Interface): boolean => {
  const { s0, s1, s2, s3, d0, d1, d2, d3 } = packet;
  if (s0 >>> OCTET_SHIFT === GROUP_OCTET) return true;
  if ((s0 | s1) === 0 && s2 === MAPPED) return true;
  if ((d0 | d1) === 0 && (d2 === MAPPED || (d2 | d3) === 0)) return true;
  if (on.isLoopback) return false;
  if ((s0 | s1 | s2) === 0 && s3 === LOOPBACK_WORD) return true;
  if ((d0 | d1 | d2) === 0 && d3 === LOOPBACK_WORD) return true;
  return d0 >>> OCTET_SHIFT === GROUP_OCTET && ((d0 >>> SCOPE_SHIFT) & SCOPE_MASK) <= INTERFACE_LOCAL;
};
