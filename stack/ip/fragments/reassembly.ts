/**
 * Fragments put together again (RFC 791 section 3.2, RFC 8200 section 4.5) in memory that is allocated once.
 *
 * Fragments that overlap spoil their datagram (RFC 5722): its slot stays taken until its time is over, so that neither what
 * was there nor what still comes makes a packet; the same fragment again is ignored, as RFC 8200 section 4.5 allows.
 */
import { requireInteger } from "../../wire/fields.ts";
import * as chain from "../../wire/ipv6-walk.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import { type Assembly, ecnContradicts, finish4, finish6, OPEN } from "./assembly.ts";
import { copyBytes, sameBytes } from "./copy.ts";
import type { Environment } from "../environment.ts";
import { FragmentMap, PLACED, UNIT_SHIFT, units } from "./fragment-map.ts";
import { Fragment, type FragmentFault } from "./fragment.ts";
import * as defaults from "./reassembly-options.ts";
import {
  HEADER_ROOM_BYTES,
  newCounts,
  PROBLEM,
  type ReassemblyIo,
  type ReassemblyOptions,
  type ReassemblyStatistics,
} from "./reassembly-options.ts";
import { type Chunked, SlotArena, USE } from "./slot-arena.ts";
import { SlotKeeper } from "./slot-keeper.ts";
import { NONE } from "./slot-lists.ts";

export type { Chunked, ReassemblyIo, ReassemblyOptions, ReassemblyStatistics };

/** Slots begin on a line of the cache. */
const LINE_BYTES = 64;
const MAX_TIMEOUT_MS = 3_600_000;

/** Puts fragments together, and copies packets of several chunks into one piece. */
export class Reassembler {
  readonly #io: ReassemblyIo;
  readonly #arena: SlotArena;
  readonly #map: FragmentMap;
  readonly #keeper: SlotKeeper;
  /** Payload bytes that a slot takes. */
  readonly #room: number;
  readonly #fragment = new Fragment();
  readonly #counts = newCounts();

  /** @throws RangeError that names the option which is out of range. */
  constructor(environment: Environment, io: ReassemblyIo, options: ReassemblyOptions = {}) {
    const { slots = defaults.REASSEMBLY_SLOTS, slotBytes = defaults.REASSEMBLY_SLOT_BYTES } = options;
    requireInteger("slots", slots, defaults.MAX_REASSEMBLY_SLOTS, 1);
    const {
      timeout4Ms = defaults.REASSEMBLY_TIMEOUT4_MS,
      timeout6Ms = defaults.REASSEMBLY_TIMEOUT6_MS,
      perSource = Math.min(slots, defaults.SLOTS_PER_SOURCE),
    } = options;
    const { MIN_REASSEMBLY_SLOT_BYTES, REASSEMBLY_SLOT_BYTES } = defaults;
    requireInteger("slotBytes", slotBytes, REASSEMBLY_SLOT_BYTES, MIN_REASSEMBLY_SLOT_BYTES);
    requireInteger("perSource", perSource, slots, 1);
    requireInteger("timeout4Ms", timeout4Ms, MAX_TIMEOUT_MS, 1);
    requireInteger("timeout6Ms", timeout6Ms, MAX_TIMEOUT_MS, 1);
    const stride = Math.ceil(slotBytes / LINE_BYTES) * LINE_BYTES;
    this.#io = io;
    this.#arena = new SlotArena(slots, stride, environment.random.next() | 0);
    this.#room = stride - HEADER_ROOM_BYTES;
    this.#map = new FragmentMap(slots, units(this.#room));
    const limits = { timeout4Ms, timeout6Ms, perSource };
    this.#keeper = new SlotKeeper(environment, io, this.#arena, this.#map, this.#counts, limits);
  }

  /** Where packets lie that were handed out. */
  get view(): DataView {
    return this.#arena.view;
  }

  /** The same area. */
  get bytes(): Uint8Array {
    return this.#arena.bytes;
  }

  /**
   * Takes the IPv4 fragment of `packetLength` bytes at `ipAt`, whose header was checked; `zone` is the number of the
   * interface. Gives -1 where it was kept or dropped, else the slot of the whole packet: then call `free`.
   */
  add4(view: DataView, ipAt: number, packetLength: number, zone: number): number {
    this.#counts.fragments += 1;
    const fault = this.#fragment.read4(view, ipAt, packetLength, zone);
    return fault === undefined ? this.#add(view, USE.filling4) : this.#refuse(fault);
  }

