/**
 * Packets on their way out: one is written at a time, straight into a frame, and leaves with its headers in front.
 *
 * What fits neither a chunk nor the path is written to memory of the host's own first and leaves in fragments, or in
 * several chunks.
 */
import type { Random } from "../device/random.ts";
import type { Queue } from "../device/device.ts";
import type { Timer } from "../loop/timers.ts";
import { type Destination, type Notice, type Outgoing, REFUSED, type Refused } from "../transport/network.ts";
import { ETHERTYPE } from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { TimerSource } from "./environment.ts";
import {
  countFragments4,
  countFragments6,
  fragment4,
  fragment6,
  PacketPieces,
} from "./fragments/fragments.ts";
import type { LoopbackOfGroups } from "./group-loopback.ts";
import { ParkedChunks } from "./parked.ts";
import type { Way } from "./way.ts";
import { WaySink } from "./way-sink.ts";

/** The longest payload of an IPv6 packet; an IPv4 packet has this with its header. */
const MAX_LENGTH = 0xffff;
/** The long packet begins here in its memory. */
const LONG_AT = 0;
const NO_CHUNK = -1;
const NOTHING = new DataView(new ArrayBuffer(0));
const NO_BYTES = new Uint8Array(0);
const IDENTIFICATIONS = 0xffff;

export class Output implements Outgoing {
  view: DataView = NOTHING;
  bytes: Uint8Array = NO_BYTES;
  /** The way that had no room for a packet last. */
  fullWay: Way | undefined;
  readonly #timers: TimerSource;
  readonly #random: Random;
  readonly #groups: LoopbackOfGroups;
  readonly #sink = new WaySink();
  readonly #pieces = new PacketPieces();
  readonly #longView: DataView;
  readonly #longBytes: Uint8Array;
  #way: Way | undefined;
  #queue: Queue | undefined;
  #protocol = 0;
  #length = 0;
  #chunk = NO_CHUNK;
  #identification: number;

  constructor(timers: TimerSource, random: Random, groups: LoopbackOfGroups) {
    this.#timers = timers;
    this.#random = random;
    this.#groups = groups;
    this.#identification = random.next() & IDENTIFICATIONS;
    const long = new ArrayBuffer(ipv6.HEADER_BYTES + MAX_LENGTH);
    this.#longView = new DataView(long);
    this.#longBytes = new Uint8Array(long);
  }

  get busy(): boolean {
    return this.#way !== undefined;
  }

