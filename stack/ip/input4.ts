/**
 * IPv4 packets on their way in (RFC 1122 section 3.2.1, RFC 1812 section 5.2): judged, put together, handed over.
 */
import type { Frame } from "../device/frame.ts";
import { CAST, type Packet } from "../transport/packet.ts";
import { MAPPED } from "../wire/address.ts";
import { halves } from "../wire/checksum.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL } from "../wire/protocol.ts";
import type { InputPolicy } from "./handlers.ts";
import type { Interface } from "./interface.ts";
import { mayBeOwn, type OwnOctets } from "./own-octets.ts";
import type { Reassembler } from "./fragments/reassembly.ts";
import type { Slots } from "./fragments/slots.ts";

/** The first four bits of a group (RFC 1112 section 4), and of the class that nobody has (RFC 1112 section 4: class E). */
const CLASS_SHIFT = 28;
const CLASS_D = 0xe;
const CLASS_E = 0xf;
const OCTET_SHIFT = 24;
const LOOPBACK_OCTET = 127;
const EVERYBODY = -1;
const FIRST_GROUP_OCTET = CLASS_D << (CLASS_SHIFT - OCTET_SHIFT);
const OCTET_MASK = 0xff;
const HALF_BITS = 16;
const LOW_HALF = 0xffff;
/** Version 4, and a header of five words. */
const USUAL_HEADER = 0x45;
/** In the word of identification and flags: more fragments, and an offset. */
const FRAGMENT_BITS = 0x3fff;

export class Input4 {
  readonly #packet: Packet;
  readonly #policy: InputPolicy;
  readonly #handlers: InputPolicy["handlers"];
  readonly #reassembler: Reassembler;
  readonly #slots: Slots;
  readonly #ownOctets: Int32Array;

  constructor(
    packet: Packet,
    policy: InputPolicy,
    reassembler: Reassembler,
    slots: Slots,
    ownOctets: OwnOctets,
  ) {
    this.#packet = packet;
    this.#policy = policy;
    this.#handlers = policy.handlers;
    this.#reassembler = reassembler;
    this.#slots = slots;
    this.#ownOctets = ownOctets.bits;
  }