  /**
   * The same for the IPv6 fragment whose fragment header is at `fragmentAt`, behind headers that were walked through. An
   * atomic fragment, which `walk` of the wire format passes, is handed out at once and disturbs nothing (RFC 6946).
   */
  add6(view: DataView, ipAt: number, packetLength: number, fragmentAt: number, zone: number): number {
    this.#counts.fragments += 1;
    const fault = this.#fragment.read6(view, ipAt, packetLength, fragmentAt, zone);
    if (fault === undefined) return this.#add(view, USE.filling6);
    this.#complain(fault, view, fragmentAt);
    return this.#refuse(fault);
  }

  /**
   * Copies a packet of several chunks, without its first `skipBytes` bytes, into a slot, which someone then frees. -1,
   * counted, where there is no room for it.
   *
   * @throws RangeError where there are not so many bytes to skip.
   */
  gather(packet: Chunked, skipBytes: number): number {
    let length = 0;
    for (let i = 0; i < packet.chunks; i++) length += packet.chunkLength(i);
    requireInteger("skipBytes", skipBytes, length);
    const slot = length - skipBytes > this.#arena.slotBytes ? NONE : this.#keeper.take();
    if (slot === NONE) {
      this.#counts.gatherFailed += 1;
      return NONE;
    }
    const at = this.#arena.base(slot);
    this.#arena.copyChunks(packet, skipBytes, at);
    this.#arena.handOut(slot, at, length - skipBytes);
    this.#counts.gathered += 1;
    return slot;
  }

  /** Offset in `view` of the packet in a slot that was handed out. */
  slotAt(slot: number): number {
    return this.#out(slot).at;
  }

  /** Bytes of the packet in a slot that was handed out. */
  slotLength(slot: number): number {
    return this.#out(slot).length;
  }

  /** @throws RangeError where the slot is not handed out, as after the first `free`. */
  free(slot: number): void {
    this.#out(slot);
    this.#arena.release(slot);
  }

  /** Counts the slots too: O(slots). */
  statistics(): ReassemblyStatistics {
    const { slots, free } = this.#arena;
    const { abandonedSlots } = this.#keeper;
    const filling = this.#arena.count(USE.filling4) + this.#arena.count(USE.filling6);
    return {
      ...this.#counts,
      pending: filling - abandonedSlots,
      slots,
      freeSlots: free,
      handedOut: this.#arena.count(USE.out),
      abandonedSlots,
    };
  }

  /** Forgets all datagrams that are not whole, tells nobody, and cancels the timer. Idempotent. */
  close(): void {
    this.#keeper.close();
  }

  #add(view: DataView, use: number): number {
    const { key, offset, length, more, ecn } = this.#fragment;
    if (offset + length > this.#room) return this.#refuse("tooLarge");
    if (offset === 0 && !more) return this.#addAtomic(view, use);
    let slot = this.#arena.find(key);
    if (slot === NONE) slot = this.#keeper.start(key, use);
    if (slot === NONE) return this.#refuse("noRoom");
    const assembly = this.#arena.assemblies[slot]!;
    if (assembly.abandoned) return this.#refuse("late");
    if (this.#contradicts(assembly)) return this.#abandon(assembly, "conflicting");
    const placed = this.#map.place(slot, offset >> UNIT_SHIFT, units(length));
    const payloadAt = this.#arena.base(slot) + HEADER_ROOM_BYTES + offset;
    if (placed === PLACED.overlap) return this.#abandon(assembly, "overlapping");
    if (placed === PLACED.duplicate) {
      const { ipAt, headerBytes } = this.#fragment;
      const same = sameBytes(view, ipAt + headerBytes, this.view, payloadAt, length);
      return same ? this.#refuse("duplicates") : this.#abandon(assembly, "overlapping");
    }
    this.#counts.accepted += 1;
    assembly.units += units(length);
    assembly.ecnSeen |= 1 << ecn;
    if (offset + length > assembly.furthest) assembly.furthest = offset + length;
    if (!more) assembly.total = offset + length;
    this.#copy(view, assembly, payloadAt);
    return assembly.total !== OPEN && assembly.units === units(assembly.total)
      ? this.#complete(slot, use)
      : NONE;
  }

  /** Whether this fragment and those before it disagree about where the datagram ends. */
  #contradicts(assembly: Assembly): boolean {
    const { offset, length, more } = this.#fragment;
    const end = offset + length;
    if (assembly.total === OPEN) return !more && assembly.furthest >= end;
    return more ? end >= assembly.total : end !== assembly.total;
  }