  begin(destination: Destination, protocol: number, lengthBytes: number): number {
    if (this.#way !== undefined) throw new Error("a packet is being written already: a writer sent another");
    const way = destination as Way;
    if (!way.ready) {
      const refused = way.prepare();
      if (refused !== 0) return refused;
    }
    this.#protocol = protocol;
    this.#length = lengthBytes;
    const queue = way.queue!;
    const { umem } = queue;
    if (!way.interface!.link.device.open) return REFUSED.down;
    if (way.ipHeaderBytes + lengthBytes > way.mtu || way.headerBytes + lengthBytes > umem.roomBytes)
      return this.#beginLong(way);
    const chunk = queue.reserve(1) ? umem.take() : NO_CHUNK;
    if (chunk < 0) return this.#full(way);
    this.#way = way;
    this.#queue = queue;
    this.#chunk = chunk;
    this.view = umem.view;
    this.bytes = umem.bytes;
    return chunk + way.headerBytes;
  }

  pseudoSum(): number {
    return this.#way!.addressSum + this.#protocol + this.#length;
  }

  shorten(lengthBytes: number): void {
    this.#length = lengthBytes;
  }

  end(notice?: Notice, lifetimeMs?: number): 0 | Refused {
    const way = this.#way!;
    this.#way = undefined;
    if (this.#chunk === NO_CHUNK) return this.#endLong(way, notice, lifetimeMs);
    const queue = this.#queue!;
    const chunk = this.#chunk;
    this.#chunk = NO_CHUNK;
    const { view } = this;
    const hop = way.hop!;
    const { link } = way.interface!;
    const total = way.headerBytes + this.#length;
    const is4 = way.address.family === 4;
    link.writeHeader(view, chunk, hop.macHigh, hop.macLow, is4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6);
    this.#writeHeader(way, view, chunk + link.linkBytes, way.dontFragment);
    if (way.address.multicast) {
      this.#groups.copyOf(way, view, chunk + link.linkBytes, total - link.linkBytes);
      if (way.staysHere) {
        queue.umem.release(chunk);
        notice?.sent();
        return 0;
      }
    }
    if (!hop.usable) {
      const parked = new ParkedChunks(
        link,
        queue,
        { addresses: [chunk], lengths: [total], more: [false] },
        notice,
        way.tally,
      );
      if (lifetimeMs !== undefined) parked.expireBy(this.#expiry(parked, lifetimeMs));
      way.neighbours!.park(way.neighbour!, parked);
      return 0;
    }
    // A writer that sent or replied itself may have taken the room that was there.
    if (!queue.send(chunk, total, false)) {
      queue.umem.release(chunk);
      return this.#full(way);
    }
    link.counters.sent += 1;
    way.tally.sent += 1;
    if (way.neighbour !== undefined) way.neighbours!.used(way.neighbour);
    notice?.sent();
    return 0;
  }

  abandon(): void {
    const chunk = this.#chunk;
    this.#way = undefined;
    this.#chunk = NO_CHUNK;
    if (chunk !== NO_CHUNK) this.#queue!.umem.release(chunk);
  }

  #full(way: Way): Refused {
    this.fullWay = way;
    way.interface!.link.counters.full += 1;
    return REFUSED.full;
  }

  #writeHeader(way: Way, view: DataView, at: number, dontFragment: boolean): void {
    const source = way.source!;
    const { address } = way;
    const length = this.#length;
    if (address.family === 4) {
      ipv4.writeHeader(
        view,
        at,
        way.trafficClass,
        ipv4.HEADER_BYTES + length,
        // Where it can't be cut the identification says nothing (RFC 6864 section 4.1).
        dontFragment ? 0 : this.#nextIdentification(),
        dontFragment ? ipv4.DONT_FRAGMENT : 0,
        way.ttl,
        this.#protocol,
        source.w3,
        address.w3,
      );
      return;
    }
    ipv6.writeHeader(view, at, way.trafficClass, 0, length, this.#protocol, way.ttl);
    ipv6.setSource(view, at, source);
    ipv6.setDestination(view, at, address);
  }

  #beginLong(way: Way): number {
    const longest = way.address.family === 4 ? MAX_LENGTH - ipv4.HEADER_BYTES : MAX_LENGTH;
    const cut = way.ipHeaderBytes + this.#length > way.mtu;
    if (this.#length > longest || (cut && way.options.fragmentation === "refuse")) {
      way.interface!.link.counters.unsendable += 1;
      return REFUSED.tooLong;
    }
    this.#way = way;
    this.view = this.#longView;
    this.bytes = this.#longBytes;
    return LONG_AT + way.ipHeaderBytes;
  }

  #endLong(way: Way, notice: Notice | undefined, lifetimeMs: number | undefined): 0 | Refused {
    const total = way.ipHeaderBytes + this.#length;
    const is4 = way.address.family === 4;
    this.#writeHeader(way, this.#longView, LONG_AT, total <= way.mtu && way.dontFragment);
    const pieces = this.#pieces;
    pieces.whole(this.#longView, LONG_AT, total);
    const count = is4 ? countFragments4(pieces, way.mtu) : countFragments6(pieces, way.mtu);
    if (count < 0) {
      way.interface!.link.counters.unsendable += 1;
      return REFUSED.tooLong;
    }
    if (!WaySink.hasRoom(way, count, Math.min(way.mtu, total))) return this.#full(way);
    if (way.address.multicast) {
      this.#groups.copyOf(way, this.#longView, LONG_AT, total);
      if (way.staysHere) {
        notice?.sent();
        return 0;
      }
    }
    const expiry =
      lifetimeMs === undefined ? undefined : (parked: ParkedChunks) => this.#expiry(parked, lifetimeMs);
    this.#sink.open(way);
    if (is4) fragment4(pieces, way.mtu, this.#nextIdentification(), this.#sink);
    else fragment6(pieces, way.mtu, this.#random.next() | 0, this.#sink);
    this.#sink.close(notice, expiry);
    return 0;
  }

  #expiry(parked: ParkedChunks, lifetimeMs: number): Timer {
    return this.#timers.after(lifetimeMs, () => parked.drop("expired"));
  }

  #nextIdentification(): number {
    this.#identification = (this.#identification + 1) & IDENTIFICATIONS;
    return this.#identification;
  }
}