  /**
   * The IP packet at `ipAt` in `frame`, of at most `length` bytes, which came `from` one interface and counts for `on`:
   * another where it came over loopback. `group` where the frame was not for one station.
   */
  receive(from: Interface, on: Interface, frame: Frame, ipAt: number, length: number, group: boolean): void {
    if (group || !this.#usual(on, frame, ipAt, length)) this.#unusual(from, on, frame, ipAt, length, group);
  }

  /**
   * What most packets are: whole, in one chunk, behind a right header without options, from one station to an address of
   * the interface, for a protocol that is spoken here. Judged in five words; false, with nothing said, for all others.
   */
  #usual(on: Interface, frame: Frame, ipAt: number, length: number): boolean {
    if (length < ipv4.HEADER_BYTES || frame.chunks !== 1) return false;
    const { view } = frame;
    const first = view.getInt32(ipAt + ipv4.VERSION_LENGTH);
    const second = view.getInt32(ipAt + ipv4.IDENTIFICATION);
    const third = view.getInt32(ipAt + ipv4.TTL);
    const source = view.getInt32(ipAt + ipv4.SOURCE);
    const destination = view.getInt32(ipAt + ipv4.DESTINATION);
    const total = first & LOW_HALF;
    const sum = halves(first) + halves(second) + halves(third) + halves(source) + halves(destination);
    if (first >>> OCTET_SHIFT !== USUAL_HEADER) return false;
    if ((sum & LOW_HALF) + (sum >>> HALF_BITS) !== LOW_HALF) return false;
    if (total < ipv4.HEADER_BYTES || total > length || (second & FRAGMENT_BITS) !== 0) return false;
    const octet = source >>> OCTET_SHIFT;
    if (octet === 0 || octet === LOOPBACK_OCTET || octet >= FIRST_GROUP_OCTET) return false;
    if (mayBeOwn(this.#ownOctets, source) || !on.hasAddress(0, 0, MAPPED, destination)) return false;
    const packet = this.#packet;
    packet.view = view;
    packet.bytes = frame.bytes;
    packet.ipAt = ipAt;
    // The words that are the same in all IPv4 addresses are there already but after an IPv6 packet.
    if (packet.family === 4) {
      packet.s3 = source;
      packet.d3 = destination;
    } else this.read(packet);
    packet.frame = frame;
    packet.interface = on;
    const protocol = (third >>> HALF_BITS) & OCTET_MASK;
    const handler = this.#handlers[protocol];
    if (handler === undefined || protocol === PROTOCOL.ICMPV6) return false;
    packet.at = ipAt + ipv4.HEADER_BYTES;
    packet.length = total - ipv4.HEADER_BYTES;
    packet.protocol = protocol;
    packet.cast = CAST.unicast;
    packet.plain = true;
    on.link.counters.delivered += 1;
    if (!handler.receive(packet) && !this.#extends(packet)) this.#policy.refused(packet, "port");
    return true;
  }

  /** Every other packet, and what is wrong with it. */
  #unusual(from: Interface, on: Interface, frame: Frame, ipAt: number, length: number, group: boolean): void {
    const { view } = frame;
    // A header that is spread over chunks belongs to nobody who sends packets to be read.
    const here = frame.head - (ipAt - frame.at);
    const cutOff = here < ipv4.HEADER_BYTES || here < ipv4.headerBytes(view, ipAt);
    if (cutOff || ipv4.check(view, ipAt, length) < 0) {
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
    const source = packet.s3 >>> CLASS_SHIFT;
    const octet = packet.s3 >>> OCTET_SHIFT;
    const odd =
      !from.isLoopback &&
      (octet === LOOPBACK_OCTET ||
        packet.d3 >>> OCTET_SHIFT === LOOPBACK_OCTET ||
        this.#policy.isForged(packet));
    if (source === CLASS_D || source === CLASS_E || odd) {
      on.link.counters.martian += 1;
      return;
    }
    this.#sort(on, packet, group);
  }

  /** Whose it is. */
  #sort(on: Interface, packet: Packet, group: boolean): void {
    const { d3 } = packet;
    if (on.hasAddress(0, 0, MAPPED, d3) || this.#policy.isOurs(packet)) {
      // RFC 1122 section 3.3.6: one station's address in a frame to many is somebody's mistake, or worse.
      if (group) on.link.counters.martian += 1;
      else this.#mine(on, packet, CAST.unicast);
    } else if (d3 >>> CLASS_SHIFT === CLASS_D) {
      packet.cast = CAST.multicast;
      if (this.#policy.isMember(packet)) this.#mine(on, packet, CAST.multicast);
      else this.#notMine(on, packet, "noMember");
    } else if (d3 === EVERYBODY || on.addresses.isBroadcast4(d3)) {
      if (this.#policy.configures(packet)) on.link.counters.delivered += 1;
      else this.#mine(on, packet, CAST.broadcast);
    } else if (this.#policy.configures(packet)) on.link.counters.delivered += 1;
    else if (group) on.link.counters.martian += 1;
    else this.#policy.elsewhere(packet);
  }

  /** A packet for us, whole or not. */
  #mine(on: Interface, packet: Packet, cast: Packet["cast"]): void {
    const { view, ipAt, frame } = packet;
    packet.cast = cast;
    if (packet.s3 >>> OCTET_SHIFT === 0 && !isGroupQuery(packet)) {
      // Somebody without an address can't be answered (RFC 1122 section 3.2.1.3 a and b).
      on.link.counters.martian += 1;
    } else if (ipv4.isFragment(view, ipAt)) {
      on.link.counters.fragments += 1;
      const zone = on.fragmentZone(packet.d0, packet.d1, packet.d2, packet.d3);
      const slot =
        frame!.chunks === 1
          ? this.#reassembler.add4(view, ipAt, ipv4.totalLength(view, ipAt), zone)
          : this.#gatherFragment(zone, frame!, ipAt);
      if (slot >= 0) this.#assembled(packet, slot);
    } else if (frame!.chunks > 1) {
      const slot = this.#reassembler.gather(frame!, ipAt - frame!.at);
      if (slot >= 0) this.#assembled(packet, slot);
    } else this.#deliver(on, packet);
  }

  /** A fragment in several chunks: into one piece first. */
  #gatherFragment(zone: number, frame: Frame, ipAt: number): number {
    const reassembler = this.#reassembler;
    const piece = reassembler.gather(frame, ipAt - frame.at);
    if (piece < 0) return piece;
    const at = reassembler.slotAt(piece);
    const slot = reassembler.add4(reassembler.view, at, ipv4.totalLength(reassembler.view, at), zone);
    reassembler.free(piece);
    return slot;
  }

  /** The packet in a slot of the reassembler's, which goes back when nobody keeps it. */
  #assembled(packet: Packet, slot: number): void {
    const reassembler = this.#reassembler;
    const on = packet.interface as Interface;
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

  #deliver(on: Interface, packet: Packet): void {
    const { view, ipAt } = packet;
    const headerBytes = ipv4.headerBytes(view, ipAt);
    packet.plain = headerBytes === ipv4.HEADER_BYTES && on.canTurn(packet);
    packet.at = ipAt + headerBytes;
    packet.length = ipv4.totalLength(view, ipAt) - headerBytes;
    packet.protocol = ipv4.protocol(view, ipAt);
    // Of IPv6 alone: its messages say things that only its headers prove.
    const foreign = packet.protocol === PROTOCOL.ICMPV6;
    const handler = foreign ? undefined : this.#policy.handlers[packet.protocol];
    on.link.counters.delivered += 1;
    if (handler === undefined) this.#unknown(on, packet);
    else if (!handler.receive(packet) && !this.#extends(packet)) this.#policy.refused(packet, "port");
  }

  /** A lease is extended by answers to the leased address itself (RFC 2131 section 4.4.5), which no socket waits for. */
  #extends(packet: Packet): boolean {
    return packet.cast === CAST.unicast && this.#policy.configures(packet);
  }

  #unknown(on: Interface, packet: Packet): void {
    on.link.counters.delivered -= 1;
    on.link.counters.unknownProtocol += 1;
    this.#policy.refused(packet, "protocol");
  }

  #notMine(on: Interface, packet: Packet, why: "noMember"): void {
    on.link.counters[why] += 1;
    if (on.life === "beside" && packet.frame !== undefined) this.#policy.pass(on, packet.frame);
  }

  /** Takes the addresses out of the packet at `ipAt`. */
  read(packet: Packet): void {
    packet.family = 4;
    packet.s0 = 0;
    packet.s1 = 0;
    packet.s2 = MAPPED;
    packet.s3 = ipv4.sourceWord(packet.view, packet.ipAt);
    packet.d0 = 0;
    packet.d1 = 0;
    packet.d2 = MAPPED;
    packet.d3 = ipv4.destinationWord(packet.view, packet.ipAt);
  }
}

/** A switch without an address asks who is in which group (RFC 4541 section 2.1.1); the answer goes to the group. */
const isGroupQuery = ({ view, ipAt, s3 }: Packet): boolean =>
  s3 === 0 && ipv4.protocol(view, ipAt) === PROTOCOL.IGMP;