  /** Copies the payload to its place, and where it is the first its header in front of it. */
  #copy(view: DataView, assembly: Assembly, payloadAt: number): void {
    const { ipAt, headerBytes, packetBytes, length, offset } = this.#fragment;
    if (offset > 0) {
      copyBytes(view, ipAt + headerBytes, this.view, payloadAt, length);
      return;
    }
    assembly.headerBytes = headerBytes;
    assembly.firstBytes = length;
    copyBytes(view, ipAt, this.view, payloadAt - headerBytes, packetBytes);
  }

  /** A whole packet that only looks like a fragment: through a slot, past all datagrams on their way. */
  #addAtomic(view: DataView, use: number): number {
    const slot = this.#keeper.take();
    if (slot === NONE) return this.#refuse("noRoom");
    const { length, ecn, key } = this.#fragment;
    const assembly = this.#arena.assemblies[slot]!;
    assembly.reset(key, 0);
    assembly.total = length;
    assembly.ecnSeen = 1 << ecn;
    this.#copy(view, assembly, this.#arena.base(slot) + HEADER_ROOM_BYTES);
    this.#counts.atomic += 1;
    this.#handOut(slot, use);
    return slot;
  }

  #complete(slot: number, use: number): number {
    const { ecnSeen } = this.#arena.assemblies[slot]!;
    if (ecnContradicts(ecnSeen) || !this.#handOut(slot, use)) {
      this.#keeper.lose(slot, "unsound");
      return NONE;
    }
    this.#counts.completed += 1;
    return slot;
  }

  /** Puts the header right and hands the packet out; false where the whole is longer than a packet may be. */
  #handOut(slot: number, use: number): boolean {
    const { view, bytes } = this.#arena;
    const { headerBytes, total, ecnSeen, furthest } = this.#arena.assemblies[slot]!;
    const at = this.#arena.base(slot) + HEADER_ROOM_BYTES - headerBytes;
    const length =
      use === USE.filling4
        ? finish4(view, at, headerBytes, total, ecnSeen)
        : finish6(view, bytes, at, headerBytes, total, ecnSeen);
    if (length === 0) return false;
    this.#map.clear(slot, units(furthest));
    this.#arena.handOut(slot, use === USE.filling4 ? at : at + chain.FRAGMENT_BYTES, length);
    return true;
  }

  #abandon(assembly: Assembly, reason: "overlapping" | "conflicting"): number {
    this.#keeper.abandon(assembly);
    return this.#refuse(reason);
  }

  #refuse(reason: FragmentFault | "duplicates" | "overlapping" | "conflicting" | "late" | "noRoom"): number {
    this.#counts[reason] += 1;
    return NONE;
  }

  /** Says what is wrong with an IPv6 fragment, where its sender is to know. */
  #complain(fault: FragmentFault, view: DataView, fragmentAt: number): void {
    const { ipAt, packetBytes, key } = this.#fragment;
    let code: number = PROBLEM.erroneousHeader;
    let pointer = 0;
    if (fault === "tooLong") pointer = fragmentAt - ipAt + chain.FRAGMENT_OFFSET;
    else if (fault === "misaligned") pointer = ipv6.PAYLOAD_LENGTH;
    else if (fault === "incompleteChain") code = PROBLEM.incompleteChain;
    else return;
    this.#io.problem?.(view, ipAt, packetBytes, code, pointer, key.zone);
  }

  #out(slot: number): Assembly {
    const assembly = this.#arena.assemblies[slot];
    if (assembly === undefined || this.#arena.uses.listOf(slot) !== USE.out)
      throw new RangeError(`slot ${slot} is not handed out`);
    return assembly;
  }
}
